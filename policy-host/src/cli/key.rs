//! A private key's file, as `token keygen` writes it.

use super::{Exit, output};
use chaperone_authoring::token::TestKey;
use std::path::Path;

/// Reads it; what is wrong with it is told.
pub(super) fn read(path: &Path) -> Result<TestKey, Exit> {
    let wrong = |message: String| {
        output::diagnostic(&format!("policy-host: {}: {message}", path.display()));
        Exit::Invalid
    };
    let text = std::fs::read_to_string(path).map_err(|error| wrong(format!("cannot be read: {error}")))?;
    let jwk = serde_json::from_str(&text).map_err(|_| wrong("is not JSON".to_owned()))?;
    TestKey::from_jwk(&jwk).map_err(|error| wrong(error.to_string()))
}
