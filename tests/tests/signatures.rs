//! One verdict on a signature, whoever checks it: the host's crypto (policy-host's, a real Envoy's) or pure Rust in wasm. And
//! whatever the host says, a signature that does not hold is never taken for one that does.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as B64};
use chaperone_authoring::token::TestKey;
use chaperone_policy::Algorithm;
use chaperone_tests::{
    client::{Call, Protocol},
    mesh::Mesh,
    scenario::{self, Scenario},
    stages::{Message, run},
    upstream::Upstream,
    wasm,
};
use policy_host::host::{Clock, Module, Plugin, RootId, Shared, Status, Vm, VmOptions};
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::OnceLock, time::Duration};

const FOREIGN: &str = "proxy_call_foreign_function";
/// Algorithms that the host knows.
const HOST: [Algorithm; 5] = [Algorithm::Es256, Algorithm::Es384, Algorithm::Rs256, Algorithm::Rs384, Algorithm::Rs512];

/// Who is to check a signature when the host can.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum By {
    Host,
    Rust,
    /// It is none on the face of it.
    Nobody,
}

struct Vector {
    name: String,
    token: String,
    holds: bool,
    by: By,
}

struct Vectors {
    policy: Value,
    all: Vec<Vector>,
}

fn vectors() -> &'static Vectors {
    static VECTORS: OnceLock<Vectors> = OnceLock::new();
    VECTORS.get_or_init(make)
}

fn make() -> Vectors {
    // One RSA key for its six algorithms: making one takes a second.
    let rsa = TestKey::generate(Algorithm::Rs256).expect("randomness").private_jwk();
    let stranger = TestKey::generate(Algorithm::Rs256).expect("randomness").private_jwk();
    let of = |alg: Algorithm, rsa: &Value| {
        let mut jwk = if is_rsa(alg) { rsa.clone() } else { TestKey::generate(alg).expect("randomness").private_jwk() };
        jwk["alg"] = json!(alg.name());
        jwk["kid"] = json!(alg.name());
        TestKey::from_jwk(&jwk).expect("a key")
    };
    let keys: BTreeMap<Algorithm, TestKey> = Algorithm::ALL.map(|alg| (alg, of(alg, &rsa))).into();
    let mut policy = Scenario::new().policy();
    let issuer = &mut policy["tokens"]["issuers"][0];
    issuer["algorithms"] = json!(Algorithm::ALL.map(Algorithm::name));
    issuer["keys"]["jwks"]["keys"] = keys.values().map(TestKey::public_jwk).collect();
    // Thousands of checks in a row are not what a limit of 200 a second is for.
    policy["limits"] = json!({"verifications_per_second": 10_000});

    let mut all = Vec::new();
    for (alg, key) in &keys {
        let mut add = |name: &str, token: String, holds: bool, by: By| {
            let by = if by == By::Host && !HOST.contains(alg) { By::Rust } else { by };
            all.push(Vector { name: format!("{alg}: {name}"), token, holds, by });
        };
        // Each token is another, so that none is known from before.
        let signed = |session: &str| key.sign(json!({}), claims(&format!("{alg}-{session}")));
        add("good", signed("good"), true, By::Host);
        add("by a stranger", of(*alg, &stranger).sign(json!({}), claims("stranger")), false, By::Host);
        let (input, signature) = split(&signed("altered"));
        let raw = |signature: &[u8]| format!("{input}.{}", B64.encode(signature));
        let (mut first, mut last) = (signature.clone(), signature.clone());
        first[1] ^= 1;
        *last.last_mut().expect("bytes") ^= 1;
        add("a bit of its begin changed", raw(&first), false, By::Host);
        add("a bit of its end changed", raw(&last), false, By::Host);
        let (other, _) = split(&signed("others"));
        add("of another token", format!("{other}.{}", B64.encode(&signature)), false, By::Host);
        match alg {
            Algorithm::Es256 | Algorithm::Es384 => {
                for (name, r, s) in spellings(*alg, &signature) {
                    add(name, raw(&[r, s].concat()), false, By::Nobody);
                }
                let (r, s) = signature.split_at(signature.len() / 2);
                add("r and s swapped", raw(&[s, r].concat()), false, By::Host);
                add("n - s, as valid as s", raw(&[r, &subtract(&order(*alg), s)].concat()), true, By::Host);
                add("DER", raw(&der(r, s)), false, By::Nobody);
            }
            Algorithm::Rs256 | Algorithm::Rs384 | Algorithm::Rs512 => {
                let n = B64.decode(key.public_jwk()["n"].as_str().expect("n")).expect("base64url");
                add("0", raw(&[0; 256]), false, By::Host);
                add("1", raw(&[&[0; 255][..], &[1]].concat()), false, By::Host);
                add("n", raw(&n), false, By::Host);
                add("n - 1", raw(&subtract(&n, &[&[0; 255][..], &[1]].concat())), false, By::Host);
                add("n - s", raw(&subtract(&n, &signature)), false, By::Host);
                add("a byte short", raw(&signature[1..]), false, By::Host);
                add("a zero before it", raw(&[&[0], &signature[..]].concat()), false, By::Host);
                // The modulus of all six keys is the same, and still each is for one algorithm.
                for (of, signer) in keys.iter().filter(|(of, _)| *of != alg && is_rsa(**of)) {
                    let header = json!({"alg": alg.name(), "kid": alg.name(), "typ": "JWT"}).to_string();
                    let claims = claims(of.name()).to_string();
                    let token = signer.sign_raw(header.as_bytes(), claims.as_bytes());
                    add(&format!("made as {of}"), token, false, By::Host);
                }
            }
            Algorithm::EdDsa | Algorithm::Ps256 | Algorithm::Ps384 | Algorithm::Ps512 => {}
        }
    }
    Vectors { policy, all }
}

fn is_rsa(alg: Algorithm) -> bool {
    alg.name().starts_with(['R', 'P'])
}

fn claims(session: &str) -> Value {
    let now = scenario::now();
    json!({"iss": "https://broker.example", "aud": "orders", "sub": "agent-7", "sid": session, "iat": now, "exp": now + 600})
}

fn split(token: &str) -> (String, Vec<u8>) {
    let (input, signature) = token.rsplit_once('.').expect("a token");
    (input.to_owned(), B64.decode(signature).expect("base64url"))
}

/// The order of the curve's group (SEC 2 §2.4.2, §2.5.1).
fn order(alg: Algorithm) -> Vec<u8> {
    let text = if alg == Algorithm::Es256 {
        "_____wAAAAD__________7zm-q2nF56E87nKwvxjJVE"
    } else {
        "________________________________x2NNgfQ3Ld9YGg2ySLCneuzsGWrMxSlz"
    };
    B64.decode(text).expect("base64url")
}

/// Signatures that are none, by r and s.
fn spellings(alg: Algorithm, signature: &[u8]) -> Vec<(&'static str, Vec<u8>, Vec<u8>)> {
    let n = order(alg);
    let (r, s) = signature.split_at(n.len());
    let (r, s, zero, most) = (r.to_vec(), s.to_vec(), vec![0; n.len()], vec![0xff; n.len()]);
    vec![
        ("r = s = 0", zero.clone(), zero.clone()),
        ("r = 0", zero.clone(), s.clone()),
        ("s = 0", r.clone(), zero),
        ("r = n", n.clone(), s.clone()),
        ("s = n", r.clone(), n),
        ("r > n", most.clone(), s.clone()),
        ("s > n", r.clone(), most),
        ("a byte short", r.clone(), s[1..].to_vec()),
        ("a byte long", r.clone(), [&s[..], &[0]].concat()),
        ("r alone", r, Vec::new()),
        ("one byte", Vec::new(), vec![1]),
    ]
}

/// a - b, big-endian and of one length.
fn subtract(a: &[u8], b: &[u8]) -> Vec<u8> {
    let (mut borrow, mut difference) = (false, a.to_vec());
    for (a, b) in difference.iter_mut().zip(b).rev() {
        let (less, first) = a.overflowing_sub(*b);
        let (less, second) = less.overflowing_sub(u8::from(borrow));
        (*a, borrow) = (less, first || second);
    }
    difference
}

fn der(r: &[u8], s: &[u8]) -> Vec<u8> {
    let integer = |number: &[u8]| {
        let padded: Vec<u8> = [0].into_iter().chain(number.iter().copied().skip_while(|byte| *byte == 0)).collect();
        let number = if padded[1] < 0x80 { &padded[1..] } else { &padded };
        [&[2, u8::try_from(number.len()).expect("short")], number].concat()
    };
    let both = [integer(r), integer(s)].concat();
    [&[0x30, u8::try_from(both.len()).expect("short")], &both[..]].concat()
}

struct Local {
    vm: Vm,
    root: RootId,
    shared: Shared,
}

impl Local {
    /// `before` does something to the host before the filter tries it.
    fn start(before: impl FnOnce(&mut Vm)) -> Self {
        static MODULE: OnceLock<Module> = OnceLock::new();
        let module = MODULE.get_or_init(|| Module::load(wasm::chaperone()).expect("the filter loads"));
        // Before the clock is set, which must not stand before the tokens' issue.
        let policy = vectors().policy.to_string();
        let shared = Shared::default();
        let (name, value) = scenario::CREDENTIAL;
        let environment = vec![(name.to_owned(), value.to_owned())];
        let clock = Clock::fixed(scenario::now() * 1_000_000_000);
        let mut vm = Vm::start(module, VmOptions { environment, clock, shared: shared.clone(), ..VmOptions::default() })
            .expect("the filter starts");
        before(&mut vm);
        let root = vm.configure(&Plugin::default(), policy.as_bytes()).expect("a good policy");
        Self { vm, root, shared }
    }

    /// `allowed`, or the details of the denial.
    fn verdict(&mut self, token: &str) -> String {
        let fields = |fields: &[(&str, &str)]| {
            fields.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())).collect()
        };
        let request = fields(&[
            (":method", "GET"),
            (":path", "/v1/orders/7"),
            (":authority", "orders.example"),
            (":scheme", "https"),
            ("authorization", &format!("Bearer {token}")),
        ]);
        let message = Message { request, response: fields(&[(":status", "200")]), ..Message::default() };
        let ran = run(&mut self.vm, self.root, &message, |_, _| {});
        assert!(ran.trap.is_none(), "{ran:?}");
        if ran.passed() { "allowed".to_owned() } else { ran.reply.expect("a denial").details }
    }

    /// The verdict on each vector must be right; who checked them.
    fn check_all(&mut self) -> Made {
        for Vector { name, token, holds, by: _ } in &vectors().all {
            let right = if *holds { "allowed" } else { "chaperone{signature_invalid}" };
            assert_eq!(self.verdict(token), right, "{name}");
        }
        self.made()
    }

    fn made(&mut self) -> Made {
        self.vm.tick(self.root).expect("a tick reports");
        let metric = |name: &str| self.shared.metric(&format!("chaperone.verifications.{name}"));
        Made { host: metric("host"), rust: metric("rust") }
    }
}

/// Checks by the filter's metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Made {
    host: u64,
    rust: u64,
}

/// What the metrics must say after all vectors, where the host is relied on.
fn by_host() -> Made {
    let count = |by: By| vectors().all.iter().filter(|vector| vector.by == by).count() as u64;
    let made = Made { host: count(By::Host), rust: count(By::Rust) };
    assert!(made.host > 60 && made.rust > 15 && count(By::Nobody) > 20, "{made:?}");
    made
}

/// And where it is not.
fn by_rust() -> Made {
    let Made { host, rust } = by_host();
    Made { host: 0, rust: host + rust }
}

#[test]
fn verdicts_are_the_same_by_the_host_and_in_rust() {
    assert_eq!(Local::start(|_| {}).check_all(), by_host());
    // The host has no such function.
    for status in [Status::NotFound, Status::BadArgument, Status::InternalFailure] {
        let mut without = Local::start(|vm| assert!(vm.fail_call(FOREIGN, Some(status.into()))));
        // It has been found wanting once, and is not asked again.
        without.vm.fail_call(FOREIGN, None);
        assert_eq!(without.check_all(), by_rust(), "{status:?}");
    }
    // Each of the questions at the start has to be answered.
    for number in 0..6 {
        let mut without = Local::start(|vm| assert!(vm.fail_calls(FOREIGN, number..number + 1, Status::BadArgument.into())));
        assert_eq!(without.check_all(), by_rust(), "{number}");
    }
}

#[test]
fn a_host_that_refuses_a_key_is_asked_about_the_next() {
    let mut local = Local::start(|_| {});
    local.vm.fail_call(FOREIGN, Some(Status::BadArgument.into()));
    assert_eq!(local.check_all(), by_rust());
    local.vm.fail_call(FOREIGN, None);
    let fresh = vectors().all.iter().find(|vector| vector.by == By::Host && !vector.holds).expect("one");
    local.verdict(&fresh.token);
    assert_eq!(local.made(), Made { host: 1, ..by_rust() });
}

const TRUE: [u8; 2] = [8, 1];

type Lie = fn(&mut Vec<u8>);

/// What a host might say instead of what it has found.
fn lies() -> Vec<(&'static str, Lie)> {
    vec![
        ("true of everything", |answer| *answer = TRUE.to_vec()),
        ("true where false, and false where true", |answer| {
            *answer = if *answer == TRUE { b"\x12\x02no".to_vec() } else { TRUE.to_vec() };
        }),
        ("false of everything", |answer| *answer = b"\x12\x02no".to_vec()),
        ("nothing", Vec::clear),
        ("nonsense", |answer| *answer = vec![0xff; 40]),
        ("a true that is two", |answer| answer.iter_mut().filter(|byte| **byte == 1).for_each(|byte| *byte = 2)),
        ("true, and something after it", |answer| answer.push(0)),
        ("half of it", |answer| answer.truncate(answer.len() / 2)),
    ]
}

#[test]
fn a_host_that_is_wrong_at_the_start_is_never_relied_on() {
    for (name, lie) in lies() {
        let mut local = Local::start(|vm| vm.spoil_answers(Some(Box::new(lie))));
        assert_eq!(local.check_all(), by_rust(), "{name}");
        local.vm.spoil_answers(None);
        local.verdict(&vectors().all[1].token);
        assert_eq!(local.made().host, 0, "{name}: not asked again");
    }
    // It is tried with a forged signature and with a forged text, of either kind of key.
    for wrong in 0..6 {
        let mut asked = 0;
        let lie = move |answer: &mut Vec<u8>| {
            if asked == wrong {
                *answer = if *answer == TRUE { b"\x12\x02no".to_vec() } else { TRUE.to_vec() };
            }
            asked += 1;
        };
        let mut local = Local::start(|vm| vm.spoil_answers(Some(Box::new(lie))));
        assert_eq!(local.check_all(), by_rust(), "{wrong}");
    }
}

#[test]
fn only_what_a_host_says_in_its_own_words_is_a_verdict() {
    for (name, lie) in lies().into_iter().filter(|(name, _)| !name.starts_with("true ")) {
        let mut local = Local::start(|_| {});
        local.vm.spoil_answers(Some(Box::new(lie)));
        let made = local.check_all();
        assert_eq!(made.host + made.rust, by_rust().rust, "{name}");
        assert!(made.rust > by_host().rust, "{name}: {made:?}");
    }
    let mut local = Local::start(|_| {});
    local.vm.spoil_answers(Some(Box::new(|answer| *answer = b"\x12\x18sha384 is not supported.".to_vec())));
    assert_eq!(local.check_all(), by_rust());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_envoy_finds_the_same_by_its_own_crypto() {
    let mesh = Mesh::with("signatures", &vectors().policy, Upstream::start().await, wasm::chaperone(), &[]).await;
    let mut statuses = BTreeMap::new();
    for Vector { name, token, holds, by: _ } in &vectors().all {
        let reply = mesh.send(&Call::get("/v1/orders/7").bearer(token), Protocol::Http1).await;
        assert_eq!(reply.status, if *holds { 200 } else { 401 }, "{name}: {reply:?}");
        *statuses.entry(reply.status).or_insert(0) += 1;
    }
    assert!(statuses[&200] >= 11 && statuses[&401] > 80, "{statuses:?}");
    // The filter reports its metrics each second.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let made = Made {
        host: mesh.envoy.stat("wasmcustom.chaperone.verifications.host").await,
        rust: mesh.envoy.stat("wasmcustom.chaperone.verifications.rust").await,
    };
    // Pure Rust has done what Envoy cannot do, EdDSA and PSS, and nothing else.
    assert_eq!(made, by_host());
    assert_eq!(mesh.envoy.stat("wasmcustom.chaperone.decisions.signature_invalid").await, statuses[&401]);
}
