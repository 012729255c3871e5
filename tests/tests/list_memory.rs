//! What status lists of a million sessions cost a worker: their bits, and no more.
//!
//! Measured is the linear memory of the .wasm, which grows in pages of 64 KiB and never shrinks. So the first list shows the most that was
//! ever in use at once, its answer on the way in included; each list after it needs that room only again, and shows what it keeps.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]
#![allow(clippy::print_stdout, reason = "the figures are what `--nocapture` is for")]

use chaperone_authoring::token::{TestKey, jwks, status_list};
use chaperone_policy::Algorithm;
use chaperone_tests::{
    scenario::{CREDENTIAL, Scenario},
    target, wasm,
};
use policy_host::host::{
    CalloutAnswer, CalloutRequest, CalloutResponse, Clock, Clusters, Module, Proxy, ProxyOptions, Request, Response, VmOptions,
};
use serde_json::{Value, json};
use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

const BEGAN: u64 = 1_795_428_000;
const SESSIONS: usize = 1_000_000;
/// One bit each.
const BITS: usize = SESSIONS / 8;
/// A worker holds 64 key sets and lists at most.
const LISTS: usize = 33;

/// How often all of them are fetched anew.
const ROUNDS: usize = 6;

/// What a list may cost beyond its bits once the room for its answer is there: the allocator's own, gaps and whole pages.
const SLACK: usize = 10 * 1024;
/// The room for one answer on its way in: its base64, what that holds, and the buffer that it is inflated into, which grows by doubling.
const ON_THE_WAY: usize = 10 * BITS;

/// An issuer whose first lists are there, the others not yet.
struct Issuer {
    key: TestKey,
    there: Arc<AtomicUsize>,
    proxy: Proxy,
    clock: Clock,
}

fn uri(number: usize) -> String {
    format!("https://broker.example/status/{number}")
}

/// Bits that nothing compresses, other ones for each seed; the last session's is 0, and that of the one before it 1.
fn packed(seed: u64) -> Vec<u8> {
    let mut state = seed;
    // SplitMix64.
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    };
    let mut bytes: Vec<u8> = std::iter::repeat_with(|| next().to_le_bytes()).flatten().take(BITS).collect();
    let last = bytes.last_mut().unwrap();
    *last = *last & 0b0011_1111 | 0b0100_0000;
    bytes
}

impl Issuer {
    fn start() -> Self {
        let key = TestKey::generate(Algorithm::Es256).unwrap();
        let there = Arc::new(AtomicUsize::new(0));
        let clock = Clock::fixed(BEGAN * 1_000_000_000);
        let (signer, now, count) = (TestKey::clone(&key), clock.clone(), Arc::clone(&there));
        let clusters = Clusters::new(move |request: &CalloutRequest| {
            let (_, path) = request.headers.iter().find(|(name, _)| name == b":path").unwrap();
            let number: usize = std::str::from_utf8(path).unwrap().rsplit_once('/').unwrap().1.parse().unwrap();
            if number >= count.load(Ordering::Relaxed) {
                return CalloutAnswer::Response(CalloutResponse::new(503, ""), Duration::ZERO);
            }
            let second = now.wall() / 1_000_000_000;
            let Value::Object(claims) = json!({"iat": second, "ttl": 60}) else { unreachable!() };
            // Each time another list: what is held must go.
            let list = status_list(&signer, &uri(number), 1, &packed(second ^ (number as u64) << 40), claims);
            CalloutAnswer::Response(CalloutResponse::new(200, list), Duration::ZERO)
        });
        let mut policy = Scenario::new().policy();
        let issuer = &mut policy["tokens"]["issuers"][0];
        issuer["keys"] = json!({"jwks": jwks([&key])});
        issuer["status"] = json!({"cluster": "broker", "uris": (0..LISTS).map(uri).collect::<Vec<_>>()});
        let environment = vec![(CREDENTIAL.0.to_owned(), CREDENTIAL.1.to_owned())];
        let vm = VmOptions { environment, clock: clock.clone(), clusters, ..VmOptions::default() };
        let module = Module::load(wasm::chaperone()).expect("the filter loads");
        let mut proxy = Proxy::start(&module, &ProxyOptions { vm, ..ProxyOptions::default() }).expect("the filter starts");
        proxy.update(policy.to_string().as_bytes()).expect("a good policy");
        Self { key, there, proxy, clock }
    }

    /// Publishes so many, and lets time pass until each has been asked for.
    fn publish(&mut self, lists: usize) -> usize {
        self.there.store(lists, Ordering::Relaxed);
        self.wait(60);
        self.memory()
    }

    fn wait(&mut self, seconds: u64) {
        self.proxy.advance(Duration::from_secs(seconds));
    }

    fn memory(&mut self) -> usize {
        self.proxy.worker(0).unwrap().vm().memory_bytes()
    }

    /// The reason of the session at this place of this list.
    fn reason(&mut self, list: usize, index: usize) -> String {
        let now = self.clock.wall() / 1_000_000_000;
        let claims = json!({
            "iss": "https://broker.example", "aud": "orders", "sub": "agent-7", "sid": format!("s-{list}-{index}"),
            "iat": now, "exp": now + 300, "status": {"status_list": {"uri": uri(list), "idx": index}},
        });
        let token = format!("Bearer {}", self.key.sign(json!({}), claims));
        let fields = [
            (":authority", "orders.example"),
            (":path", "/v1/orders"),
            (":method", "GET"),
            (":scheme", "https"),
            ("authorization", &token),
        ];
        let headers = fields.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())).collect();
        let exchange = self.proxy.exchange(0, Request { headers, ..Request::default() }, |_| Response::default());
        assert!(exchange.trap.is_none());
        let record: Value = serde_json::from_slice(exchange.property("session_audit").unwrap()).unwrap();
        record["status_code"].as_str().unwrap().to_owned()
    }

    /// Are these lists held, whole and with the right bits?
    fn knows(&mut self, lists: usize) {
        for list in 0..lists {
            assert_eq!(self.reason(list, SESSIONS - 1), "allowed", "{list}");
            assert_eq!(self.reason(list, SESSIONS - 2), "revoked", "{list}");
            assert_eq!(self.reason(list, SESSIONS), "status_unavailable", "{list}: beyond the end");
        }
    }
}

#[test]
fn a_list_of_a_million_sessions_costs_its_bits() {
    let mut issuer = Issuer::start();
    // What asking and being denied take is there before anything is measured.
    issuer.wait(60);
    assert_eq!(issuer.reason(0, 0), "status_unavailable");
    let before = issuer.memory();
    let one = issuer.publish(1);
    issuer.knows(1);
    let all = issuer.publish(LISTS);
    issuer.knows(LISTS);
    let each = (all - one) / (LISTS - 1);
    // Other lists, again and again, in the place of those that are held.
    let again = (0..ROUNDS).map(|_| issuer.publish(LISTS)).max().unwrap();
    issuer.knows(LISTS);
    let text = format!(
        "| a first list of {SESSIONS} sessions, its answer of {} bytes on the way in included | {} bytes |\n| each of {} more | {each} bytes, of which bits {BITS} |\n| all of them anew, {ROUNDS} times | {} bytes |\n",
        status_list(&issuer.key, &uri(0), 1, &packed(1), serde_json::Map::new()).len(),
        one - before,
        LISTS - 1,
        again - all,
    );
    println!("{text}");
    let dir = target().join("bench/growth");
    fs::create_dir_all(&dir).expect("the build folder can be written");
    fs::write(dir.join("status-lists.md"), text).expect("the build folder can be written");
    assert!(one - before <= BITS + ON_THE_WAY, "the first list takes {} bytes", one - before);
    assert!(again - all <= ON_THE_WAY, "lists in the place of others take {} bytes more", again - all);
    assert!(each <= BITS + SLACK, "a list that is held takes {each} bytes for {BITS}");
}
