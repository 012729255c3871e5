//! The manifests that no test can run are at least true about the policy: what they carry compiles, but for the placeholder keys.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

use chaperone_policy::Policy;
use chaperone_tests::root;
use policy_host::{
    source::Document,
    token::{Alg, TestKey},
};

#[test]
fn the_policy_in_the_istio_example_compiles_once_it_has_real_keys() {
    let manifest = Document::read(&root().join("envoy").join("istio.yaml")).expect("valid YAML");
    let mut policy = manifest.value()["spec"]["pluginConfig"].clone();
    assert!(Policy::compile(policy.to_string().as_bytes()).is_err(), "an example that is not edited must not serve anybody");
    policy["tokens"]["issuers"][0]["keys"]["jwks"]["keys"][0] = TestKey::generate(Alg::Es256).expect("randomness").public_jwk();
    let compiled = Policy::compile(policy.to_string().as_bytes()).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(compiled.name(), Some("orders"));
    assert_eq!(manifest.value()["spec"]["failStrategy"], "FAIL_RELOAD");
}
