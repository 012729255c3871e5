//! Documents from the disk and from standard input.

use chaperone_authoring::{
    cases::{Clock, Plan, resolve},
    source::{Document, Documents, Finding, Findings, MAX_BYTES, PolicyDocument, Severity, Source},
};
use std::{io::Read, path::Path, sync::Arc};

/// The name to show and the text of a file, `-` for standard input.
///
/// # Errors
/// When it cannot be read, is too large, or is not UTF-8.
pub fn text(path: &Path) -> Result<(String, String), Findings> {
    let stdin = path.as_os_str() == "-";
    let name = if stdin { "<stdin>".to_owned() } else { path.display().to_string() };
    let mut bytes = Vec::new();
    let result = if stdin {
        std::io::stdin().lock().take(MAX_BYTES + 1).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes))
    };
    if let Err(error) = result {
        return Err(Finding::about_file(&name, format!("cannot be read: {error}"), None).into());
    }
    if bytes.len() as u64 > MAX_BYTES {
        return Err(Finding::about_file(&name, "is larger than 64 MiB", Some("is this the right file?")).into());
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok((name, text)),
        Err(error) => {
            let valid = String::from_utf8_lossy(error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default());
            let source = Arc::new(Source::new(name, valid.into_owned()));
            let end = source.text.len();
            let message = "is not UTF-8 from here on".to_owned();
            Err(Finding { severity: Severity::Error, source, range: Some(end..end), pointer: String::new(), message, help: None }
                .into())
        }
    }
}

/// Reads a file that is one document, `-` for standard input.
///
/// # Errors
/// When it cannot be read, is too large, is not UTF-8, or is neither strict YAML nor strict JSON.
pub fn document(path: &Path) -> Result<Document, Findings> {
    let (name, text) = text(path)?;
    Document::parse(&name, text)
}

/// Reads the documents of a file, `-` for standard input.
///
/// # Errors
/// When it cannot be read, is too large, is not UTF-8, or is neither YAML nor JSON.
pub fn documents(path: &Path) -> Result<Documents, Findings> {
    let (name, text) = text(path)?;
    Documents::parse(&name, text)
}

/// Reads a policy file, or an Envoy file (ECDS, bootstrap, a plain resource) or a stream of manifests of Kubernetes with one policy
/// in it; `-` is stdin.
///
/// # Errors
/// When the file cannot be read or parsed, or holds no policy or several.
pub fn policy(path: &Path) -> Result<PolicyDocument, Findings> {
    policy_named(path, None)
}

/// Reads a policy as [`policy`] does; of several, the one of this name.
///
/// # Errors
/// When the file cannot be read or parsed, or does not hold exactly one such policy.
pub fn policy_named(path: &Path, name: Option<&str>) -> Result<PolicyDocument, Findings> {
    documents(path)?.policy(name)
}

/// Reads and resolves a cases file and the policy that it names.
///
/// # Errors
/// All mistakes in either file, each with its place.
pub fn plan(path: &Path, clock: Clock) -> Result<Plan, Findings> {
    plan_named(path, clock, None)
}

/// Reads and resolves a cases file as [`plan`] does; of several policies in the file that it names, the one of this name.
///
/// # Errors
/// All mistakes in either file, each with its place.
pub fn plan_named(path: &Path, clock: Clock, policy_name: Option<&str>) -> Result<Plan, Findings> {
    let policies = |path: &Path| path.exists().then(|| policy_named(path, policy_name));
    resolve(&document(path)?, path.parent().unwrap_or(Path::new("")), clock, &policies)
}
