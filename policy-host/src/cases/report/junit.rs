//! For collectors of test results: JUnit XML.

use super::{Report, title};
use chaperone_authoring::cases::{Case, Ran};
use quick_junit::{NonSuccessKind, SerializeError, TestCase, TestCaseStatus, TestSuite};
use std::fmt::Write as _;

impl Report {
    /// A suite a file, a test case a case. What failed is a `failure`, a filter that trapped an `error` with its backtrace.
    ///
    /// # Errors
    /// When XML cannot say it.
    pub fn junit(&self) -> Result<String, SerializeError> {
        let mut report = quick_junit::Report::new("policy-host");
        report.set_time(self.took);
        for (plan, cases) in self.cases() {
            let mut suite = TestSuite::new(plan.name.as_str());
            for (case, ran) in cases {
                suite.add_test_case(test_case(&plan.name, case, ran));
            }
            report.add_test_suite(suite);
        }
        report.to_string()
    }
}

fn test_case(file: &str, case: &Case, ran: &Ran) -> TestCase {
    let failed = |kind, message: String, text: String| {
        let mut status = TestCaseStatus::non_success(kind);
        status.set_message(message).set_description(text);
        status
    };
    let status = match (&ran.trap, ran.failures.first()) {
        (Some(trap), _) => failed(
            NonSuccessKind::Error,
            trap.lines().next().unwrap_or_default().to_owned(),
            format!("{}\n{trap}", case.location),
        ),
        (None, Some(first)) => {
            let message = first.mismatches.first().map_or_else(String::new, ToString::to_string);
            failed(NonSuccessKind::Failure, message, failures(case, ran))
        }
        (None, None) => TestCaseStatus::success(),
    };
    let mut test = TestCase::new(case.name.as_str(), status);
    test.set_classname(file).set_time(ran.took);
    test.extra.insert("file".into(), file.into());
    test.extra.insert("line".into(), case.location.line.to_string().into());
    test
}

fn failures(case: &Case, ran: &Ran) -> String {
    let mut text = String::new();
    for failure in &ran.failures {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{}: {}", failure.location, title(case, failure.step, &failure.name));
        for mismatch in &failure.mismatches {
            let _ = writeln!(text, "  {mismatch}");
        }
    }
    text
}
