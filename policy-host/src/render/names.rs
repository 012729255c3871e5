//! What Envoy tells the filter of one listener from that of another by. Open streams are found again by it, so that it stays as it is.

use chaperone_authoring::source::{Finding, Findings, Lint, Named, PolicyDocument, Severity};
use std::str::FromStr;

/// The names of a rendered filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    /// By which a listener asks for it by ECDS.
    pub(super) resource: String,
    /// Of the plugin.
    pub(super) plugin: String,
    /// Of the VM: shared data and ended sessions live under it.
    pub(super) vm_id: String,
}

impl Default for Names {
    fn default() -> Self {
        Self::all("chaperone")
    }
}

/// One name for all three.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name(String);

impl FromStr for Name {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        let good = !text.is_empty() && text.len() <= 63 && text.bytes().all(plain);
        if good { Ok(Self(text.to_owned())) } else { Err("up to 63 letters, digits, `-`, `_` and `.`".to_owned()) }
    }
}

impl Names {
    fn all(name: &str) -> Self {
        Self { resource: name.to_owned(), plugin: name.to_owned(), vm_id: name.to_owned() }
    }

    /// The names to render under: those of the ECDS file that is in force, else the one that is asked for, else `chaperone`.
    ///
    /// # Errors
    /// When both are there and differ: a changed name would leave the open streams behind without a word.
    pub fn choose(asked: Option<&Name>, in_force: Option<&PolicyDocument>) -> Result<Self, Findings> {
        let asked = asked.map(|Name(name)| name.as_str());
        let Some((document, [resource, plugin, vm_id])) = in_force.and_then(|document| Some((document, names_of(document)?)))
        else {
            return Ok(asked.map_or_else(Self::default, Self::all));
        };
        let other = asked.and_then(|asked| [&resource, &plugin, &vm_id].into_iter().find(|named| named.name != *asked));
        if let Some((other, asked)) = other.zip(asked) {
            let message =
                format!("in force under the name `{}`, and not `{asked}`: what is open now would be left behind", other.name);
            let help =
                "leave --name out, and the names stay as they are; for a filter of its own leave --keep-revoked out".to_owned();
            return Err(document.finding_at(other, message, Some(help)).into());
        }
        Ok(Self { resource: resource.name, plugin: plugin.name, vm_id: vm_id.name })
    }
}

/// Resource, plugin and VM of an ECDS file.
fn names_of(document: &PolicyDocument) -> Option<[Named; 3]> {
    let identity = document.identity();
    Some([identity.resource?, identity.plugin?, identity.vm_id?])
}

/// What stands between this file and the one of another listener of the same Envoy, with its place in the other one.
///
/// # Errors
/// When they have VM, plugin and policy name in common: each would take the other's policy, and its sessions, for its own.
pub fn beside(rendered: &PolicyDocument, other: &PolicyDocument) -> Result<Option<Finding>, Findings> {
    let Some(([_, plugin, vm_id], [_, others_plugin, others_vm_id])) = names_of(rendered).zip(names_of(other)) else {
        return Ok(None);
    };
    if vm_id.name != others_vm_id.name {
        return Ok(None);
    }
    let policy = rendered.value().get("name");
    if policy == other.value().get("name") {
        // Whatever the plugins are called: what judges an open stream is found by these two.
        let plugins = if plugin.name == others_plugin.name { ", plugin" } else { "" };
        let message = format!(
            "the same `vm_id`{plugins} and policy name (`{}`) as in what is rendered: each of the two would take the other's policy for its own",
            vm_id.name
        );
        let help = format!("give the one that is rendered a name of its own, such as `--name {}-2`", vm_id.name);
        return Err(other.finding_at(&others_plugin, message, Some(help)).into());
    }
    let message = format!(
        "the same `vm_id` as in what is rendered (`{}`): they share memory, environment and what sessions have done",
        vm_id.name
    );
    let finding = other.finding_at(&others_vm_id, message, Some("`--name NAME` gives each a VM of its own".to_owned()));
    Ok(Some(Finding { severity: Severity::Warning(Lint::VmShared), ..finding }))
}
