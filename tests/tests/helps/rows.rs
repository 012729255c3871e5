//! A mistake, what `check` says to it, and that written.

use jiff::{SignedDuration, Timestamp};
use std::path::Path;

/// One mistake in a good text.
pub(crate) struct Row {
    good: String,
    /// Of the good text, of the mistake, and of what the help says.
    edits: Vec<[String; 3]>,
    /// A JSON pointer.
    pub(crate) place: String,
    pub(crate) help: String,
    /// The file whose place the text is to take.
    pub(crate) against: Option<String>,
    pub(crate) arguments: Vec<&'static str>,
    /// What the help says to call it with.
    pub(crate) then: Option<Vec<&'static str>>,
}

impl Row {
    pub(crate) fn new(good: &str, (place, help, from, wrong, right): (&str, &str, &str, &str, &str)) -> Self {
        Self {
            good: good.to_owned(),
            edits: Vec::new(),
            place: place.to_owned(),
            help: help.to_owned(),
            against: None,
            arguments: Vec::new(),
            then: None,
        }
        .and(from, wrong, right)
    }

    pub(crate) fn and(mut self, from: &str, wrong: &str, right: &str) -> Self {
        self.edits.push([from, wrong, right].map(str::to_owned));
        self
    }

    pub(crate) fn against(self, old: &str) -> Self {
        Self { against: Some(timed(old)), ..self }
    }

    pub(crate) fn with(self, arguments: &[&'static str]) -> Self {
        Self { arguments: arguments.to_vec(), ..self }
    }

    pub(crate) fn then(self, arguments: &[&'static str]) -> Self {
        Self { then: Some(arguments.to_vec()), ..self }
    }

    /// What the good and the corrected text are checked with.
    pub(crate) fn corrected(&self) -> &[&'static str] {
        self.then.as_deref().unwrap_or(&self.arguments)
    }

    pub(crate) fn good(&self) -> String {
        timed(&self.good)
    }

    /// The text with the mistake, and with what the help says; what stands in the good text not once is a mistake of the row.
    pub(crate) fn edited(&self) -> Result<(String, String), String> {
        let edited = |which: usize| {
            self.edits.iter().try_fold(self.good.clone(), |text, edit| match text.matches(&edit[0]).count() {
                1 => Ok(text.replacen(&edit[0], &edit[which], 1)),
                count => Err(format!("{count} times in the good text: {}", edit[0])),
            })
        };
        Ok((timed(&edited(1)?), timed(&edited(2)?)))
    }
}

/// Instants that are recent, over or to come, whenever the test runs.
fn timed(text: &str) -> String {
    let at = |minutes| (Timestamp::now() + SignedDuration::from_mins(minutes)).strftime("%Y-%m-%dT%H:%M:00Z").to_string();
    text.replace("RECENT", &at(-10)).replace("OVER", &at(-200)).replace("TO_COME", &at(200))
}

pub(crate) fn rows(good: &str, table: &[(&str, &str, &str, &str, &str)]) -> Vec<Row> {
    table.iter().map(|row| Row::new(good, *row)).collect()
}

/// What `policy-host check` says of the text: a finding has a pointer, a severity, a code and a help.
pub(crate) fn check(folder: &Path, text: &str, row: &Row, arguments: &[&str]) -> Vec<serde_json::Value> {
    use std::{
        io::Write,
        process::{Command, Stdio},
    };
    let mut command = Command::new(chaperone_tests::command::policy_host());
    command.args(["check", "-", "--format", "json", "--ways-round"]).args(arguments);
    if let Some(old) = &row.against {
        let path = folder.join("old.yaml");
        std::fs::write(&path, old).unwrap();
        command.arg("--against").arg(path);
    }
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let text = text.to_owned();
    let writer = std::thread::spawn(move || drop(input.write_all(text.as_bytes())));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}
