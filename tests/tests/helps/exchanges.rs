//! Mistakes in what is had for a session's token, and in what an issuer tells of its sessions.

use crate::{good::POLICY, rows::Row};

const CREDENTIAL: &str = "{header: authorization, value: \"Bearer ${env:ORDERS_TOKEN}\"}";
const EXCHANGE: &str = "cluster: sts, authority: sts.example, path: /token, audience: orders-api, client: {id: chaperone, secret: \"${env:STS_SECRET}\"}";
const CLUSTER: &str = "name the proxy's cluster that leads there: `cluster: sts`";
const CLIENT: &str = "say as whom the proxy asks: `client: {id: chaperone, secret: \"${env:STS_SECRET}\"}`";
const SECRET: &str = "write `secret: \"${env:STS_SECRET}\"` and give the proxy that environment variable";
const KEY: &str =
    "write `private_key: \"${env:STS_KEY}\"` and give the proxy a P-256 key in PKCS #8 PEM in that environment variable";
const AUDIENCE: &str = "write what the endpoint expects in `aud`, such as `audience: \"https://sts.example/token\"`";
const OF_KEY: &str = "{id: chaperone, private_key: \"${env:STS_KEY}\", audience: \"https://sts.example/token\"}";

/// Place within the exchange, help, a part of the good one, and what is written there by mistake.
const EXCHANGES: [(&str, &str, &str, &str); 13] = [
    ("", CLUSTER, "cluster: sts, ", ""),
    ("", "for example `authority: sts.example`", "authority: sts.example, ", ""),
    ("", "for example `path: /token`", "path: /token, ", ""),
    ("", "say what it is for: `audience`, `resource` (RFC 8707) or `scope`", "audience: orders-api, ", ""),
    ("", CLIENT, ", client: {id: chaperone, secret: \"${env:STS_SECRET}\"}", ""),
    ("/client", "for example `id: chaperone`", "{id: chaperone, ", "{"),
    ("/client", CLIENT, "{id: chaperone, secret: \"${env:STS_SECRET}\"}", "{id: chaperone}"),
    ("/client/secret", SECRET, "\"${env:STS_SECRET}\"", "hunter2"),
    ("/client/secret", SECRET, "\"${env:STS_SECRET}\"", "\"x${env:STS_SECRET}\""),
    ("/audience", "for example `audience: orders-api`", "audience: orders-api", "audience: \"orders\\napi\""),
    ("/grant", "did you mean `token_exchange`?", "path: /token, ", "path: /token, grant: token_exchang, "),
    ("/resource", "for example `resource: \"https://orders.example\"`", "audience: orders-api", "resource: orders"),
    (
        "/client",
        "leave one of them out",
        "secret: \"${env:STS_SECRET}\"",
        "secret: \"${env:STS_SECRET}\", private_key: \"${env:STS_KEY}\", audience: x",
    ),
];

const EVENTS: &str = "cluster: broker, authority: broker.example, path: /ssf/poll, audience: \"https://proxy.example\", token: \"${env:SSF_TOKEN}\"";

const OF_EVENTS: [(&str, &str, &str, &str); 5] = [
    ("", "name the proxy's cluster that leads to the transmitter, such as `cluster: broker`", "cluster: broker, ", ""),
    ("", "for example `authority: broker.example`", "authority: broker.example, ", ""),
    ("", "where the stream is polled, for example `path: /ssf/poll`", "path: /ssf/poll, ", ""),
    (
        "",
        "write the `aud` of the stream's events, for example `audience: https://proxy.example`; without it events for somebody else would do",
        ", audience: \"https://proxy.example\"",
        "",
    ),
    (
        "/token",
        "write \"${env:SSF_TOKEN}\", without `Bearer`, and give the proxy that environment variable",
        "\"${env:SSF_TOKEN}\"",
        "\"Bearer ${env:SSF_TOKEN}\"",
    ),
];

pub(crate) fn all() -> Vec<Row> {
    let exchange = |inside: &str| format!("{{exchange: {{{inside}}}}}");
    let row = |place: &str, help: &str, wrong: &str, right: &str| {
        let place = format!("/upstream/credential{place}");
        Row::new(POLICY, (&place, help, CREDENTIAL, wrong, right))
    };
    let mut all = Vec::new();
    for (place, help, part, mistake) in EXCHANGES {
        assert!(EXCHANGE.contains(part), "{part}");
        let wrong = exchange(&EXCHANGE.replacen(part, mistake, 1));
        all.push(row(&format!("/exchange{place}"), help, &wrong, &exchange(EXCHANGE)));
    }
    let with_client = |client: &str| exchange(&EXCHANGE.replace("{id: chaperone, secret: \"${env:STS_SECRET}\"}", client));
    let right = with_client(OF_KEY);
    let wrong = with_client(&OF_KEY.replace("\"${env:STS_KEY}\"", "\"-----BEGIN PRIVATE KEY-----\""));
    all.push(row("/exchange/client/private_key", KEY, &wrong, &right));
    let wrong = with_client(&OF_KEY.replace(", audience: \"https://sts.example/token\"", ""));
    all.push(row("/exchange/client", AUDIENCE, &wrong, &right));
    let beside = format!("{{query: key, exchange: {{{EXCHANGE}}}}}");
    let help = "the token that it gives is set as `authorization: Bearer …`, or in another `header`";
    all.push(row("/query", help, &beside, &format!("{{header: x-token, exchange: {{{EXCHANGE}}}}}")));

    let status = "      status: {cluster: broker,";
    let events = |inside: &str| format!("      events: {{{inside}}}\n{status}");
    for (place, help, part, mistake) in OF_EVENTS {
        assert!(EVENTS.contains(part), "{part}");
        let place = format!("/tokens/issuers/0/events{place}");
        let wrong = events(&EVENTS.replacen(part, mistake, 1));
        all.push(Row::new(POLICY, (&place, help, status, &wrong, &events(EVENTS))));
    }
    all
}
