//! The host calls of proxy-wasm ABI 0.2.x, each as Envoy answers it; and the table that links them.

mod callouts;
mod context;
mod headers;
mod metrics;
mod shared;
mod wasi;

use super::guest::{Answer, Fault, Guest};
use super::module::Abi;
use super::state::HostState;
use super::{HostCall, Status};
use wasmtime::{Caller, Linker};

/// Adds one host call to the linker.
macro_rules! host_call {
    ($linker:expr, $module:expr, $call:ident, $function:path $(, $arg:ident: $ty:ty)*) => {
        $linker.func_wrap($module, HostCall::$call.name(), |caller: Caller<'_, HostState> $(, $arg: $ty)*| -> wasmtime::Result<u32> {
            match Guest::enter(caller, HostCall::$call)? {
                Ok(mut guest) => answer($function(&mut guest $(, $arg)*)),
                Err(forced) => Ok(forced),
            }
        })?;
    };
}
use host_call;

fn answer(answer: Answer) -> wasmtime::Result<u32> {
    match answer {
        Ok(()) => Ok(Status::Ok.into()),
        Err(Fault::Status(status)) => Ok(status),
        Err(Fault::Trap(error)) => Err(error),
    }
}

/// Everything that Envoy offers a guest of this ABI.
pub(super) fn link_all(linker: &mut Linker<HostState>, abi: Abi) -> wasmtime::Result<()> {
    headers::link(linker)?;
    context::link(linker, abi)?;
    shared::link(linker)?;
    metrics::link(linker)?;
    callouts::link(linker)?;
    wasi::link(linker)?;
    linker.func_wrap("env", "emscripten_notify_memory_growth", |_: u32| {})?;
    linker.func_wrap("env", "pthread_equal", |a: u32, b: u32| u32::from(a == b))?;
    Ok(())
}
