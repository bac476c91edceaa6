//! Hosts whose fleets serve the same queue share its tasks; and the listing of hosts.

use std::collections::BTreeMap;

use serde_json::json;

use super::{FLEETS, is_begin, keep_busy, seen, submit};
use crate::support::{host::Host, processes::eventually};

#[test]
fn three_hosts_share_the_tasks_of_a_queue() {
    // A host that polls often gives back at once what its agents, slow on a busy machine, have not begun yet.
    let up = |host: Host| host.set("tasks.poll", "1m").up();
    let first = up(Host::new(FLEETS));
    let others = [up(first.beside(FLEETS)), up(first.beside(FLEETS))];
    // One whose workers are still starting may find nothing left.
    for host in [&first, &others[0], &others[1]] {
        ["quick-1", "quick-2"].iter().for_each(|name| drop(host.until_agent(name, "idle")));
    }
    let ids = [submit(&first, "default", 240, 20), submit(&others[1], "once", 12, 5)].concat();
    for id in &ids {
        let task = others[0].wait(id);
        let told = || format!("{task} {:?}", others[0].history(id, "attempts"));
        assert_eq!(
            (&task["state"], &task["attempt"]),
            (&json!("completed"), &json!(1)),
            "{}",
            told()
        );
    }
    let mut begun: BTreeMap<String, usize> = BTreeMap::new();
    for host in [&first, &others[0], &others[1]] {
        let effects = seen(host);
        let here = effects.iter().filter(|one| is_begin(one));
        // How large a part is a matter of who claims first: short tasks are claimed ahead.
        assert!(here.clone().count() >= 1, "each has its part");
        here.for_each(|one| *begun.entry(one.task.clone()).or_default() += 1);
    }
    assert_eq!(begun.len(), ids.len());
    assert!(begun.values().all(|times| *times == 1), "{begun:?}");
}

#[test]
fn hosts_are_listed() {
    let mut first = Host::new(FLEETS).set("host.name", "first").set("host.lease", "8s").up();
    keep_busy(&first, 60_000);
    eventually("the only one leads", || first.get("/api/v1/hosts")["items"][0]["leads"] == true);
    let second = first.beside(FLEETS).set("host.name", "second").set("host.lease", "8s").up();
    let list = |host: &Host| host.get("/api/v1/hosts")["items"].as_array().unwrap().clone();
    // A lease is renewed when a quarter of it is over; a busy machine may take a little longer.
    let left = |host: &serde_json::Value| host["lease_left_ms"].as_u64().unwrap();
    let mut hosts = Vec::new();
    eventually("most of both leases is left", || {
        hosts = list(&second);
        hosts.len() == 2 && hosts.iter().all(|host| left(host) >= 5_000)
    });
    let of_each = |what: &str| hosts.iter().map(|one| one[what].clone()).collect::<Vec<_>>();
    assert_eq!(of_each("held"), [3, 0]);
    assert_eq!(of_each("leads"), [true, false]);
    let names: Vec<_> = hosts.iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["first", "second"]);
    let answers =
        |hosts: &[serde_json::Value]| [hosts[0]["answers"] == true, hosts[1]["answers"] == true];
    assert_eq!((answers(&hosts), answers(&list(&first))), ([false, true], [true, false]));
    for host in &hosts {
        assert!(left(host) <= 8_000, "{host}");
        assert_eq!(host["version"], env!("CARGO_PKG_VERSION"));
    }
    let printed = second.cli(&["host", "list"]).stdout;
    assert!(printed.contains("*second") && printed.contains("leader"), "{printed}");
    assert_eq!(second.cli_json(&["host", "list"])["items"].as_array().unwrap().len(), 2);

    first.kill9();
    eventually("the one that was killed is gone, and the other one leads", || {
        let hosts = list(&second);
        hosts.len() == 1 && hosts[0]["leads"] == true
    });
}
