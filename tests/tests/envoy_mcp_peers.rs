//! Real clients and a real server of MCP, with a real Envoy between them: what is allowed goes through whole, in every version, and what
//! is denied ends no conversation.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

use chaperone_tests::{
    access_log::Entry,
    envoy::{Envoy, Setup},
    peers::{self, Front, Sdk, Server, commands, conformance, converse, policy},
    root,
    scenario::Scenario,
    wasm,
};
use policy_host::files;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Both SDKs, with each version that they can be made to speak, and the version that is agreed on.
const ERAS: [(Sdk, &str, &str); 6] = [
    (Sdk::One, "2025-03-26", "2025-03-26"),
    (Sdk::One, "2025-06-18", "2025-06-18"),
    (Sdk::One, "2025-11-25", "2025-11-25"),
    (Sdk::Two, "legacy", "2025-11-25"),
    (Sdk::Two, "auto", "2026-07-28"),
    (Sdk::Two, "2026-07-28", "2026-07-28"),
];

/// The steps of a conversation and what comes of them.
fn expected(version: &str) -> Vec<(&'static str, Value)> {
    let said = |text: &[&str]| json!({"is_error": false, "text": text});
    let mut steps = vec![
        ("tools", json!(["search", "read_ticket", "delete_ticket", "close_ticket", "slow"])),
        ("prompts", json!(["summarize"])),
        ("resources", json!(["docs://handbook/welcome"])),
        ("templates", json!(["docs://handbook/{page}"])),
        ("search", said(&["t-1", "t-2", "t-3"])),
        ("read_ticket", said(&["Ticket 7: the printer is on fire"])),
        ("delete_ticket", said(&["t-7 is deleted"])),
        ("close_ticket", said(&["t-8 is closed"])),
        ("slow", json!({"is_error": false, "text": ["done"], "progress": [[1.0, 3.0], [2.0, 3.0], [3.0, 3.0]]})),
        ("summarize", json!(["Summarize this:\nA long text."])),
        ("read", json!(["This is the page refunds."])),
    ];
    steps.push(if version == "2026-07-28" { ("listen", json!("docs://handbook/deleted")) } else { ("ping", json!(null)) });
    steps
}

fn assert_steps(report: &Value, version: &str, steps: Vec<(&'static str, Value)>) {
    assert_eq!((&report["version"], &report["ended"]), (&json!(version), &Value::Null), "{report:#}");
    for (step, wanted) in steps {
        assert_eq!(report[step], json!({ "ok": wanted }), "{step} in {report:#}");
    }
}

fn assert_whole(report: &Value, version: &str) {
    assert_steps(report, version, expected(version));
    let sent = |method: &str| report["wire"].as_array().unwrap().iter().filter(|answer| answer[0] == method).count();
    let sessionful = usize::from(version != "2026-07-28");
    assert_eq!((sent("GET"), sent("DELETE")), (sessionful, sessionful), "{report:#}");
}

async fn every_client_goes_through(name: &str, flags: &[&str]) {
    let scenario = Scenario::new();
    let server = Server::start(&format!("{name}-server"), "server.py", flags).await;
    let front = Front::start(name, &policy(&scenario, &commands()), &server, &[]).await;
    for (sdk, era, version) in ERAS {
        let session = format!("{sdk:?}-{era}");
        let report = converse(sdk, &front.url(), era, Some(&scenario.token(&session)), &[]).await;
        assert_whole(&report, version);
        let logged = |entry: &Entry| entry.record.to_string().contains(&session);
        front.log.wait_for(&session, logged).await;
    }
    // The filter is in between: without a token nothing of it comes about.
    let report = converse(Sdk::Two, &front.url(), "legacy", None, &[]).await;
    assert_eq!(report["wire"], json!([["POST", 401, "application/problem+json"]]), "{report:#}");
    assert!(report["ended"].is_string() && report["version"].is_null(), "{report:#}");
    assert_eq!(front.envoy.traps(), 0, "{}", server.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_client_goes_through_with_streams() {
    every_client_goes_through("mcp-streams", &["--page", "2"]).await;
}

/// Without one command and with bounds for another: the list says so, the denial is told, and all else goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_denied_client_goes_on() {
    let scenario = Scenario::new();
    let server = Server::start("mcp-denied-server", "server.py", &[]).await;
    let mut commands = commands();
    commands["tickets.search"]["mcp"]["arguments"] = json!({"properties": {"query": {"type": "string"}, "limit": {"maximum": 5}},
        "required": ["query", "limit"], "additionalProperties": false});
    let mut policy = policy(&scenario, &commands);
    policy["grants"][0]["allow"].as_array_mut().unwrap().retain(|name| name != "tickets.delete_ticket");
    let front = Front::start("mcp-denied", &policy, &server, &[]).await;
    for (sdk, era, version) in ERAS {
        let token = scenario.token(&format!("{sdk:?}-{era}"));
        let report = converse(sdk, &front.url(), era, Some(&token), &[]).await;
        let mut steps = expected(version);
        steps.retain(|(step, _)| !matches!(*step, "delete_ticket" | "listen"));
        steps[0].1 = json!(["search", "read_ticket", "close_ticket", "slow"]);
        assert_steps(&report, version, steps);
        let denied = &report["delete_ticket"];
        assert_eq!((&denied["code"], &denied["data"]["reason"]), (&json!(-31_403), &json!("command_not_granted")), "{report:#}");
        let asked = &denied["data"]["authorization_details"][0]["actions"];
        assert_eq!(asked, &json!(["tickets.delete_ticket"]), "what to ask a broker for: {report:#}");

        let calls = ["search={\"query\": \"printer\", \"limit\": 6}", "search={\"query\": \"printer\", \"limit\": 1}"];
        let report = converse(sdk, &front.url(), era, Some(&token), &calls).await;
        let denied = &report["1 search"]["data"];
        assert_eq!((&denied["reason"], &denied["argument"]), (&json!("arguments_not_allowed"), &json!("/limit")), "{report:#}");
        assert_eq!(report["2 search"], json!({"ok": {"is_error": false, "text": ["t-1"]}}), "{report:#}");
    }
}

/// The helpdesk of the examples behind an Envoy with the policy of one of them, whose broker has the scenario's key.
async fn helpdesk(example: &str, scenario: &Scenario) -> (Server, Envoy) {
    let credential = ("TICKETS_TOKEN", "the-tickets-credential");
    let server = Server::of_example(&root().join("examples/mcp-agent/server.py"), credential).await;
    let mut policy = files::policy(&root().join("examples").join(example).join("policy.yaml")).unwrap().value().clone();
    // The broker's keys are fetched from a cluster that the shipped wiring does not have.
    policy["tokens"]["issuers"][0]["keys"] = scenario.policy()["tokens"]["issuers"][0]["keys"].clone();
    let setup = Setup {
        name: example,
        policy: &policy,
        wasm: wasm::chaperone(),
        upstream: server.address(),
        workers: 2,
        environment: &[credential],
        other_settings: &[],
    };
    let envoy = Envoy::start(setup).await;
    (server, envoy)
}

/// A token of the examples' broker, with one claim more.
fn token_of_the_examples(scenario: &Scenario, name: &str, claim: Value) -> String {
    let claims = scenario.claims_text("s-1").replace("\"orders\"", "\"tickets\"");
    let mut claims: Value = serde_json::from_str(&claims).unwrap();
    claims[name] = claim;
    let header = json!({"alg": "ES256", "kid": scenario.key_id(), "typ": "session+jwt"}).to_string();
    scenario.signed(header.as_bytes(), claims.to_string().as_bytes())
}

/// The example, as its README shows it.
#[tokio::test(flavor = "multi_thread")]
async fn the_example_s_agent_is_told_what_it_may() {
    let (dir, scenario) = (root().join("examples/mcp-agent"), Scenario::new());
    let (server, envoy) = helpdesk("mcp-agent", &scenario).await;
    let token = token_of_the_examples(&scenario, "role", json!("triage"));
    let said = peers::run(Sdk::Two, &dir.join("agent.py"), &[&peers::url(envoy.address())], &token).await;
    let readme = std::fs::read_to_string(dir.join("README.md")).unwrap();
    assert!(said.lines().count() > 5 && readme.contains(&said), "{said}\n{}", server.log());
}

/// The example, as its README shows it: what a person agrees to is done, once its broker has said so in a token.
#[tokio::test(flavor = "multi_thread")]
async fn the_example_s_person_agrees_to_one_call_and_not_to_another() {
    let (dir, scenario) = (root().join("examples/mcp-approval"), Scenario::new());
    let (server, envoy) = helpdesk("mcp-approval", &scenario).await;
    let key = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(key.path(), scenario.private_jwk().to_string()).unwrap();
    let mut broker = Server::broker(&dir.join("broker.py"), key.path()).await;
    broker.say("yes");
    broker.say("no");
    let own = json!([{"type": "chaperone", "actions": ["mcp.base", "tickets.search", "tickets.read"]}]);
    let token = token_of_the_examples(&scenario, "authorization_details", own);
    let urls = [peers::url(envoy.address()), format!("http://{}", broker.address())];
    let said = peers::run(Sdk::Two, &dir.join("agent.py"), &urls.each_ref().map(String::as_str), &token).await;
    let readme = std::fs::read_to_string(dir.join("README.md")).unwrap();
    let asked: String = broker.said().lines().skip(1).map(|line| format!("{line}\n")).collect();
    let log = format!("{said}\n{asked}\n{}\n{}", broker.log(), server.log());
    assert!(said.lines().count() > 5 && readme.contains(&said), "{log}");
    assert!(asked.lines().count() == 2 && asked.lines().all(|line| readme.contains(line)), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn json_answers_go_through_where_nothing_has_to_be_streamed() {
    let scenario = Scenario::new();
    let server = Server::start("mcp-json-server", "server.py", &["--json", "--stateless"]).await;
    let front = Front::start("mcp-json", &policy(&scenario, &commands()), &server, &[]).await;
    for (sdk, era, version) in ERAS {
        let token = scenario.token(&format!("{sdk:?}-{era}"));
        let report = converse(sdk, &front.url(), era, Some(&token), &["search={\"query\": \"printer\", \"limit\": 1}"]).await;
        assert_eq!(report["version"], version, "{report:#}");
        assert_eq!(report["1 search"], json!({"ok": {"is_error": false, "text": ["t-1"]}}), "{report:#}");
        let kinds = report["wire"].as_array().unwrap().iter().filter(|answer| answer[0] == "POST" && answer[1] == 200);
        assert!(kinds.clone().count() > 0 && kinds.clone().all(|answer| answer[2] == "application/json"), "{report:#}");
    }
}

/// What the suite sees of the proxy, and why.
const SEEN: [(&str, &str); 1] = [(
    "server-server-stateless: sep-2575-server-unsupported-version-error 1",
    "the versions that are told are those that the filter knows: which of them the server does, it cannot know",
)];

/// The suite sends no token: Envoy adds it before the filter sees the request.
#[tokio::test(flavor = "multi_thread")]
async fn the_conformance_suite_sees_no_proxy() {
    const SHIPPED: &str = "mutations: [{ remove: x-chaperone-decision }";
    let scenario = Scenario::new();
    let server = Server::start("mcp-suite-server", "conformance_server.py", &[]).await;
    let bearer = json!({"key": "authorization", "value": format!("Bearer {}", scenario.token("suite"))});
    let append = json!({"append": {"header": bearer, "append_action": "ADD_IF_ABSENT"}});
    let with_token = format!("mutations: [{{ remove: x-chaperone-decision }}, {append}");
    let everything = json!({"mcp": {"path": "/mcp", "methods": peers::METHODS, "tools": ["*"], "prompts": ["*"], "resources": ["test://**"], "answers": true}});
    let front =
        Front::start("mcp-suite", &policy(&scenario, &json!({"mcp": everything})), &server, &[(SHIPPED, &with_token)]).await;
    for version in ["2025-11-25", "2026-07-28"] {
        let (directly, conforms) = conformance::run(&peers::url(server.address()), version).await;
        let (through, _) = conformance::run(&front.url(), version).await;
        let checks: BTreeSet<&String> = directly.keys().chain(through.keys()).collect();
        let is_known = |check: &str| SEEN.iter().any(|(known, _)| *known == check);
        let differ = checks.into_iter().filter(|check| directly.get(*check) != through.get(*check) && !is_known(check));
        let told: Vec<String> = differ
            .map(|check| format!("{check}: directly {:?}, through the proxy {:?}", directly.get(check), through.get(check)))
            .collect();
        assert!(told.is_empty(), "{version}, and the proxy can be seen:\n{}", told.join("\n"));
        // Two results that are empty, or full of failures, are equal as well.
        let passed = directly.values().filter(|status| *status == "SUCCESS").count();
        assert!(conforms && passed > 60, "{version}: {passed} passed\n{directly:#?}");
    }
    // It was the filter that let all of it through.
    let allowed = |entry: &Entry| entry.record["api"]["operation"] == "mcp";
    front.log.wait_for("a command of the suite", allowed).await;
}
