//! Small guests, each poking at one behaviour, in a real Envoy and in policy-host: both tell the same, but for a list with reasons.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail by panicking")]

use chaperone_tests::guests::{self, Guest, Transcript};
use std::{collections::BTreeMap, fmt::Write as _, fs};

/// By guest: why it may differ.
fn listed() -> BTreeMap<String, String> {
    let text = fs::read_to_string(guests::folder().join("differences.md")).expect("the list of differences");
    let sections = text.split("\n## ").skip(1);
    sections
        .filter_map(|section| section.split_once('\n'))
        .map(|(name, reason)| (name.trim().to_owned(), reason.trim().to_owned()))
        .collect()
}

/// Runs every guest in both. What differs is asked once more, alone: on a machine that stands still for a while, what should have
/// happened within a second has not, and that is no difference of the hosts.
async fn everywhere(all: &[Guest]) -> (BTreeMap<String, Transcript>, BTreeMap<String, Transcript>) {
    let host: BTreeMap<String, Transcript> = all.iter().map(|guest| (guest.name.clone(), guests::run_in_host(guest))).collect();
    let (mut envoy, listed) = (guests::run_in_envoy(all, 1).await, listed());
    let differs = |guest: &&Guest| envoy.get(&guest.name).is_some_and(|lines| *lines != host[&guest.name]);
    let again: Vec<Guest> = all.iter().filter(differs).filter(|guest| !listed.contains_key(&guest.name)).cloned().collect();
    if !again.is_empty() {
        envoy.extend(guests::run_in_envoy(&again, 1).await);
    }
    envoy.extend(guests::run_in_envoy(all, 2).await);
    (envoy, host)
}

fn compared(all: &[Guest], envoy: &BTreeMap<String, Transcript>, host: &BTreeMap<String, Transcript>) -> (String, Vec<String>) {
    let (listed, mut table, mut wrong) = (listed(), String::new(), Vec::new());
    for guest in all.iter().filter(|guest| guest.workers() == 1) {
        let (of_envoy, of_host) = (envoy.get(&guest.name), &host[&guest.name]);
        let verdict = match (of_envoy, listed.contains_key(&guest.name)) {
            (None, true) => "policy-host alone",
            (Some(of_envoy), false) if of_envoy == of_host => "same",
            (Some(of_envoy), true) if of_envoy != of_host => "differs, listed",
            (Some(of_envoy), false) => {
                wrong.push(format!(
                    "{} differs\n-- Envoy\n{}\n-- policy-host\n{}",
                    guest.name,
                    of_envoy.join("\n"),
                    of_host.join("\n")
                ));
                "differs"
            }
            (Some(_), true) => {
                wrong.push(format!("{} is listed as different and is not", guest.name));
                "same, and listed"
            }
            (None, false) => {
                wrong.push(format!("{} is not run in Envoy and not listed", guest.name));
                "policy-host alone, not listed"
            }
        };
        writeln!(table, "{}: {}\n    {verdict}", guest.name, guest.about).unwrap();
    }
    wrong.extend(
        listed.keys().filter(|name| all.iter().all(|guest| guest.name != **name)).map(|name| format!("{name} is no guest")),
    );
    wrong.extend(listed.iter().filter(|(_, reason)| reason.len() < 40).map(|(name, _)| format!("{name} has no reason")));
    (table, wrong)
}

#[tokio::test(flavor = "multi_thread")]
async fn policy_host_does_what_envoy_does() {
    let all = guests::all();
    let (mut envoy, host) = everywhere(&all).await;
    let (table, wrong) = compared(&all, &envoy, &host);
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    insta::assert_snapshot!("table", table);
    let told = |(name, lines): (&String, &Transcript)| format!("== {name}\n{}\n", lines.join("\n"));
    insta::assert_snapshot!("transcripts", host.iter().map(told).collect::<String>());

    // The comparison itself sees a difference, and one that is gone.
    envoy.get_mut("first-value").unwrap().push("something else".into());
    let same = host["foreign-compress"].clone();
    envoy.insert("foreign-compress".into(), same);
    let (_, wrong) = compared(&all, &envoy, &host);
    assert!(
        wrong.len() == 2 && wrong[0].starts_with("first-value differs") && wrong[1].starts_with("foreign-compress is listed"),
        "{wrong:?}"
    );

    // Which worker gets which connection is the kernel's choice in Envoy, so that not the lines but their sum is the same.
    for lines in [&envoy["workers"], &host["workers"]] {
        let mut counts: Vec<u32> =
            lines.iter().filter_map(|line| line.strip_prefix("all, mine ")?.split(' ').next()?.parse().ok()).collect();
        counts.sort_unstable();
        assert_eq!(counts, (1..=16).collect::<Vec<_>>(), "no increment is lost: {lines:?}");
        let firsts = lines.iter().filter(|line| line.starts_with("all, mine ") && line.ends_with(" 1")).count();
        assert_eq!(firsts, 2, "two VMs, each with its own memory: {lines:?}");
    }
}
