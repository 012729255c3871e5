//! For programs: every case with its result.

use super::{Counts, Report};
use chaperone_authoring::cases::{Case, Coverage, Failure, Ran};
use serde_json::{Value, json};

impl Report {
    /// `{"passed","failed","trapped","seconds","files","coverage"}`: a file is `{"file","policy","cases"}`, a case
    /// `{"name","line","column","result","seconds","trap","failures"}` with a result of `passed`, `failed` or `trapped`, a
    /// failure `{"step","name","line","column","mismatches"}` with steps counted from 1, a mismatch
    /// `{"what","expected","found"}`.
    #[must_use]
    pub fn json(&self) -> Value {
        let Counts { passed, failed, trapped } = self.counts();
        let files: Value = self
            .cases()
            .map(|(plan, cases)| {
                let cases: Value = cases.map(|(case, ran)| case_json(case, ran)).collect();
                json!({"file": plan.name, "policy": plan.policy_path.display().to_string(), "cases": cases})
            })
            .collect();
        let coverage: Value = self.coverage.iter().map(Coverage::json).collect();
        json!({
            "passed": passed, "failed": failed, "trapped": trapped, "seconds": seconds(self.took),
            "files": files, "coverage": coverage,
        })
    }
}

fn case_json(case: &Case, ran: &Ran) -> Value {
    let result = match (&ran.trap, ran.failures.is_empty()) {
        (Some(_), _) => "trapped",
        (None, false) => "failed",
        (None, true) => "passed",
    };
    let failures: Value = ran.failures.iter().map(failure_json).collect();
    json!({
        "name": case.name, "line": case.location.line, "column": case.location.column, "result": result,
        "seconds": seconds(ran.took), "trap": ran.trap, "failures": failures,
    })
}

fn failure_json(failure: &Failure) -> Value {
    let Failure { step, name, location, mismatches } = failure;
    let mismatches: Value = mismatches
        .iter()
        .map(|mismatch| json!({"what": mismatch.what, "expected": mismatch.expected, "found": mismatch.found}))
        .collect();
    json!({"step": step + 1, "name": name, "line": location.line, "column": location.column, "mismatches": mismatches})
}

/// To the millisecond.
fn seconds(took: std::time::Duration) -> f64 {
    (took.as_secs_f64() * 1_000.0).round() / 1_000.0
}
