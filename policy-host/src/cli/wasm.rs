//! Where the filter is, and what a VM of it is given.

use super::{Exit, output};

pub(crate) use chaperone_authoring::source::credential_variables;
use policy_host::host::{ConfigureError, LogLevel, LogSink, Module, UpdateError};
use serde_json::Value;
use std::{env, path::PathBuf};

const BUILT: &str = "wasm32-wasip1/wasm/chaperone.wasm";

/// Loads the filter: `--wasm`, else `CHAPERONE_WASM`, else what the workspace built.
pub(crate) fn load(given: Option<&PathBuf>) -> Result<Module, Exit> {
    let path = given.cloned().or_else(|| env::var_os("CHAPERONE_WASM").map(PathBuf::from)).or_else(built);
    let Some(path) = path else {
        output::diagnostic(
            "policy-host: the filter is not built yet\n  help: `make wasm` builds it; or name one with --wasm FILE or CHAPERONE_WASM",
        );
        return Err(Exit::Failed);
    };
    Module::load(&path).map_err(|error| {
        output::diagnostic(&format!("policy-host: {}: {error}", path.display()));
        Exit::Invalid
    })
}

/// In the target folder that this binary is in, or in the one below the current folder.
fn built() -> Option<PathBuf> {
    let beside = env::current_exe().ok().and_then(|exe| Some(exe.parent()?.parent()?.join(BUILT)));
    [beside, Some(PathBuf::from("target").join(BUILT))].into_iter().flatten().find(|path| path.is_file())
}

/// A policy that the filter does not take is an invalid input; a filter that dies of it has trapped.
pub(crate) fn not_taken(error: &UpdateError) -> Exit {
    let (UpdateError::Canary(error) | UpdateError::Worker { error, .. }) = error;
    match error {
        ConfigureError::Rejected => Exit::Invalid,
        ConfigureError::Trapped(_) => Exit::Trapped,
    }
}

/// What the filter says about itself, where it is worth a look.
pub(crate) fn log() -> LogSink {
    LogSink::new(|level, text| {
        if level >= LogLevel::Warn {
            output::diagnostic(&format!("filter: {}", text.trim_end()));
        }
    })
}

/// The variables that the policy's credential names and this process has. No other variable reaches the filter.
pub(crate) fn environment(policy: &Value) -> Vec<(String, String)> {
    let names = credential_variables(policy);
    names.into_iter().filter_map(|name| env::var(&name).ok().map(|value| (name, value))).collect()
}
