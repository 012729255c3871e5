//! Results to stdout, diagnostics to stderr, colours only where somebody looks at them.

use super::Exit;
use chaperone_authoring::source::Findings;
use policy_host::draw::{Style, draw};
use std::io::{IsTerminal, Write, stderr, stdout};

/// Writes a result. Whoever closed the pipe has seen enough, which is no failure of ours.
pub(crate) fn result(text: &str) -> Exit {
    let mut out = stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Exit::Fine,
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Exit::Fine,
        Err(error) => failed(&format!("cannot write to stdout: {error}")),
    }
}

/// Writes a diagnostic; nobody is left to tell when that fails.
pub(crate) fn diagnostic(text: &str) {
    let _ = writeln!(stderr().lock(), "{text}");
}

/// What could not be done, and the exit code for that.
pub(crate) fn failed(message: &str) -> Exit {
    diagnostic(&format!("policy-host: {message}"));
    Exit::Failed
}

/// Shows the mistakes of a document to people, and the exit code for them.
pub(crate) fn invalid(findings: &Findings) -> Exit {
    diagnostic(draw(findings, style()).trim_end());
    Exit::Invalid
}

/// `1 error`, `2 errors`.
pub(crate) fn count(number: impl TryInto<u64>, what: &str) -> String {
    let number: u64 = number.try_into().unwrap_or(u64::MAX);
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// Are colours wanted where this goes?
pub(crate) fn colours(to: &impl IsTerminal) -> bool {
    // https://no-color.org
    to.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

fn style() -> Style {
    if colours(&stderr()) { Style::Colour } else { Style::Plain }
}
