//! Durations as they are written everywhere here.

/// Reads a duration in seconds: as policies write it (`10m`, `0s`, `8h`, `1d`), or with a `-` before that. `None` is for any other
/// text.
#[must_use]
pub fn seconds(text: &str) -> Option<i64> {
    let parse = |text| i64::try_from(chaperone_policy::parse_seconds(text)?).ok();
    match text.strip_prefix('-') {
        Some(rest) => parse(rest).map(|seconds| -seconds),
        None => parse(text),
    }
}
