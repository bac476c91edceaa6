//! `hostler upgrade`: another program takes the place of the host's.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::{
    client::Client,
    exit::{CliError, Exit, Outcome},
    global::Global,
};
use crate::{
    domain::upgrade::Agents,
    http::api::{HostRecord, UpgradeStarted},
};

/// The wait between two looks for the host that comes up.
const LOOK: Duration = Duration::from_millis(100);

/// Have another program take the host's place; the agents go on
#[derive(Debug, Args)]
#[command(
    after_help = "The program is tried first: it must know the schema of the database and read \
    the host's settings;\nif not, nothing changes. Then the host hands over to it within the same process: agents keep their\n\
    processes and attempts. Where the two can't share the agents' keeper, the agents end their attempts\n\
    first. If the new program does not come up, the old one does again, and that is said.\n\n\
    Examples:\n  hostler upgrade                        # to the program that this command is\n  \
    hostler upgrade /opt/hostler-1.3/hostler"
)]
pub(super) struct Upgrade {
    /// The program; this one where absent
    program: Option<PathBuf>,
    /// How long to wait for the host to be back, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    wait: u64,
}

impl Upgrade {
    pub(super) async fn run(self, global: &Global) -> Outcome {
        let client = global.client()?;
        let program = match self.program {
            Some(program) => std::path::absolute(&program)?,
            None => std::env::current_exe()?,
        };
        let before: HostRecord = client.get("/api/v1/host").await?;
        let body = json!({ "program": program });
        let limit = Duration::from_secs(self.wait);
        let started: UpgradeStarted =
            client.post_within("/api/v1/upgrade", &body, limit).await?.json()?;
        let deadline = Instant::now() + limit;
        let after = until_back(&client, &before, &started, deadline).await?;
        if let Some(failed) = after.upgrade.as_ref().and_then(|upgrade| upgrade.failed.as_ref()) {
            let what = format!(
                "{} did not come up, and version {} goes on: {failed}",
                program.display(),
                after.version
            );
            return Err(CliError::new(Exit::Failed, what));
        }
        global.output().show(&after, |after| text(after, &started))?;
        Ok(Exit::Done)
    }
}

/// The host that answers next.
async fn until_back(
    client: &Client,
    before: &HostRecord,
    started: &UpgradeStarted,
    deadline: Instant,
) -> Outcome<HostRecord> {
    // In a container of its own the command may not see it.
    let is_seen = lives(before.pid);
    loop {
        match client.get::<HostRecord>("/api/v1/host").await {
            Ok(host) if host.id != started.host => return Ok(host),
            // It still hands over.
            Ok(_) => {}
            Err(_) if is_seen && !lives(before.pid) => {
                let what = "the host handed over, and its process has ended: no host runs now";
                return Err(CliError::new(Exit::Failed, what).help(
                    "start it again: it takes back what agents are left within its lease; its \
                     log says more",
                ));
            }
            Err(_) => {}
        }
        if Instant::now() >= deadline {
            let what = "the host has handed over, and no host has answered since";
            return Err(CliError::new(Exit::TimedOut, what).help("its log says more"));
        }
        sleep(LOOK).await;
    }
}

/// Whether there is such a process, and it has not ended.
fn lives(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    // The state follows the name, which stands in brackets and may hold anything.
    stat.is_ok_and(|stat| {
        stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
    })
}

fn text(after: &HostRecord, started: &UpgradeStarted) -> String {
    let adoption = &after.adoption;
    let agents = match started.plan.agents {
        Agents::Drained => "agents ended their attempts, and were started anew".to_owned(),
        Agents::Kept => format!(
            "{} of {} processes go on, {} had finished, {} were ended",
            adoption.kept,
            adoption.found,
            adoption.settled,
            adoption.ended.len()
        ),
    };
    let mut text =
        format!("version {} took over from {}\n{agents}\n", after.version, started.plan.from);
    for ended in &adoption.ended {
        text += &format!("  {} (pid {}): {}\n", ended.agent, ended.pid, ended.reason);
    }
    text
}
