//! The network between a host and Postgres fails, in a network namespace of its own.

use std::time::Duration;

use serde_json::json;

use super::{FLEETS, is_begin, keep_busy, of_attempt, seen, submit};
use crate::support::{host::Host, netns::Network, processes::eventually, server::Server};

const LEASE: Duration = Duration::from_secs(4);

#[test]
fn a_partitioned_host_stops_its_agents_before_its_lease_ends() {
    let network = match Network::make() {
        Ok(network) => network,
        Err(reason) => {
            eprintln!("skipped, there can be no network namespace here: {reason}");
            return;
        }
    };
    let near = network.near();
    let server = Server::start(Some(&near));
    let host = || Host::embedded(FLEETS).set("host.lease", "4s");
    let url = server.url(Some(&near));
    let far = host().set("database.url", &url).within(&network.prefix()).up();
    let ids = keep_busy(&far, 8_000);
    let home = host().set("database.url", &server.url(None)).up();

    let newest = |host: &Host| seen(host).iter().map(|one| one.at).max().unwrap();
    network.cut();
    let cut = newest(&far);
    eventually("its tasks run on the other host", || {
        let seen = seen(&home);
        ids.iter().all(|id| of_attempt(&seen, id, 2).iter().any(is_begin))
    });
    let (there, here) = (seen(&far), seen(&home));
    let stopped = newest(&far);
    let lease = u64::try_from(LEASE.as_nanos()).unwrap();
    assert!(stopped < cut + lease, "its agents worked on for {} ms", (stopped - cut) / 1_000_000);
    for id in &ids {
        let begin = here.iter().find(|one| one.task == *id && is_begin(one)).unwrap();
        let last = of_attempt(&there, id, 1).iter().map(|one| one.at).max().unwrap();
        assert!(last < begin.at, "{id} ran on two hosts at once");
    }
    assert!(!far.is_ready());

    network.mend();
    for id in &ids {
        let task = home.wait(id);
        assert_eq!((&task["state"], &task["attempt"]), (&json!("completed"), &json!(2)), "{task}");
        assert_eq!(task["failures"], 0, "{task}");
    }
    eventually("the host is back", || far.is_ready());
    assert_eq!(newest(&far), stopped, "nothing of before went on");
    // One whose workers are still starting may find nothing left.
    ["quick-1", "quick-2"].iter().for_each(|name| drop(far.until_agent(name, "idle")));
    let more = submit(&far, "default", 60, 20);
    for id in &more {
        assert_eq!(far.wait(id)["state"], "completed");
    }
    let again = seen(&far);
    assert!(more.iter().any(|id| !of_attempt(&again, id, 1).is_empty()), "it works again");
}
