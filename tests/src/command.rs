//! The `policy-host` command itself, as an operator runs it.

use crate::{root, target};
use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::OnceLock,
};

/// The program, built by the first test that asks for it.
///
/// # Panics
/// When it does not build.
pub fn policy_host() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let built = Command::new(cargo)
            .current_dir(root())
            .args(["build", "--quiet", "--locked", "--bin", "policy-host", "--target-dir"])
            .arg(target())
            .status()
            .expect("cargo can be started");
        assert!(built.success(), "policy-host does not build");
        target().join("debug").join("policy-host")
    })
}

/// Runs `policy-host revoke FILE ARGUMENTS` to its end.
///
/// # Panics
/// When it fails.
pub fn revoke(file: &Path, arguments: &[&str]) -> Output {
    let output = Command::new(policy_host()).arg("revoke").arg(file).args(arguments).output().expect("policy-host starts");
    assert!(output.status.success(), "revoke {arguments:?}: {output:?}");
    output
}
