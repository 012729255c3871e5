//! An issuer as its provider spells it: a policy compares it letter by letter.

use super::Kind;

/// The issuer of this kind; what is wrong with it otherwise.
pub(super) fn spelled(kind: Kind, text: &str) -> Result<String, String> {
    let example = kind.preset().issuer.example;
    let wrong = |why: &str| Err(format!("{text}: {why}, such as {example}"));
    let text = text.trim();
    // A tenant's ID or domain makes its issuer.
    if kind == Kind::Entra && !text.contains('/') && !text.is_empty() {
        return spelled(kind, &format!("https://login.microsoftonline.com/{text}/v2.0"));
    }
    let Some(rest) = text.strip_prefix("https://") else { return wrong("an issuer is an https URL") };
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    if host.is_empty() || text.contains(['?', '#', '@', ' ', '"', '\\']) || !text.is_ascii() {
        return wrong("an issuer is an https URL without user, query and fragment");
    }
    match kind {
        Kind::Keycloak if !path.contains("realms/") => wrong("Keycloak's issuer is a realm"),
        Kind::Entra => match path.split('/').collect::<Vec<_>>().as_slice() {
            ["common" | "organizations" | "consumers" | "{tenantid}", ..] => {
                wrong("tokens name their tenant: this one stands for many, and an issuer for one")
            }
            [tenant, "v2.0"] if !tenant.is_empty() => Ok(text.to_owned()),
            _ => wrong("an issuer of v2.0 tokens ends with the tenant and /v2.0 (https://sts.windows.net/ is that of v1.0 ones)"),
        },
        Kind::Okta if !path.starts_with("oauth2/") => {
            wrong("tokens of Okta's org authorization server are for Okta alone: name a custom one")
        }
        Kind::Cognito if path.is_empty() || path.contains('/') => wrong("Cognito's issuer is a user pool"),
        // With the slash.
        Kind::Auth0 => Ok(if path.is_empty() { format!("https://{host}/") } else { text.to_owned() }),
        Kind::Keycloak | Kind::Okta | Kind::Cognito | Kind::Google | Kind::Github | Kind::Kubernetes | Kind::Spire => {
            Ok(text.to_owned())
        }
    }
}
