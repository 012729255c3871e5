//! What a command is called: as its operation, or by its method and path.

use super::Operation;

impl Operation {
    /// A name of letters, digits, `.`, `_` and `-`, as commands have.
    pub(super) fn name(&self) -> String {
        let given = self.id.as_deref().map(spelled).filter(|name| !name.is_empty());
        given.unwrap_or_else(|| self.name_by_path())
    }

    /// `GET /orders/{id}` is `orders.read`.
    fn name_by_path(&self) -> String {
        let mut parts: Vec<String> =
            self.template.split('/').filter(|part| !part.contains('{')).map(spelled).filter(|part| !part.is_empty()).collect();
        if parts.is_empty() {
            parts.push("root".to_owned());
        }
        let one = self.template.trim_end_matches('/').ends_with('}');
        let verb = match (self.method.as_str(), one) {
            ("GET" | "HEAD", true) => "read".to_owned(),
            ("GET" | "HEAD", false) => "list".to_owned(),
            ("POST", _) => "create".to_owned(),
            ("PUT" | "PATCH", _) => "update".to_owned(),
            (other, _) => other.to_ascii_lowercase(),
        };
        parts.push(verb);
        parts.join(".")
    }
}

/// Other characters: those that divide words become dots.
fn spelled(text: &str) -> String {
    let divides = |c: char| matches!(c, '/' | ':' | ' ' | '#');
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let text: String = text.trim().chars().map(|c| if divides(c) { '.' } else { c }).filter(|c| plain(*c)).collect();
    text.trim_matches('.').to_owned()
}
