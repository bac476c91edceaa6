//! The parts of the program that log lines name, and whose level can be set on its own.

use std::fmt;

macro_rules! components {
    ($($(#[$doc:meta])* $name:ident = $word:literal,)*) => {
        /// A part of the program, as the field `component` of a log line names it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Component {
            $($(#[$doc])* $name,)*
        }

        impl Component {
            /// Every component.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The word of log lines and of `[log.components]`.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)*
                }
            }
        }
    };
}

components! {
    /// Start and stop of the whole host.
    App = "app",
    /// The registry of agents.
    Supervisor = "supervisor",
    /// One agent.
    Agent = "agent",
    /// The watch over signs of life.
    Heartbeat = "heartbeat",
    /// Claims, leases, outcomes.
    Queue = "queue",
    /// Streams of events to subscribers.
    Events = "events",
    /// The sending of webhooks.
    Webhooks = "webhooks",
    /// Leases of lost hosts, schedules, retention.
    Janitor = "janitor",
    /// The helper that all agent processes are children of.
    Keeper = "keeper",
    /// Processes.
    Process = "process",
    /// What agents say on stdio.
    Protocol = "protocol",
    /// Statements and migrations.
    Store = "store",
    /// The private Postgres.
    Embedded = "embedded",
    /// The API.
    Http = "http",
    /// The command line.
    Cli = "cli",
}

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
