//! Node from a wheel, and packages of npm for it: no machine needs any of it of its own.

use super::{environment, once, root, target};
use std::{fs, path::PathBuf, process::Command};

pub(super) fn node() -> PathBuf {
    environment("node-venv", "peers/requirements-node.txt").join("bin").join("node")
}

/// The `node_modules` with exactly what the lock file of this folder of `tests/peers` pins, installed when it is not there yet. No
/// install script of any package is run.
pub(super) fn packages(name: &str, pins: &str, what: &str) -> PathBuf {
    let (pins, dir) = (root().join("tests/peers").join(pins), target().join(name));
    let npm = node().with_file_name("npm");
    once(name, &pins.join("package-lock.json"), &dir, || {
        eprintln!("chaperone-tests: installing {what} into {} (once)", dir.display());
        fs::create_dir_all(&dir).expect("the build folder can be written");
        for name in ["package.json", "package-lock.json"] {
            fs::copy(pins.join(name), dir.join(name)).expect("the build folder can be written");
        }
        let path = npm.parent().expect("a folder").display().to_string();
        let out = Command::new(&npm)
            .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel", "error"])
            .current_dir(&dir)
            .env("PATH", format!("{path}:{}", std::env::var("PATH").unwrap_or_default()))
            .output()
            .expect("npm of the wheel can be started");
        assert!(out.status.success(), "{what} could not be had: {}", String::from_utf8_lossy(&out.stderr));
    });
    dir.join("node_modules")
}
