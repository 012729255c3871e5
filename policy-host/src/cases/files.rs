//! Which cases files are meant: those that are named, and those in folders that are named.

use chaperone_authoring::source::{Finding, Findings};
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Folders that hold what was built or fetched: no author's cases, and perhaps a hundred thousand files.
const SKIPPED: [&str; 2] = ["target", "node_modules"];

/// The cases files at these paths, each once, sorted: files as they are, folders searched for `cases.yaml` and
/// `*.cases.yaml`. Hidden folders, `target` and `node_modules` are not searched, symbolic links to folders not followed.
///
/// # Errors
/// When a path leads nowhere, or there is no cases file at any of them.
pub fn find(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Findings> {
    let mut files = BTreeSet::new();
    let mut wrong = Vec::new();
    for path in paths {
        match fs::metadata(path) {
            Ok(found) if found.is_dir() => search(path, &mut files),
            Ok(_) => {
                files.insert(path.clone());
            }
            Err(error) => wrong.push(Finding::about_file(&path.display().to_string(), format!("cannot be read: {error}"), None)),
        }
    }
    if files.is_empty() && wrong.is_empty() {
        let help = "a cases file is called `cases.yaml` or ends in `.cases.yaml`; or name one, whatever it is called";
        let name = paths.first().map_or_else(String::new, |path| path.display().to_string());
        wrong.push(Finding::about_file(&name, "no cases file is in here", Some(help)));
    }
    match Findings::new(wrong) {
        Some(findings) => Err(findings),
        None => Ok(once(files)),
    }
}

fn search(folder: &Path, files: &mut BTreeSet<PathBuf>) {
    // What may not be looked into holds no cases that could be run.
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        let name = name.to_string_lossy();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => {
                if !name.starts_with('.') && !SKIPPED.contains(&&*name) {
                    search(&path, files);
                }
            }
            Ok(_) if name == "cases.yaml" || name.ends_with(".cases.yaml") => {
                files.insert(path.strip_prefix(".").map_or(path.clone(), Path::to_path_buf));
            }
            Ok(_) | Err(_) => {}
        }
    }
}

/// A file that two paths lead to is one file.
fn once(files: BTreeSet<PathBuf>) -> Vec<PathBuf> {
    let mut seen = BTreeSet::new();
    files.into_iter().filter(|path| seen.insert(fs::canonicalize(path).unwrap_or_else(|_| path.clone()))).collect()
}
