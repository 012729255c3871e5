//! Claims as issuers write them: what a grant's conditions see of them, what stands in for one, how long a token may be.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

mod support;

use std::rc::Rc;

use chaperone_policy::Policy;
use serde_json::{Value, json};
use support::{NOW, ask, claims, compile, document, get, head, token, with, worker};

#[test]
fn a_condition_looks_at_its_claim_and_at_nothing_else() {
    let code = |condition: Value, claim: Value| {
        let policy = compile(&with(document(), "/grants/0/when", json!({"claims": [condition]})));
        let mut all = claims();
        all.as_object_mut().unwrap().extend(claim.as_object().unwrap().clone());
        get(&policy, "/v1/orders", &token(&all)).code() == "allowed"
    };
    let roles = || json!({"claim": ["realm_access", "roles"], "contains": "reader"});
    assert!(code(roles(), json!({"realm_access": {"roles": ["other", "reader"]}})));
    for wrong in [
        json!({"realm_access": {"roles": "reader"}}),
        json!({"realm_access": {"roles": ["readers"]}}),
        json!({"realm_access": {"roles": [["reader"]]}}),
        json!({"realm_access": {"roles": {"0": "reader"}}}),
        json!({"realm_access": [{"roles": ["reader"]}]}),
        json!({"realm_access.roles": ["reader"]}),
        json!({"realm_access": null}),
        json!({"roles": ["reader"]}),
        json!({}),
    ] {
        assert!(!code(roles(), wrong.clone()), "{wrong}");
    }
    let word = || json!({"claim": "scope", "word": "ledger.read"});
    for good in ["ledger.read", "openid ledger.read", "ledger.read  profile"] {
        assert!(code(word(), json!({"scope": good})), "{good}");
    }
    for wrong in
        [json!("ledger.reader"), json!("xledger.read"), json!("ledger.read\tx"), json!(["ledger.read"]), json!(true), json!("")]
    {
        assert!(!code(word(), json!({"scope": wrong.clone()})), "{wrong}");
    }
    assert!(code(json!({"claim": "scope", "word": "ledger.*"}), json!({"scope": "openid ledger.read"})));
    // By name `scope` is what RFC 8693 says that it is, and any other claim is a whole text.
    let by_name = |name: &str, claim: Value| {
        let policy = compile(&with(document(), "/grants/0/when", json!({"claims": {name: "ledger.read"}})));
        let mut all = claims();
        all[name] = claim;
        get(&policy, "/v1/orders", &token(&all)).code() == "allowed"
    };
    assert!(by_name("scope", json!("openid ledger.read")) && by_name("scope", json!(["openid", "ledger.read"])));
    assert!(!by_name("scope", json!("ledger.reader")) && !by_name("scope", json!(["openid ledger.read"])));
    assert!(by_name("scp", json!("ledger.read")) && !by_name("scp", json!("openid ledger.read")));
    let verified = || json!({"claim": "email_verified", "is": true});
    assert!(code(verified(), json!({"email_verified": true})));
    for wrong in [json!("true"), json!(false), json!(1), json!([true]), json!(null)] {
        assert!(!code(verified(), json!({"email_verified": wrong.clone()})), "{wrong}");
    }
    let level = || json!({"claim": ["ctx", "level"], "is": 3});
    assert!(code(level(), json!({"ctx": {"level": 3}})) && code(level(), json!({"ctx": {"level": 3.0}})));
    for wrong in [json!("3"), json!(3.5), json!(-3), json!(30), json!([3]), json!(true)] {
        assert!(!code(level(), json!({"ctx": {"level": wrong.clone()}})), "{wrong}");
    }
    let is = || json!({"claim": "role", "is": "support"});
    assert!(code(is(), json!({"role": "support"})) && !code(is(), json!({"role": ["support"]})));
    assert!(!code(json!({"claim": "role", "contains": "support"}), json!({"role": "support"})));
    // All of them must hold, two of one claim as well.
    let both = json!({"claims": [{"claim": "groups", "contains": "a"}, {"claim": "groups", "contains": "b"}]});
    let policy = compile(&with(document(), "/grants/0/when", both));
    for (groups, expected) in
        [(json!(["a", "b"]), "allowed"), (json!(["a"]), "command_not_granted"), (json!(["b"]), "command_not_granted")]
    {
        let mut all = claims();
        all["groups"] = groups;
        assert_eq!(get(&policy, "/v1/orders", &token(&all)).code(), expected);
    }
}

#[test]
fn a_token_may_be_as_long_as_the_policy_says_and_one_that_is_kept_no_longer() {
    let policy = |most: Option<u64>| {
        compile(&most.map_or_else(document, |most| with(document(), "/limits", json!({"token_bytes": most}))))
    };
    let mut all = claims();
    all["groups"] = json!(vec!["0123456789abcdef0123456789abcdef0123"; 160]);
    let long = token(&all);
    assert!((8193..10_000).contains(&long.len()));
    let fields = head("GET", "/v1/orders", &[("authorization", &format!("Bearer {long}"))]);
    let mut worker = worker();
    let mut code = |policy: &Rc<Policy>| ask(policy, &mut worker, NOW, &fields).code().to_owned();
    assert_eq!(code(&policy(None)), "token_malformed");
    assert_eq!(code(&policy(Some(16_384))), "allowed");
    assert_eq!(code(&policy(Some(long.len() as u64))), "allowed");
    assert_eq!(code(&policy(Some(long.len() as u64 - 1))), "token_malformed", "the worker still has it");
    assert_eq!(code(&policy(None)), "token_malformed");
}

#[test]
fn what_stands_in_for_aud_is_asked_where_there_is_none() {
    let policy = compile(&with(document(), "/tokens/issuers/0/claims", json!({"audience": "client_id"})));
    let code = |aud: Option<Value>, client: &str| {
        let mut all = claims();
        all.as_object_mut().unwrap().remove("aud");
        if let Some(aud) = aud {
            all["aud"] = aud;
        }
        all["client_id"] = json!(client);
        get(&policy, "/v1/orders", &token(&all)).code().to_owned()
    };
    assert_eq!(code(None, "orders"), "allowed");
    assert_eq!(code(None, "billing"), "audience_mismatch");
    for wrong in [json!("billing"), json!([]), json!(null), json!({"orders": 1})] {
        assert_eq!(code(Some(wrong.clone()), "orders"), "audience_mismatch", "{wrong}");
    }
    let mut all = claims();
    all.as_object_mut().unwrap().remove("aud");
    all["client_id"] = json!("orders");
    assert_eq!(
        get(&compile(&document()), "/v1/orders", &token(&all)).code(),
        "audience_mismatch",
        "only where the policy says so"
    );
}
