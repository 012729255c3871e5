//! Texts and values written so that YAML and JSON read them alike.

use serde_json::Value;
use std::borrow::Cow;

/// A text in double quotes.
#[must_use]
pub fn quoted(text: &str) -> String {
    printable(Value::from(text).to_string())
}

/// JSON as YAML 1.2.2 takes it, too: §5.1 allows only printable characters, where RFC 8259 §7 is content with what is no control
/// character. They can stand in texts alone, and there they are escaped.
#[must_use]
pub fn printable(json: String) -> String {
    let unprintable = |c: char| matches!(c, '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}');
    if !json.contains(unprintable) {
        return json;
    }
    json.chars()
        .map(|c| if unprintable(c) { Cow::from(format!("\\u{:04x}", u32::from(c))) } else { Cow::from(c.to_string()) })
        .collect()
}
