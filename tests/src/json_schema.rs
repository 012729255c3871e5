//! A JSON Schema validator that is not ours: the pinned `fastjsonschema`, in a Python virtual environment under the build folder.

use crate::{install, target};
use serde_json::{Value, json};
use std::{
    fs::{self, File},
    io::Write,
    path::PathBuf,
    process::{Command, Stdio},
};

/// Reads `{"schema", "documents"}` and writes a list: null for a valid document, else what is wrong.
const SCRIPT: &str = "
import json, sys, fastjsonschema
given = json.load(sys.stdin)
validate = fastjsonschema.compile(given['schema'], use_default=False)
def verdict(document):
    try:
        validate(document)
    except fastjsonschema.JsonSchemaValueException as error:
        return str(error)
json.dump([verdict(document) for document in given['documents']], sys.stdout)
";

/// For each document what is wrong with it by the schema, `None` when it is valid.
///
/// # Panics
/// When the validator cannot be installed or fails: no test is skipped for that.
#[must_use]
pub fn verdicts(schema: &Value, documents: &[Value]) -> Vec<Option<String>> {
    let mut child = Command::new(python())
        .args(["-c", SCRIPT])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the installed python can be started");
    let given = json!({"schema": schema, "documents": documents}).to_string();
    // The script reads all before it writes anything.
    child.stdin.take().expect("piped").write_all(given.as_bytes()).expect("python reads");
    let out = child.wait_with_output().expect("python ends");
    assert!(out.status.success(), "the schema itself is wrong, python says above");
    serde_json::from_slice(&out.stdout).expect("a list of verdicts")
}

fn python() -> PathBuf {
    let venv = target().join("schema-venv");
    fs::create_dir_all(target()).expect("the build folder can be written");
    let lock = File::create(target().join("schema-venv.lock")).expect("the build folder can be written");
    lock.lock().expect("a lock file can be locked");
    let python = venv.join("bin").join("python");
    let ready = Command::new(&python).args(["-c", "import fastjsonschema"]).output().is_ok_and(|out| out.status.success());
    if !ready {
        install::venv(&venv, "requirements-schema.txt");
    }
    python
}
