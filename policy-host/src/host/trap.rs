//! Why a guest died, and where.

use std::error::Error;
use std::fmt;
use wasmtime::WasmBacktrace;

/// The end of a VM: a wasm trap, a forbidden host call, no fuel left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trap {
    /// What happened.
    pub message: String,
    /// The guest's frames, innermost first.
    pub backtrace: Vec<String>,
}

impl Trap {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), backtrace: Vec::new() }
    }
}

impl Trap {
    /// The thread that ran the VM is gone.
    pub(crate) fn lost() -> Self {
        Self::new("the worker is gone")
    }
}

impl From<wasmtime::Error> for Trap {
    fn from(error: wasmtime::Error) -> Self {
        let backtrace = error.downcast_ref::<WasmBacktrace>().map_or_else(Vec::new, |trace| {
            trace
                .frames()
                .iter()
                .map(|frame| {
                    let name = frame.func_name().map_or_else(|| format!("<wasm function {}>", frame.func_index()), str::to_owned);
                    frame.module_offset().map_or_else(|| name.clone(), |offset| format!("{name} @ {offset:#x}"))
                })
                .collect()
        });
        Self { message: error.root_cause().to_string(), backtrace }
    }
}

impl fmt::Display for Trap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the filter trapped: {}", self.message)?;
        for frame in &self.backtrace {
            write!(f, "\n  at {frame}")?;
        }
        Ok(())
    }
}

impl Error for Trap {}
