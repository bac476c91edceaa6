//! `hostler agent`.

use clap::Subcommand;
use jiff::Timestamp;

use super::{
    address::with_query,
    download,
    exit::{Exit, Outcome},
    global::Global,
    output::{Output, Table, agent_tone, ago, brief, card, counts, local, or_dash, span},
};
use crate::{
    domain::{
        AgentName,
        record::{AgentRecord, RestartCause},
    },
    http::api::Listing,
};

/// Look at agents, start, stop and restart them, read their logs
#[derive(Debug, Subcommand)]
pub(super) enum Agent {
    /// List agents
    #[command(
        visible_alias = "ls",
        after_help = "Examples:\n  hostler agent list\n  hostler agent list --json"
    )]
    List,
    /// Show one agent
    #[command(after_help = "Examples:\n  hostler agent show echo-1")]
    Show {
        /// The agent
        agent: AgentName,
    },
    /// Start an agent that is stopped, paused or quarantined
    #[command(after_help = "Examples:\n  hostler agent start echo-1")]
    Start {
        /// The agents
        #[arg(required = true)]
        agents: Vec<AgentName>,
    },
    /// Stop an agent; its task goes back to the queue
    #[command(after_help = "Examples:\n  hostler agent stop echo-1 echo-2")]
    Stop {
        /// The agents
        #[arg(required = true)]
        agents: Vec<AgentName>,
    },
    /// Stop an agent and start it again
    #[command(after_help = "Examples:\n  hostler agent restart echo-1")]
    Restart {
        /// The agents
        #[arg(required = true)]
        agents: Vec<AgentName>,
    },
    /// Stop an agent and keep it from starting; its task goes back to the queue
    #[command(
        after_help = "`hostler agent start` ends the pause.\n\nExamples:\n  hostler agent pause echo-1"
    )]
    Pause {
        /// The agents
        #[arg(required = true)]
        agents: Vec<AgentName>,
    },
    /// Have an agent finish its task, take no more, and stop
    #[command(
        after_help = "`hostler agent start` has it work again.\n\nExamples:\n  hostler agent drain echo-1"
    )]
    Drain {
        /// The agents
        #[arg(required = true)]
        agents: Vec<AgentName>,
    },
    /// Take an agent out of quarantine, and start it; its fleet begins anew, too
    #[command(after_help = "Examples:\n  hostler agent release echo-1")]
    Release {
        /// The agents
        #[arg(required = true)]
        agents: Vec<AgentName>,
    },
    /// Show the end of an agent's own log
    #[command(
        after_help = "Examples:\n  hostler agent logs echo-1\n  hostler agent logs echo-1 -f --tail 20"
    )]
    Logs {
        /// The agent
        agent: AgentName,
        /// Go on with what is written later
        #[arg(short, long)]
        follow: bool,
        /// Begin so many lines before the end
        #[arg(long, value_name = "N", default_value_t = 100)]
        tail: u32,
    },
}

impl Agent {
    pub(super) async fn run(self, global: &Global) -> Outcome {
        let (client, output) = (global.client()?, global.output());
        match self {
            Self::List => {
                let agents: Listing<AgentRecord> = client.get("/api/v1/agents").await?;
                output.show(&agents, |agents| table(&agents.items, Timestamp::now()))?;
                Ok(Exit::Done)
            }
            Self::Show { agent } => {
                let agent: AgentRecord = client.get(&format!("/api/v1/agents/{agent}")).await?;
                output.show(&agent, |agent| sheet(agent, Timestamp::now()))?;
                Ok(Exit::Done)
            }
            Self::Start { agents } => command(global, output, &agents, "start").await,
            Self::Stop { agents } => command(global, output, &agents, "stop").await,
            Self::Restart { agents } => command(global, output, &agents, "restart").await,
            Self::Pause { agents } => command(global, output, &agents, "pause").await,
            Self::Drain { agents } => command(global, output, &agents, "drain").await,
            Self::Release { agents } => command(global, output, &agents, "release").await,
            Self::Logs { agent, follow, tail } => logs(global, &agent, follow, tail).await,
        }
    }
}

async fn command(global: &Global, output: Output, agents: &[AgentName], verb: &str) -> Outcome {
    let client = global.client()?;
    let mut items = Vec::with_capacity(agents.len());
    for agent in agents {
        let path = format!("/api/v1/agents/{agent}/{verb}");
        let record: AgentRecord = client.command(&path).await?;
        if !output.json {
            output.text(&format!("{agent} is {}", record.state))?;
        }
        items.push(record);
    }
    if output.json {
        output.show(&Listing { items }, |_| String::new())?;
    }
    Ok(Exit::Done)
}

async fn logs(global: &Global, agent: &AgentName, follow: bool, tail: u32) -> Outcome {
    let client = global.client()?;
    let pairs = [("tail", Some(tail.to_string())), ("follow", follow.then(|| "true".to_owned()))];
    let path = with_query(&format!("/api/v1/agents/{agent}/logs"), &pairs);
    download::print(&client, &path).await?;
    Ok(Exit::Done)
}

fn table(agents: &[AgentRecord], now: Timestamp) -> String {
    let heads = [
        "AGENT", "STATE", "READY", "SINCE", "PID", "TASK", "HEARD", "RESTARTS", "ADOPTED", "REASON",
    ];
    let mut table = Table::new(&heads);
    for agent in agents {
        table.row(
            agent_tone(agent.state),
            [
                agent.name.to_string(),
                agent.state.to_string(),
                yes_no(agent.ready),
                ago(agent.since, now),
                or_dash(agent.pid),
                or_dash(agent.task),
                or_dash(agent.heard_ms_ago.map(|ms| format!("{} ago", span(ms)))),
                agent.restarts.values().sum::<u64>().to_string(),
                or_dash(agent.adopted.map(|adopted| ago(adopted.at, now))),
                agent.reason.clone().unwrap_or_default(),
            ],
        );
    }
    table.render("no agents; give a fleet a table in the config file: [fleets.NAME]")
}

fn sheet(agent: &AgentRecord, now: Timestamp) -> String {
    let restarts =
        agent.restarts.iter().map(|(cause, n)| (RestartCause::as_str(*cause), n)).collect();
    let state = agent_tone(agent.state).paint(agent.state.as_str());
    let mut text = format!("{} {state}\n", agent.name);
    text.push_str(&card(&[
        ("fleet", format!("{} ({})", agent.fleet, agent.protocol)),
        ("ready", yes_no(agent.ready)),
        ("since", format!("{} ({})", local(agent.since), ago(agent.since, now))),
        ("reason", or_dash(agent.reason.as_deref())),
        ("generation", agent.generation.to_string()),
        (
            "adopted",
            or_dash(
                agent
                    .adopted
                    .map(|it| format!("{}, generation {}", ago(it.at, now), it.generation)),
            ),
        ),
        ("pid", or_dash(agent.pid)),
        ("task", or_dash(agent.task)),
        ("attempt", or_dash(agent.attempt)),
        ("progress", agent.progress.as_ref().map_or_else(|| "-".to_owned(), brief)),
        ("says", or_dash(agent.told.as_deref())),
        ("heard", or_dash(agent.heard_ms_ago.map(|ms| format!("{} ago", span(ms))))),
        ("restarts", counts(&restarts)),
        ("attempts ended", agent.attempts_ended.to_string()),
    ]));
    text
}

fn yes_no(is: bool) -> String {
    if is { "yes" } else { "no" }.to_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::domain::{Attempt, Generation, TaskId, agent::AgentState, fleet::Protocol};

    fn busy() -> AgentRecord {
        AgentRecord {
            name: "echo-1".parse().unwrap(),
            fleet: "echo".parse().unwrap(),
            protocol: Protocol::Worker,
            state: AgentState::Busy,
            since: Timestamp::UNIX_EPOCH,
            ready: true,
            reason: None,
            generation: Generation(4),
            adopted: None,
            pid: Some(77),
            task: Some(TaskId::from_uuid(uuid::Uuid::from_u128(7))),
            attempt: Some(Attempt(2)),
            told: Some("at rest".to_owned()),
            progress: Some(serde_json::json!("half\u{1b}way")),
            heard_ms_ago: Some(1500),
            restarts: BTreeMap::from([(RestartCause::Crash, 2), (RestartCause::Stale, 1)]),
            attempts_ended: 9,
        }
    }

    fn now() -> Timestamp {
        Timestamp::from_second(90).unwrap()
    }

    #[test]
    fn agents_are_listed() {
        let text = anstream::adapter::strip_str(&table(&[busy()], now())).to_string();
        let lines: Vec<Vec<_>> =
            text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[0].len(), 10);
        let id = "tsk_00000000000000000000000000000007";
        assert_eq!(
            lines[1],
            ["echo-1", "busy", "yes", "1m", "ago", "77", id, "1s", "ago", "3", "-"]
        );
        assert!(table(&[], now()).contains("no agents"));
    }

    #[test]
    fn an_agent_is_shown() {
        let text = anstream::adapter::strip_str(&sheet(&busy(), now())).to_string();
        for part in ["echo-1 busy\n", "crash 2, stale 1", "half way", "attempts ended  9"] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
    }
}
