//! What the host calls (proxy-wasm ABI 0.2.1). Only what is needed.
#![expect(unsafe_code, reason = "exported names are unsafe attributes; no pointer is touched here")]

use crate::stream::{Action, Direction, Stream, With};
use crate::vm;

#[unsafe(no_mangle)]
extern "C" fn proxy_abi_version_0_2_1() {}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_context_create(context: u32, parent: u32) {
    // Envoy creates the root context before it starts the VM.
    vm::start();
    vm::with(|vm| vm.create(context, parent));
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_vm_start(_root: u32, _size: usize) -> i32 {
    i32::from(vm::start())
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_configure(root: u32, size: usize) -> i32 {
    i32::from(vm::with(|vm| vm.configure(root, size)).unwrap_or(false))
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_tick(root: u32) {
    vm::with(|vm| vm.tick(root));
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_http_call_response(_root: u32, token: u32, headers: usize, body: usize, _trailers: usize) {
    vm::with(|vm| vm.callout_answered(token, headers, body));
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_headers(context: u32, _headers: usize, end_of_stream: i32) -> i32 {
    action(vm::with(|vm| vm.request_headers(context, end_of_stream == 0)))
}

/// Bodies pass unread, unless the policy has responses searched. What is asked at each piece is whether the stream may go on, and
/// its size is counted here instead of being asked of the host at the end, which costs more than a callback does.
#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_body(context: u32, size: usize, end_of_stream: i32) -> i32 {
    action(vm::with(|vm| vm.body(context, Direction::Up, size, end_of_stream != 0)).flatten())
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_response_body(context: u32, size: usize, end_of_stream: i32) -> i32 {
    action(vm::with(|vm| vm.body(context, Direction::Down, size, end_of_stream != 0)).flatten())
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_trailers(context: u32, _trailers: usize) -> i32 {
    on_stream(context, Stream::request_trailers)
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_response_headers(context: u32, _headers: usize, end_of_stream: i32) -> i32 {
    on_stream(context, |stream, with| stream.response_headers(end_of_stream != 0, with))
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_response_trailers(context: u32, _trailers: usize) -> i32 {
    on_stream(context, |stream, _| stream.response_trailers())
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_log(context: u32) {
    vm::with(|vm| vm.on_stream(context, Stream::log));
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_delete(context: u32) {
    vm::with(|vm| vm.delete(context));
}

fn on_stream(context: u32, f: impl FnOnce(&mut Stream, &mut With<'_>) -> Action) -> i32 {
    action(vm::with(|vm| vm.on_stream(context, f)).flatten())
}

/// No state or no stream means no permit: held.
fn action(action: Option<Action>) -> i32 {
    match action {
        Some(Action::Continue) => 0,
        Some(Action::Pause) | None => 1,
    }
}
