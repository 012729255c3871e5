//! What the host calls (proxy-wasm ABI 0.2.1), handed to the VM's state by the names that the official crate's contexts have
//! for it. Only what is needed: a callback that is exported is called for each stream.
#![expect(unsafe_code, reason = "exported names are unsafe attributes; no pointer is touched here")]

use crate::types::Action;
use crate::vm;

#[unsafe(no_mangle)]
extern "C" fn proxy_abi_version_0_2_1() {}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_context_create(context: u32, root: u32) {
    // Envoy creates the root context before it starts the VM.
    vm::start();
    if root == 0 {
        vm::with(|vm| vm.create_root_context(context));
    } else {
        vm::with(|vm| vm.create_http_context(context, root));
    }
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_vm_start(_root: u32, _size: usize) -> i32 {
    i32::from(vm::start())
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_configure(root: u32, size: usize) -> i32 {
    i32::from(vm::with(|vm| vm.on_configure(root, size)).unwrap_or(false))
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_tick(root: u32) {
    vm::with(|vm| vm.on_tick(root));
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_http_call_response(_root: u32, token: u32, headers: usize, body: usize, _trailers: usize) {
    vm::with(|vm| vm.on_http_call_response(token, headers, body));
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_headers(context: u32, _headers: usize, end_of_stream: i32) -> i32 {
    action(vm::with(|vm| vm.on_http_request_headers(context, end_of_stream != 0)))
}

/// Bodies pass unread, unless the policy has responses searched. What is asked at each piece is whether the stream may go on, and
/// its size is counted here instead of being asked of the host at the end, which costs more than a callback does.
#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_body(context: u32, size: usize, end_of_stream: i32) -> i32 {
    action(vm::with(|vm| vm.on_http_request_body(context, size, end_of_stream != 0)))
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_trailers(context: u32, _trailers: usize) -> i32 {
    action(vm::with(|vm| vm.on_http_request_trailers(context)))
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_response_headers(context: u32, _headers: usize, end_of_stream: i32) -> i32 {
    action(vm::with(|vm| vm.on_http_response_headers(context, end_of_stream != 0)))
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_response_body(context: u32, size: usize, end_of_stream: i32) -> i32 {
    action(vm::with(|vm| vm.on_http_response_body(context, size, end_of_stream != 0)))
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_response_trailers(context: u32, _trailers: usize) -> i32 {
    action(vm::with(|vm| vm.on_http_response_trailers(context)))
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_log(context: u32) {
    vm::with(|vm| vm.on_log(context));
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_delete(context: u32) {
    vm::with(|vm| vm.on_delete(context));
}

/// No state means no permit: held.
fn action(action: Option<Action>) -> i32 {
    action.unwrap_or(Action::Pause) as i32
}
