//! Small guests, each poking at one behaviour, in a real Envoy and in policy-host: both must tell the same.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

use chaperone_tests::guests;

#[tokio::test(flavor = "multi_thread")]
async fn look() {
    let all = guests::all();
    let envoy = guests::run_in_envoy(&all).await;
    for guest in all.iter().filter(|guest| !guest.needs("only_policy_host")) {
        let host = guests::run_in_host(guest);
        println!("== {}{}", guest.name, if envoy[&guest.name] == host { "" } else { "   DIFFERS" });
        println!("-- envoy\n{}", envoy[&guest.name].join("\n"));
        if envoy[&guest.name] != host {
            println!("-- host\n{}", host.join("\n"));
        }
    }
}
