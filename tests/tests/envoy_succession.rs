//! In a real Envoy with two workers: open streams are judged by whatever judges new requests, also when that is another VM.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

use chaperone_authoring::source::Document;
use chaperone_tests::{
    access_log::AccessLog,
    client::{Call, Protocol},
    ecds,
    envoy::{Envoy, Setup},
    mesh::Mesh,
    open::Open,
    scenario::{CREDENTIAL, Scenario},
    target,
    upstream::{Answer, Upstream},
    wasm,
};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    time::{Duration, Instant},
};
use tokio::time::sleep;

/// What the issue promises, from the first denial on: until then Envoy compiles the newer filter.
const SECOND: Duration = Duration::from_secs(1);

/// What `session.orphaned_streams` is here.
const BOUND: Duration = Duration::from_secs(5);

/// A worker's VM takes its beats back with its first stream; until the main thread has beaten again nothing is known (docs/limits.md).
const SETTLED: Duration = Duration::from_secs(2);

/// A tick, and what a busy machine adds.
const SLACK: Duration = Duration::from_secs(2);

/// Text around the policy, and what stands there instead.
type Settings<'s> = &'s [(&'s str, &'s str)];

async fn feeds() -> Upstream {
    Upstream::answering(|received| match received.path.as_str() {
        "/v1/feed" => Answer::pieces(&["data: 1\n\n"], Duration::ZERO, true).header("content-type", "text/event-stream"),
        _ => Answer::ok("an order"),
    })
    .await
}

fn policy(scenario: &Scenario, generation: u64, revoked: &Value) -> Value {
    let mut policy = scenario.revoking(generation, revoked);
    policy["session"]["orphaned_streams"] = json!(format!("{}s", BOUND.as_secs()));
    policy
}

fn feed(scenario: &Scenario, session: &str) -> Call {
    Call::get("/v1/feed").bearer(&scenario.token(session))
}

/// Asks until the session is denied, and tells when.
async fn first_denial(mesh: &Mesh, scenario: &Scenario, session: &str) -> Instant {
    let call = Call::get("/v1/orders/1").bearer(&scenario.token(session));
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(20) {
        // One that was let through may be cut before its answer comes.
        if call.try_send(mesh.envoy.address(), Protocol::Http2).await.is_ok_and(|reply| reply.status == 401) {
            return Instant::now();
        }
        sleep(Duration::from_millis(5)).await;
    }
    panic!("new requests of {session} are never denied")
}

/// Which worker each record of these streams is of, once they have been cut for this reason.
async fn records(mesh: &Mesh, streams: &[Open], reason: &str) -> (BTreeSet<String>, Value) {
    let mut workers = BTreeSet::new();
    let mut last = Value::Null;
    for stream in streams {
        let entry = mesh.log.record(&stream.audit_id).await;
        let ended = (&entry.record["status_code"], &entry.record["unmapped"]["ended_by"]);
        assert_eq!(ended, (&json!(reason), &json!(reason)), "{:#}", entry.record);
        workers.insert(entry.worker().to_owned());
        last = entry.record;
    }
    (workers, last)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_a_rotated_environment_and_a_renamed_plugin_cut_what_the_newest_policy_ends_and_nothing_else() {
    let scenario = Scenario::new();
    let mesh = Mesh::with("succession", &policy(&scenario, 1, &json!([])), feeds().await, wasm::chaperone(), &[]).await;
    let others = wasm::renamed("upgrade");
    let environment = (r#"host_env_keys: ["ORDERS_TOKEN"]"#, r#"host_env_keys: ["ORDERS_TOKEN", "PATH"]"#);
    let name = ("        name: chaperone\n        root_id: chaperone", "        name: renamed\n        root_id: renamed");
    let changes: [(&str, &Path, Settings<'_>); 4] = [
        ("another .wasm", &others, &[]),
        ("another environment", &others, &[environment]),
        ("another plugin name", &others, &[environment, name]),
        ("all of it back", wasm::chaperone(), &[]),
    ];
    let mut generation = 1;
    let mut neighbours = Vec::new();
    for (change, wasm, settings) in changes {
        let session = format!("s-{generation}");
        let mut ended = Open::several(&mesh, &feed(&scenario, &session), 20).await;
        neighbours.extend(Open::several(&mesh, &feed(&scenario, "neighbour"), 4).await);
        generation += 1;
        let next = policy(&scenario, generation, &json!([{"session": session, "because": change}]));
        mesh.envoy.write_ecds_with(&next, wasm, settings);
        let denied = first_denial(&mesh, &scenario, &session).await;
        for stream in &mut ended {
            let took = stream.cut().await.saturating_duration_since(denied);
            assert!(took < SECOND, "{change}: cut only {took:?} after the first denial");
        }
        let (workers, record) = records(&mesh, &ended, "revoked").await;
        assert_eq!(workers.len(), 2, "{change}: both workers had some");
        assert_eq!(record["status_detail"], change);
        let by = record["unmapped"]["ended_under"].as_str().unwrap().strip_prefix("orders@").unwrap();
        assert!(!record["policy"]["version"].as_str().unwrap().starts_with(by), "it began under another");
    }
    // Longer than what streams get that nothing reaches: these are reached.
    sleep(BOUND + SLACK).await;
    for stream in &mut neighbours {
        assert!(stream.is_silent().await, "another session's stream goes on");
    }
    assert_eq!(mesh.envoy.traps(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_no_way_is_left_the_streams_of_the_old_vm_end_within_the_bound_and_those_of_the_new_one_go_on() {
    let scenario = Scenario::new();
    let mesh = Mesh::with("orphans", &policy(&scenario, 1, &json!([])), feeds().await, wasm::chaperone(), &[]).await;
    let vm_id = |name| [("vm_id: chaperone", name)];
    let plugin = ("        name: chaperone\n        root_id: chaperone", "        name: renamed\n        root_id: renamed");
    let steps: [(&str, &str, Settings<'_>); 4] = [
        ("another vm_id", "orders", &vm_id("vm_id: another")),
        ("another policy name", "renamed", &vm_id("vm_id: another")),
        ("a third vm_id, with another policy and plugin name", "orders", &[("vm_id: chaperone", "vm_id: third"), plugin]),
        ("a plugin name first, and the vm_id then", "orders", &vm_id("vm_id: fourth")),
    ];
    for (generation, (change, name, settings)) in (2..).zip(steps) {
        let mut old = Open::several(&mesh, &feed(&scenario, "s-1"), 16).await;
        sleep(SETTLED).await;
        let mut next = policy(&scenario, 10 * generation, &json!([{"session": "s-2"}]));
        if generation == 5 {
            // Each of the two names has its streams.
            mesh.envoy.write_ecds_with(&policy(&scenario, 49, &json!([])), wasm::chaperone(), &vm_id("vm_id: third"));
            sleep(SETTLED).await;
            old.extend(Open::several(&mesh, &feed(&scenario, "s-1"), 4).await);
            sleep(SETTLED).await;
        }
        next["name"] = json!(name);
        mesh.envoy.write_ecds_with(&next, wasm::chaperone(), settings);
        let denied = first_denial(&mesh, &scenario, "s-2").await;
        // The other worker follows.
        sleep(Duration::from_millis(500)).await;
        let mut new = Open::several(&mesh, &feed(&scenario, "s-1"), 4).await;
        assert!(old[0].is_silent().await, "{change}: not before its time");
        for stream in &mut old {
            let took = stream.cut().await.saturating_duration_since(denied);
            assert!(took < BOUND + SLACK, "{change}: cut only {took:?} after the first denial");
        }
        let (workers, record) = records(&mesh, &old, "no_policy").await;
        assert_eq!(workers.len(), 2, "{change}");
        assert!(record["status_detail"].as_str().unwrap().contains("no configuration reaches"), "{record:#}");
        sleep(BOUND + SLACK).await;
        for stream in &mut new {
            assert!(stream.is_silent().await, "{change}: what the new one let through goes on");
        }
    }
    assert_eq!(mesh.envoy.traps(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn when_another_filter_comes_in_its_place_its_streams_end_within_the_bound() {
    let scenario = Scenario::new();
    let mesh = Mesh::with("taken-away", &policy(&scenario, 1, &json!([])), feeds().await, wasm::chaperone(), &[]).await;
    let mut open = Open::several(&mesh, &feed(&scenario, "s-1"), 8).await;
    sleep(SETTLED).await;
    let empty = target().join("wasm-renamed/empty.wasm");
    fs::create_dir_all(empty.parent().unwrap()).unwrap();
    fs::write(&empty, wat::parse_file(chaperone_tests::root().join("tests/fixtures/empty-filter.wat")).unwrap()).unwrap();
    mesh.envoy.write_ecds_with(&json!({}), &empty, &[]);
    let taken = Instant::now();
    for stream in &mut open {
        let took = stream.cut().await.saturating_duration_since(taken);
        assert!(took < BOUND + SLACK, "cut only after {took:?}");
    }
    records(&mesh, &open, "no_policy").await;
    let denied = Call::get("/v1/orders/1").bearer(&scenario.token("s-1")).send(mesh.envoy.address(), Protocol::Http1).await;
    assert_eq!(denied.status, 403, "what stands behind the filter lets nothing through that it has not judged");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_listeners_leave_each_others_streams_alone_whatever_their_plugins_are_called() {
    let scenario = Scenario::new();
    for (name, vm_id, policy_name) in [("two-vms", "other", "orders"), ("two-policies", "chaperone", "others")] {
        let (first, upstream) = (policy(&scenario, 1, &json!([])), feeds().await);
        // A second listener, whose filter comes from a file of its own, in a folder of its own.
        let edit = |dir: &Path, text: String| {
            let document = Document::parse("bootstrap.yaml", text).expect("the shipped bootstrap is YAML");
            let mut bootstrap = document.value().clone();
            let mut second = bootstrap["static_resources"]["listeners"][0].clone();
            second["name"] = json!("second");
            let text =
                second.to_string().replace(&dir.join("ecds").display().to_string(), &dir.join("second").display().to_string());
            bootstrap["static_resources"]["listeners"].as_array_mut().unwrap().push(serde_json::from_str(&text).unwrap());
            fs::create_dir_all(dir.join("second")).unwrap();
            let (mut second, vm_id) = (policy(&scenario, 1, &json!([])), format!("vm_id: {vm_id}"));
            second["name"] = json!(policy_name);
            ecds::write_with(&dir.join("second"), wasm::chaperone(), &second, CREDENTIAL.0, &[("vm_id: chaperone", &vm_id)]);
            bootstrap.to_string()
        };
        let envoy = Envoy::start_as(setup(name, &first, &upstream), &edit, &["--disable-hot-restart"]).await;
        let second = envoy.listener("second").await.expect("a second listener");
        let mesh = Mesh { log: AccessLog(envoy.access_log()), envoy, upstream };
        let mut theirs = Vec::new();
        for number in 0..6 {
            theirs.push(Open::start_at(second, &feed(&scenario, "s-1"), Protocol::ALL[number % 2]).await);
        }
        let mut ours = Open::several(&mesh, &feed(&scenario, "s-1"), 6).await;
        mesh.envoy.write_ecds(&policy(&scenario, 2, &json!([{"session": "s-1"}])));
        for stream in &mut ours {
            stream.cut().await;
        }
        records(&mesh, &ours, "revoked").await;
        sleep(BOUND + SLACK).await;
        for stream in &mut theirs {
            assert!(stream.is_silent().await, "{name}: another listener's stream goes on");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_that_an_older_one_cannot_read_and_one_that_is_refused() {
    // Longer than a main thread stands still that tries a filter while the other tests do the same.
    const PATIENT: Duration = Duration::from_secs(15);
    let scenario = Scenario::new();
    let policy = |scenario: &Scenario, generation, revoked: &Value| {
        let mut policy = policy(scenario, generation, revoked);
        policy["session"]["orphaned_streams"] = json!(format!("{}s", PATIENT.as_secs()));
        policy
    };
    let mesh = Mesh::with("unread", &policy(&scenario, 1, &json!([])), feeds().await, wasm::chaperone(), &[]).await;
    let mut open = Open::several(&mesh, &feed(&scenario, "s-1"), 6).await;
    // The newer filter's configuration is refused in its trial: nothing has changed, for open streams either.
    let upgrade = wasm::renamed("refused");
    let mut bad = policy(&scenario, 2, &json!([{"session": "s-1"}]));
    bad["a_member_of_tomorrow"] = json!(true);
    const REJECTED: &str = "extension_config_discovery.http_filter.chaperone.update_rejected";
    mesh.envoy.write_ecds_with(&bad, &upgrade, &[]);
    while mesh.envoy.stat(REJECTED).await == 0 {
        sleep(Duration::from_millis(20)).await;
    }
    // A file without any filter is refused as well.
    fs::write(mesh.envoy.dir().join("ecds/next"), "resources: []\n").unwrap();
    fs::rename(mesh.envoy.dir().join("ecds/next"), mesh.envoy.ecds_file()).unwrap();
    while mesh.envoy.stat(REJECTED).await < 2 {
        sleep(Duration::from_millis(20)).await;
    }
    sleep(PATIENT + SLACK).await;
    for stream in &mut open {
        assert!(stream.is_silent().await, "a refused update ends nothing");
    }
    // And the next good one still reaches them.
    mesh.envoy.write_ecds(&policy(&scenario, 3, &json!([{"session": "s-1"}])));
    for stream in &mut open {
        stream.cut().await;
    }
    records(&mesh, &open, "revoked").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_with_two_hundred_streams_cuts_the_half_that_is_revoked_in_the_same_file() {
    let scenario = Scenario::new();
    let mesh = Mesh::with("two-hundred", &policy(&scenario, 1, &json!([])), feeds().await, wasm::chaperone(), &[]).await;
    // Some from each of twenty sessions, for a session has a bound of its own.
    let (mut ended, mut kept) = (Vec::new(), Vec::new());
    for number in 0..20 {
        let session = format!("s-{number}");
        let streams = Open::several(&mesh, &feed(&scenario, &session), 10).await;
        if number % 2 == 0 { ended.extend(streams) } else { kept.extend(streams) }
    }
    let load = {
        let (address, call) = (mesh.envoy.address(), Call::get("/v1/orders/1").bearer(&scenario.token("busy")));
        tokio::spawn(async move {
            let mut sent = 0;
            let until = Instant::now() + Duration::from_secs(4);
            while Instant::now() < until {
                let reply = call.try_send(address, Protocol::Http2).await.expect("a neighbour is not cut");
                assert_eq!(reply.status, 200);
                sent += 1;
            }
            sent
        })
    };
    sleep(Duration::from_millis(300)).await;
    let revoked: Vec<Value> = (0..20).step_by(2).map(|number| json!({"session": format!("s-{number}")})).collect();
    mesh.envoy.write_ecds_with(&policy(&scenario, 2, &json!(revoked)), &wasm::renamed("under-load"), &[]);
    let denied = first_denial(&mesh, &scenario, "s-0").await;
    for stream in &mut ended {
        let took = stream.cut().await.saturating_duration_since(denied);
        assert!(took < SECOND, "cut only {took:?} after the first denial");
    }
    assert!(load.await.unwrap() > 20);
    for stream in &mut kept {
        assert!(stream.is_silent().await, "another session's stream goes on");
    }
    records(&mesh, &ended, "revoked").await;
    assert_eq!(mesh.envoy.traps(), 0);
}

/// The shipped bootstrap with its listener in a file of its own, as a control plane delivers it.
fn listener_from_a_file(dir: &Path, bootstrap: String) -> String {
    let document = Document::parse("bootstrap.yaml", bootstrap).expect("the shipped bootstrap is YAML");
    let mut bootstrap = document.value().clone();
    let mut listener = bootstrap["static_resources"]["listeners"][0].take();
    bootstrap["static_resources"].as_object_mut().unwrap().remove("listeners");
    listener["@type"] = json!("type.googleapis.com/envoy.config.listener.v3.Listener");
    fs::create_dir_all(dir.join("lds")).unwrap();
    fs::write(dir.join("lds/lds.json"), json!({"resources": [listener]}).to_string()).unwrap();
    bootstrap["dynamic_resources"] = json!({"lds_config": {"resource_api_version": "V3",
        "path_config_source": {"path": dir.join("lds/lds.json"), "watched_directory": {"path": dir.join("lds")}}}});
    bootstrap.to_string()
}

fn setup<'s>(name: &'s str, policy: &'s Value, upstream: &Upstream) -> Setup<'s> {
    let (wasm, upstream) = (wasm::chaperone(), upstream.address());
    Setup { name, policy, wasm, upstream, workers: 2, environment: &[CREDENTIAL], other_settings: &[] }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_that_is_replaced_keeps_nothing_from_its_streams() {
    let scenario = Scenario::new();
    let (policy, upstream) = (policy(&scenario, 1, &json!([])), feeds().await);
    let envoy = Envoy::start_as(setup("listener", &policy, &upstream), &listener_from_a_file, &["--disable-hot-restart"]).await;
    let mesh = Mesh { log: AccessLog(envoy.access_log()), envoy, upstream };
    let mut ended = Open::several(&mesh, &feed(&scenario, "s-1"), 8).await;
    let mut kept = Open::several(&mesh, &feed(&scenario, "s-2"), 4).await;
    // The same listener with another limit: Envoy builds a new one on the same socket, and the streams stay in the old one.
    let file = mesh.envoy.dir().join("lds/lds.json");
    let mut resources: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    let manager = &mut resources["resources"][0]["filter_chains"][0]["filters"][0]["typed_config"];
    manager["max_request_headers_kb"] = json!(61);
    fs::write(file.with_extension("next"), resources.to_string()).unwrap();
    fs::rename(file.with_extension("next"), &file).unwrap();
    while mesh.envoy.stat("listener_manager.listener_modified").await == 0 {
        sleep(Duration::from_millis(20)).await;
    }
    mesh.envoy.write_ecds(&self::policy(&scenario, 2, &json!([{"session": "s-1"}])));
    let denied = first_denial(&mesh, &scenario, "s-1").await;
    for stream in &mut ended {
        assert!(stream.cut().await.saturating_duration_since(denied) < SECOND);
    }
    records(&mesh, &ended, "revoked").await;
    for stream in &mut kept {
        assert!(stream.is_silent().await, "another session's stream goes on");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_hot_restart_the_streams_of_the_old_process_are_judged_as_well() {
    let scenario = Scenario::new();
    let (policy, upstream) = (policy(&scenario, 1, &json!([])), feeds().await);
    // A hot restart hands over sockets by their address, and so by a port that is known before.
    let port = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
    let edit = move |_: &Path, text: String| {
        text.replacen("port_value: 0 }\n      per_connection", &format!("port_value: {port} }}\n      per_connection"), 1)
    };
    let base = (std::process::id() % 30_000 + 1).to_string();
    let arguments = |epoch: &'static str| {
        ["--base-id", &base, "--restart-epoch", epoch, "--drain-time-s", "60", "--parent-shutdown-time-s", "60"]
            .map(str::to_owned)
    };
    let first = arguments("0");
    let envoy = Envoy::start_as(setup("hot-restart", &policy, &upstream), &edit, &first.each_ref().map(String::as_str)).await;
    let mesh = Mesh { log: AccessLog(envoy.access_log()), envoy, upstream };
    let mut ended = Open::several(&mesh, &feed(&scenario, "s-1"), 8).await;
    let mut kept = Open::several(&mesh, &feed(&scenario, "s-2"), 4).await;
    let second = arguments("1");
    let next = setup("hot-restarted", &policy, &mesh.upstream);
    let next = mesh.envoy.start_beside_as(next, &edit, &second.each_ref().map(String::as_str)).await;
    assert_eq!(next.address(), mesh.envoy.address(), "the same socket");
    assert!(ended[0].is_silent().await);
    // What the new process lets through goes on, though the metrics of the old one are added to its own (every 5 s).
    let mut new = Open::several(&mesh, &feed(&scenario, "s-2"), 4).await;
    sleep(Duration::from_secs(6) + BOUND + SLACK).await;
    let renamed = Instant::now();
    mesh.envoy.write_ecds(&self::policy(&scenario, 2, &json!([{"session": "s-1"}])));
    for stream in &mut ended {
        assert!(stream.cut().await - renamed < SECOND + SLACK);
    }
    records(&mesh, &ended, "revoked").await;
    for stream in kept.iter_mut().chain(&mut new) {
        assert!(stream.is_silent().await, "another session's stream goes on");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_upgrades_measured() {
    let scenario = Scenario::new();
    let mesh = Mesh::with("upgrades", &policy(&scenario, 1, &json!([])), feeds().await, wasm::chaperone(), &[]).await;
    let (mut denials, mut cuts, mut after) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..20_u64 {
        let session = format!("s-{round}");
        let mut open = Open::several(&mesh, &feed(&scenario, &session), 4).await;
        let upgrade = wasm::renamed(&format!("upgrade-{round}"));
        sleep(Duration::from_millis(37 * (round % 7))).await;
        let renamed = Instant::now();
        mesh.envoy.write_ecds_with(&policy(&scenario, round + 2, &json!([{"session": session}])), &upgrade, &[]);
        let denied = first_denial(&mesh, &scenario, &session).await;
        let mut last = denied;
        for stream in &mut open {
            last = last.max(stream.cut().await);
        }
        denials.push(denied - renamed);
        cuts.push(last - renamed);
        after.push(last - denied);
        fs::remove_file(upgrade).ok();
    }
    let line = |what: &str, times: &mut Vec<Duration>| {
        times.sort();
        format!("| {what} | {} | {} |\n", times[times.len() / 2].as_millis(), times[times.len() - 1].as_millis())
    };
    let table = format!(
        "Milliseconds, 20 upgrades of the filter that revoke a session in the same file, real Envoy with two workers.\n\n| | median | worst |\n|---|---|---|\n{}{}{}",
        line("from the rename to the first denial (Envoy compiles the filter)", &mut denials),
        line("from the rename to the cut of the last idle stream", &mut cuts),
        line("from the first denial to that cut", &mut after)
    );
    print!("{table}");
    fs::create_dir_all(target().join("bench")).unwrap();
    fs::write(target().join("bench/upgrades.md"), &table).unwrap();
    assert!(after[19] < SECOND, "{table}");
}
