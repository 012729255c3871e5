//! Host calls of one request, counted by policy-host, which runs the same .wasm.

use crate::{
    rows::{Row, Saving},
    tokens::Keys,
};
use chaperone_tests::scenario::CREDENTIAL;
use policy_host::host::{Module, Plugin, Properties, Proxy, ProxyOptions, Request, Response, VmOptions};
use std::{collections::BTreeMap, net::SocketAddr, path::Path, sync::Arc};

/// A row and the calls of one of its requests, by name.
pub(crate) type Calls = (Row, BTreeMap<&'static str, u64>);

/// Counts for the rows whose token the filter knows.
pub(crate) fn count(chaperone: &Path, keys: &Keys, token: &str) -> Vec<Calls> {
    let module = Module::load(chaperone).expect("the filter is a proxy-wasm filter");
    let vm = VmOptions {
        vm_id: "chaperone".into(),
        environment: vec![(CREDENTIAL.0.to_owned(), CREDENTIAL.1.to_owned())],
        ..VmOptions::default()
    };
    let plugin = Plugin { name: "chaperone".into(), root_id: "chaperone".into() };
    let mut proxy = Proxy::start(&module, &ProxyOptions { vm, plugin, ..ProxyOptions::default() }).expect("the filter starts");
    let send = |proxy: &mut Proxy, row: Row| {
        let bytes = |(name, value): (&str, String)| (name.as_bytes().to_vec(), value.into_bytes());
        let source = Some(SocketAddr::from(([127, 0, 0, 1], 50_000)));
        let request = Request {
            headers: row.headers(token).into_iter().map(bytes).collect(),
            properties: Arc::new(Properties { source, ..Properties::default() }),
            ..Request::default()
        };
        let ok = |_: &Request| Response { headers: vec![(b":status".to_vec(), b"200".to_vec())], body: Vec::new() };
        let exchange = proxy.exchange(0, request, ok);
        let status = exchange.response.as_ref().map(Response::status);
        assert_eq!(status.map(u64::from), Some(u64::from(row.expected().status)), "{}", row.name());
        let counts = proxy.worker(0).expect("there is one").vm().call_counts();
        counts.into_iter().collect::<BTreeMap<_, _>>()
    };
    let with = |saving| (keys.policy_with(&Saving::audit(saving)), vec![Row::WarmWith(saving)]);
    let usual = (keys.policy(), vec![Row::Warm, Row::DeniedCommand, Row::DeniedNoToken]);
    let mut counted = Vec::new();
    for (policy, rows) in [usual, with(Saving::Combined), with(Saving::Source), with(Saving::Both)] {
        proxy.update(policy.as_bytes()).expect("the example's policy is taken");
        let mut before = send(&mut proxy, Row::Warm);
        for row in rows {
            let after = send(&mut proxy, row);
            let made = after.iter().map(|(call, count)| (*call, count - before.get(call).unwrap_or(&0)));
            counted.push((row, made.filter(|(_, count)| *count > 0).collect()));
            before = after;
        }
    }
    counted
}
