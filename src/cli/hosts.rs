//! `hostler host`: who is on the database.

use clap::Subcommand;
use jiff::Timestamp;

use super::{
    exit::{Exit, Outcome},
    global::Global,
    output::{Table, Tone, ago, span},
};
use crate::{domain::record::RegisteredHost, http::api::Listing};

/// Look at the hosts that share the database
#[derive(Debug, Subcommand)]
pub(super) enum Hosts {
    /// List the hosts on the database of this one
    #[command(
        visible_alias = "ls",
        after_help = "A * is before the name of the host that answers. Agents that are not ours \
            have leases, too.\n\nExamples:\n  \
            hostler host list\n  hostler host list --json"
    )]
    List,
}

impl Hosts {
    pub(super) async fn run(self, global: &Global) -> Outcome {
        let Self::List = self;
        let hosts: Listing<RegisteredHost> = global.client()?.get("/api/v1/hosts").await?;
        global.output().show(&hosts, |hosts| table(&hosts.items, Timestamp::now()))?;
        Ok(Exit::Done)
    }
}

fn table(hosts: &[RegisteredHost], now: Timestamp) -> String {
    let mut table = Table::new(&["NAME", "VERSION", "STARTED", "LEASE", "TASKS", "ROLE", "HOST"]);
    for host in hosts {
        let (tone, lease) = match host.lease_left_ms {
            0 => (Tone::Bad, "ended".to_owned()),
            left => (Tone::Plain, span(left)),
        };
        let mark = if host.answers { "*" } else { "" };
        table.row(
            tone,
            [
                format!("{mark}{}", host.name),
                if host.agent.is_some() { "-".to_owned() } else { host.version.clone() },
                ago(host.started_at, now),
                lease,
                host.held.to_string(),
                match &host.agent {
                    Some(agent) => format!("agent {agent}"),
                    None => if host.leads { "leader" } else { "-" }.to_owned(),
                },
                host.id.to_string(),
            ],
        );
    }
    table.render("no hosts; the one that answers has lost its lease")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::HostId;

    #[test]
    fn hosts_are_listed() {
        let host = |name: &str, lease_left_ms, is_first| RegisteredHost {
            id: HostId::from_uuid(uuid::Uuid::from_u128(7)),
            name: name.to_owned(),
            agent: None,
            version: "0.1.0".to_owned(),
            started_at: Timestamp::UNIX_EPOCH,
            lease_ends_at: Timestamp::UNIX_EPOCH,
            lease_left_ms,
            held: 3,
            answers: is_first,
            leads: is_first,
        };
        let external = RegisteredHost {
            agent: Some("bot-1".parse().unwrap()),
            version: String::new(),
            ..host("swarm", 12_500, false)
        };
        let hosts = [host("blue", 12_500, true), host("green", 0, false), external];
        let text = table(&hosts, Timestamp::from_second(90).unwrap());
        let text = anstream::adapter::strip_str(&text).to_string();
        let lines: Vec<Vec<_>> =
            text.lines().map(|line| line.split_whitespace().collect()).collect();
        let id = "hst_00000000000000000000000000000007";
        assert_eq!(lines[1], ["*blue", "0.1.0", "1m", "ago", "12s", "3", "leader", id]);
        assert_eq!(lines[2], ["green", "0.1.0", "1m", "ago", "ended", "3", "-", id]);
        assert_eq!(lines[3], ["swarm", "-", "1m", "ago", "12s", "3", "agent", "bot-1", id]);
        assert!(table(&[], Timestamp::UNIX_EPOCH).contains("no hosts"));
    }
}
