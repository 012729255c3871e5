//! OpenAPI documents (3.x, and Swagger 2.0), as a draft of a policy's `commands`: each operation is a command.

mod draft;
mod lenient;
mod names;
mod server;

pub use draft::{Command, Draft};

use serde_json::{Map, Value};
use server::Server;

/// An operation of a document: what a command is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Operation {
    /// `operationId`; `None` when it has none.
    id: Option<String>,
    /// In upper case.
    method: String,
    /// As the document writes it, without the server's base path.
    template: String,
    /// What stands before it: base paths of its servers.
    bases: Vec<Server>,
}

impl Operation {
    /// For people: `GET /orders/{id}`.
    fn shown(&self) -> String {
        format!("{} {}", self.method, self.template)
    }
}

/// The operations of documents, and what of them can be none.
#[derive(Debug, Default)]
pub struct Operations {
    all: Vec<Operation>,
    left_out: Vec<(String, String)>,
}

/// The fixed fields of a path item that are operations (OpenAPI 3.2.0 §4.9), `query` the latest of them.
const METHODS: [&str; 9] = ["get", "put", "post", "delete", "options", "head", "patch", "trace", "query"];

impl Operations {
    /// Reads a document, JSON or YAML.
    ///
    /// # Errors
    /// When it is neither, or no OpenAPI document: what is wrong, and in which line.
    pub fn read(&mut self, text: &str) -> Result<(), (usize, String)> {
        let document = lenient::parse(text)?;
        let version = |name: &str| document.get(name).map(|version| version.as_str().map_or(version.to_string(), str::to_owned));
        let servers = match (version("openapi"), version("swagger")) {
            (Some(three), _) if three.starts_with("3.") => server::of_three(document.get("servers")),
            (None, Some(two)) if two == "2.0" => vec![server::of_two(&document)],
            (Some(other), _) | (None, Some(other)) => {
                return Err((1, format!("version {other} is not known: OpenAPI 3.0, 3.1 and 3.2, and Swagger 2.0 are")));
            }
            (None, None) => return Err((1, "has neither `openapi` nor `swagger`: this is no OpenAPI document".to_owned())),
        };
        let Some(paths) = document.get("paths").and_then(Value::as_object) else {
            return Err((1, "has no `paths`".to_owned()));
        };
        for (template, item) in paths.iter().filter(|(template, _)| !template.starts_with("x-")) {
            self.path(template, item, &servers, &document);
        }
        Ok(())
    }

    fn path(&mut self, template: &str, item: &Value, servers: &[Server], document: &Value) {
        let referred = item.get("$ref").and_then(Value::as_str);
        let item = match referred {
            // A reference within the document is a JSON pointer (RFC 6901 §6).
            Some(reference) => reference.strip_prefix('#').and_then(|pointer| document.pointer(pointer)),
            None => Some(item),
        };
        let Some(item) = item.and_then(Value::as_object) else {
            let why = match referred {
                Some(reference) => format!("`{reference}` is not in this file: bundle the document into one"),
                None => "is no path item: an alias, perhaps, which is not followed here".to_owned(),
            };
            return self.left_out.push((template.to_owned(), why));
        };
        let own = |of: &Map<String, Value>| of.get("servers").map(|servers| server::of_three(Some(servers)));
        let servers = own(item).unwrap_or_else(|| servers.to_vec());
        let fixed = METHODS.iter().filter_map(|method| Some(((*method).to_uppercase(), item.get(*method)?)));
        let more = item.get("additionalOperations").and_then(Value::as_object);
        let more = more.into_iter().flatten().map(|(method, operation)| (method.clone(), operation));
        for (method, operation) in fixed.chain(more) {
            let members = operation.as_object();
            self.all.push(Operation {
                id: operation.get("operationId").and_then(Value::as_str).map(str::to_owned),
                method,
                template: template.to_owned(),
                bases: members.and_then(own).unwrap_or_else(|| servers.clone()),
            });
        }
    }

    /// A draft of the commands.
    #[must_use]
    pub fn draft(self) -> Draft {
        Draft::of(self.all, self.left_out)
    }
}

#[cfg(test)]
mod tests;
