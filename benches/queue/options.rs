//! What the command line asks for.

use std::time::Duration;

use crate::{Outcome, catalog::PEERS};

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scenario {
    /// Bulk submits over HTTP, drained through worker processes.
    Drain,
    /// The same by the library, in one process; the ceilings of draining.
    Library,
    /// One task a submit; the ceilings of submitting.
    Submit,
    /// From a submit to an idle agent.
    Pickup,
    /// Drains of a full table.
    Backlog,
    /// A drain while somebody holds a snapshot.
    Snapshot,
    /// What 200 idle agents cost.
    Idle,
    /// Few submitters and many.
    Submitters,
}

impl Scenario {
    const ALL: [Self; 8] = [
        Self::Drain,
        Self::Library,
        Self::Submit,
        Self::Pickup,
        Self::Backlog,
        Self::Snapshot,
        Self::Idle,
        Self::Submitters,
    ];

    /// Its name on the command line.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Drain => "drain",
            Self::Library => "library",
            Self::Submit => "submit",
            Self::Pickup => "pickup",
            Self::Backlog => "backlog",
            Self::Snapshot => "snapshot",
            Self::Idle => "idle",
            Self::Submitters => "submitters",
        }
    }
}

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    /// How often everything is measured.
    pub(crate) repeats: usize,
    /// Tasks that are drained.
    pub(crate) drain: usize,
    /// For how long tasks are submitted one by one.
    pub(crate) enqueue: Duration,
    /// Tasks that are submitted alone, to idle agents.
    pub(crate) pickups: usize,
    /// Finished tasks in a full table.
    pub(crate) finished: usize,
    /// Pending tasks in a full table, behind those that are drained.
    pub(crate) behind: usize,
    /// Tasks that a peer drains while a snapshot is held; we drain more.
    pub(crate) churn: usize,
    /// How long a host with idle agents is left alone before it is watched.
    pub(crate) calm: Duration,
    /// For how long it is watched.
    pub(crate) idle: Duration,
    /// The most that a drain of ours may take.
    pub(crate) patience: Duration,
    /// The most that a drain of a peer may take; past it, its rate so far counts.
    pub(crate) cap: Duration,
}

const FULL: Sizes = Sizes {
    repeats: 3,
    drain: 20_000,
    enqueue: Duration::from_secs(3),
    pickups: 500,
    finished: 1_000_000,
    behind: 200_000,
    churn: 60_000,
    calm: Duration::from_secs(5),
    idle: Duration::from_secs(20),
    patience: Duration::from_secs(600),
    cap: Duration::from_secs(10),
};

const QUICK: Sizes = Sizes {
    repeats: 1,
    drain: 5_000,
    enqueue: Duration::from_secs(1),
    pickups: 40,
    finished: 20_000,
    behind: 5_000,
    churn: 6_000,
    calm: Duration::from_secs(2),
    idle: Duration::from_secs(5),
    patience: Duration::from_secs(300),
    cap: Duration::from_secs(4),
};

/// What the command line asks for.
#[derive(Debug)]
pub(crate) struct Options {
    /// What is measured.
    pub(crate) scenarios: Vec<Scenario>,
    /// How much of it.
    pub(crate) sizes: Sizes,
    /// The peers by name; all of them where absent.
    pub(crate) peers: Option<Vec<String>>,
}

impl Options {
    /// Whether the peer of this name is asked for.
    pub(crate) fn wants(&self, peer: &str) -> bool {
        self.peers.as_ref().is_none_or(|peers| peers.iter().any(|name| name == peer))
    }

    /// Reads the arguments of the program.
    ///
    /// # Errors
    ///
    /// An argument that it does not know, or a name that is none.
    pub(crate) fn read(arguments: &[String]) -> Outcome<Self> {
        let mut options = Self { scenarios: Scenario::ALL.to_vec(), sizes: FULL, peers: None };
        let mut repeats = None;
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("`{argument}` needs a value"));
            match argument.as_str() {
                // From cargo itself.
                "--bench" => {}
                "--quick" => options.sizes = QUICK,
                "--no-peers" => options.peers = Some(Vec::new()),
                "--peers" => {
                    options.peers = Some(value()?.split(',').map(peer).collect::<Result<_, _>>()?);
                }
                "--only" => {
                    options.scenarios =
                        value()?.split(',').map(scenario).collect::<Result<_, _>>()?;
                }
                "--repeats" => repeats = Some(value()?.parse()?),
                other => return Err(format!("`{other}` is no argument; {USAGE}").into()),
            }
        }
        options.sizes.repeats = repeats.unwrap_or(options.sizes.repeats);
        Ok(options)
    }
}

const USAGE: &str = "the arguments are --quick, --only SCENARIO,..., --no-peers, --peers NAME,... \
    and --repeats COUNT";

fn scenario(name: &str) -> Result<Scenario, String> {
    Scenario::ALL.into_iter().find(|scenario| scenario.name() == name).ok_or_else(|| {
        let names = Scenario::ALL.map(Scenario::name).join(", ");
        format!("`{name}` is no scenario; there are {names}")
    })
}

fn peer(name: &str) -> Result<String, String> {
    let keys = PEERS.iter().map(|peer| peer.key);
    if keys.clone().any(|key| key == name) {
        return Ok(name.to_owned());
    }
    let keys = keys.collect::<Vec<_>>().join(", ");
    Err(format!("`{name}` is no peer; there are {keys}"))
}
