//! The filter's .wasm: built once a run, the same that ships, and a build that can be made to trap.

use crate::{root, target};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// The filter as it ships. `make test` has built it already, so that this is cargo finding nothing to do.
#[must_use]
pub fn chaperone() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| build(&target(), &[], &[]))
}

/// The filter as it ships, in other bytes: with a custom section of this name, which changes nothing that it does. To a proxy it
/// is another filter, as an upgrade is.
///
/// # Panics
/// When the build folder cannot be written.
#[must_use]
pub fn renamed(name: &str) -> PathBuf {
    let size = u8::try_from(name.len()).expect("a short name");
    let mut bytes = fs::read(chaperone()).expect("the filter has been built");
    bytes.extend([0, size + 1, size]);
    bytes.extend(name.bytes());
    let path = target().join("wasm-renamed").join(format!("{name}.wasm"));
    fs::create_dir_all(target().join("wasm-renamed")).expect("the build folder can be written");
    fs::write(&path, bytes).expect("the build folder can be written");
    path
}

/// A build that traps on a request with the header `x-chaperone-test-trap`, and knows commands that wait. It has a target folder of its own, so that it can
/// never be taken for the one that ships, and is hardly optimised.
#[must_use]
pub fn for_tests() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let quick = [
            ("CARGO_PROFILE_WASM_LTO", "off"),
            ("CARGO_PROFILE_WASM_OPT_LEVEL", "1"),
            ("CARGO_PROFILE_WASM_CODEGEN_UNITS", "16"),
        ];
        build(&target().join("wasm-for-tests"), &["--features", "for-tests"], &quick)
    })
}

/// Cargo inside `cargo test` does not wait for itself: the outer one has released the build folder before it runs tests.
fn build(target: &Path, extra: &[&str], env: &[(&str, &str)]) -> PathBuf {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let out = Command::new(cargo)
        .current_dir(root())
        .args([
            "build",
            "--quiet",
            "--locked",
            "-p",
            "chaperone-filter",
            "--target",
            "wasm32-wasip1",
            "--profile",
            "wasm",
            "--target-dir",
        ])
        .arg(target)
        .args(extra)
        .envs(env.iter().copied())
        .output()
        .expect("cargo can be started");
    assert!(
        out.status.success(),
        "the filter does not build (`rustup target add wasm32-wasip1` if the target is missing):\n{}",
        String::from_utf8_lossy(&out.stderr)
    );
    target.join("wasm32-wasip1").join("wasm").join("chaperone.wasm")
}
