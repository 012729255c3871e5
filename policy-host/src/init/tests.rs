use super::*;

fn spelled(kind: Kind, text: &str) -> Result<String, String> {
    Answers::issuer_of(kind, text)
}

#[test]
fn issuers_are_spelled_as_their_provider_does() {
    for (kind, text, issuer) in [
        (Kind::Auth0, "https://acme.eu.auth0.com", "https://acme.eu.auth0.com/"),
        (Kind::Auth0, "https://acme.eu.auth0.com/", "https://acme.eu.auth0.com/"),
        (Kind::Entra, "1-2-3", "https://login.microsoftonline.com/1-2-3/v2.0"),
        (Kind::Keycloak, " https://login.example/auth/realms/a ", "https://login.example/auth/realms/a"),
        (Kind::Google, "https://accounts.google.com", "https://accounts.google.com"),
    ] {
        assert_eq!(spelled(kind, text).as_deref(), Ok(issuer));
    }
}

#[test]
fn what_is_no_issuer_of_the_kind_says_why_and_shows_one() {
    for (kind, text, why) in [
        (Kind::Keycloak, "https://login.example", "a realm"),
        (Kind::Keycloak, "http://login.example/realms/a", "https"),
        (Kind::Entra, "common", "stands for many"),
        (Kind::Entra, "https://login.microsoftonline.com/{tenantid}/v2.0", "stands for many"),
        (Kind::Entra, "https://sts.windows.net/1/", "v1.0"),
        (Kind::Okta, "https://acme.okta.com", "custom"),
        (Kind::Cognito, "https://cognito-idp.eu-west-1.amazonaws.com", "user pool"),
        (Kind::Spire, "spiffe://prod.example", "https"),
        (Kind::Github, "https://a@b/", "without user"),
        (Kind::Github, "", "https"),
    ] {
        let said = spelled(kind, text).unwrap_err();
        assert!(said.contains(why) && said.contains(kind.preset().issuer.example), "{text}: {said}");
    }
}

/// What each provider documents as its `jwks_uri`.
#[test]
fn keys_are_where_the_provider_publishes_them() {
    for (kind, issuer, host, path) in [
        (Kind::Entra, "1-2-3", "login.microsoftonline.com", "/1-2-3/discovery/v2.0/keys"),
        (Kind::Okta, "https://acme.okta.com/oauth2/aus1", "acme.okta.com", "/oauth2/aus1/v1/keys"),
        (Kind::Auth0, "https://acme.auth0.com/", "acme.auth0.com", "/.well-known/jwks.json"),
        (Kind::Google, "https://accounts.google.com", "www.googleapis.com", "/oauth2/v3/certs"),
        (Kind::Github, "https://token.actions.githubusercontent.com", "token.actions.githubusercontent.com", "/.well-known/jwks"),
        (Kind::Github, "https://ghes.example/_services/token", "ghes.example", "/_services/token/.well-known/jwks"),
        (Kind::Kubernetes, "https://kubernetes.default.svc", "kubernetes.default.svc", "/openid/v1/jwks"),
        (Kind::Kubernetes, "https://oidc.eks.eu-west-1.amazonaws.com/id/AB", "oidc.eks.eu-west-1.amazonaws.com", "/id/AB/keys"),
        (Kind::Kubernetes, "https://container.googleapis.com/v1/projects/p", "container.googleapis.com", "/v1/projects/p/jwks"),
        (Kind::Spire, "https://oidc.prod.example", "oidc.prod.example", "/keys"),
    ] {
        let caller = kind.preset().caller.map(|caller| caller.example.to_owned());
        let (issuer, audience) = (issuer.to_owned(), "orders".to_owned());
        let written = Answers { kind, name: "a".to_owned(), issuer, audience, caller }.write().unwrap();
        let endpoint = format!("authority: {host:?}, path: {path:?}");
        assert!(written.policy.contains(&endpoint), "{endpoint}\n{}", written.policy);
    }
}

#[test]
fn an_answer_that_a_policy_cannot_hold_is_refused() {
    let answers = |name: &str, audience: &str| Answers {
        kind: Kind::Spire,
        name: name.to_owned(),
        issuer: "https://oidc.prod.example".to_owned(),
        audience: audience.to_owned(),
        caller: Some("spiffe://a/b".to_owned()),
    };
    assert!(answers("a", "\"], x: [\"").write().is_ok(), "a quote is a letter like others");
    assert!(matches!(answers("a b", "orders").write(), Err(InitError::Policy(_))));
    assert!(matches!(answers("a", "").write(), Err(InitError::Policy(_))));
}
