//! When an agent counts as ready, and when one that was ready no longer does.
//!
//! An agent takes no task, and counts for no fleet that depends on its own, before it is ready. What
//! "ready" means is the fleet's word: that it said hello in its protocol, that it told so over its
//! notification socket, or that a look from outside finds it in order.

use std::time::Duration;

use super::{AgentName, agent::AgentState};

/// The wait after the first look that found an agent not ready yet; it doubles up to the interval.
const FIRST_WAIT: Duration = Duration::from_millis(50);

/// How an agent shows that it is ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Check {
    /// By its protocol: a worker answers `initialize`; a service is ready once it runs.
    Protocol,
    /// By `READY=1` on its notification socket.
    Notify,
    /// This command, run as the agent itself is, exits with status 0.
    Exec(Vec<String>),
    /// A GET of this URL is answered with a status from 200 to 399.
    Http(HttpTarget),
    /// A connection to this `host:port` is taken.
    Tcp(String),
}

/// Where an `http` check asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpTarget {
    /// `host:port`.
    pub address: String,
    /// The path, with the query.
    pub path: String,
}

impl HttpTarget {
    /// Reads `http://host:port/path`.
    ///
    /// # Errors
    ///
    /// What is wrong with the text, as the end of a sentence about it.
    pub fn parse(url: &str) -> Result<Self, String> {
        let shape = "such as \"http://127.0.0.1:8080/health\"";
        let Some(rest) = url.strip_prefix("http://") else {
            return Err(format!("must begin with http://, {shape}"));
        };
        let (authority, path) = match rest.find(['/', '?']) {
            Some(at) if rest.as_bytes()[at] == b'/' => (&rest[..at], rest[at..].to_owned()),
            Some(at) => (&rest[..at], format!("/{}", &rest[at..])),
            None => (rest, "/".to_owned()),
        };
        if url.contains(|c: char| c.is_whitespace() || c.is_control()) || url.contains('#') {
            return Err(format!("holds a character that no request can: write it {shape}"));
        }
        if authority.contains('@') {
            return Err("must not hold a password: a check sends none".to_owned());
        }
        let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']'));
        let address = if has_port { authority.to_owned() } else { format!("{authority}:80") };
        tcp_address(&address).map_err(|_| format!("names no host and port, {shape}"))?;
        Ok(Self { address, path })
    }
}

/// Looks at a `host:port`.
///
/// # Errors
///
/// What is wrong with the text, as the end of a sentence about it.
pub fn tcp_address(text: &str) -> Result<(), String> {
    let wrong = || Err("must be a host and a port, such as \"127.0.0.1:8080\"".to_owned());
    let Some((host, port)) = text.rsplit_once(':') else { return wrong() };
    let numbered = port.replace("{number}", "1");
    let is_port = numbered.parse::<u16>().is_ok_and(|port| port > 0);
    let is_host = !host.is_empty() && !host.contains(|c: char| c.is_whitespace() || c == '/');
    if is_port && is_host { Ok(()) } else { wrong() }
}

/// `text` for one agent: `{agent}` stands for its name, `{number}` for the number in it.
pub fn for_agent(text: &str, agent: &AgentName) -> String {
    let number = agent.as_str().rsplit_once('-').map_or("", |(_, number)| number);
    text.replace("{agent}", agent.as_str()).replace("{number}", number)
}

/// When the agents of a fleet count as ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readiness {
    /// How they show it.
    pub check: Check,
    /// How often an agent is looked at from outside.
    pub every: Duration,
    /// How long one look may take.
    pub timeout: Duration,
    /// So many failed looks in a row make an agent that was ready unready: it is replaced.
    pub failures: u32,
}

impl Default for Readiness {
    fn default() -> Self {
        Self {
            check: Check::Protocol,
            every: Duration::from_secs(10),
            timeout: Duration::from_secs(5),
            failures: 3,
        }
    }
}

/// What the looks at one process have found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Looks {
    passed: bool,
    failed_in_a_row: u32,
}

/// What a look means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// Nothing new.
    None,
    /// It is in order for the first time.
    Ready,
    /// It was in order, and has failed so many looks in a row: too many.
    Unready(u32),
}

impl Looks {
    /// Of a process that is known to have been ready.
    pub const fn after_readiness() -> Self {
        Self { passed: true, failed_in_a_row: 0 }
    }

    /// Takes in how a look ended. Says what that means, and how long to wait before the next: until
    /// the agent is ready for the first time it is looked at sooner, so that nobody waits a whole
    /// interval for a quick start.
    pub fn looked(&mut self, rules: &Readiness, in_order: bool) -> (News, Duration) {
        if in_order {
            let news = if self.passed { News::None } else { News::Ready };
            *self = Self::after_readiness();
            return (news, rules.every);
        }
        self.failed_in_a_row = self.failed_in_a_row.saturating_add(1);
        if self.passed {
            let failed = self.failed_in_a_row;
            let news = if failed == rules.failures { News::Unready(failed) } else { News::None };
            return (news, rules.every);
        }
        let doublings = (self.failed_in_a_row - 1).min(16);
        (News::None, (FIRST_WAIT * 2_u32.pow(doublings)).min(rules.every))
    }
}

/// What a process must still show before its agent is ready.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Gate {
    greeted: bool,
    shown: bool,
}

impl Gate {
    /// Nothing was shown yet; of a `check` by the protocol the greeting is all.
    pub fn of(check: &Check) -> Self {
        Self { greeted: false, shown: *check == Check::Protocol }
    }

    /// The protocol has begun.
    pub const fn greeted(&mut self) {
        self.greeted = true;
    }

    /// The check has passed.
    pub const fn shown(&mut self) {
        self.shown = true;
    }

    /// Whether nothing is missing.
    pub const fn is_open(self) -> bool {
        self.greeted && self.shown
    }

    /// Whether the greeting is missing.
    pub const fn awaits_greeting(self) -> bool {
        !self.greeted
    }
}

/// How a fleet stands, for what depends on it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FleetStanding {
    /// How many agents it has.
    pub agents: u16,
    /// How many have, or have had, a process; of fleets with a process per task, that are ready.
    pub started: u16,
    /// How many are ready now.
    pub ready: u16,
    /// How many ended by themselves with status 0, and are not started again.
    pub completed: u16,
}

impl FleetStanding {
    /// Takes in one agent: where it is, the number of its newest process, and whether that ended its
    /// work for good.
    pub fn count(&mut self, state: AgentState, processes: u64, completed: bool) {
        self.agents += 1;
        self.started += u16::from(processes > 0 || state.is_ready());
        self.ready += u16::from(state.is_ready());
        self.completed += u16::from(completed);
    }

    /// Whether every agent was started.
    pub const fn is_started(self) -> bool {
        self.agents > 0 && self.started == self.agents
    }

    /// Whether every agent is ready.
    pub const fn is_healthy(self) -> bool {
        self.agents > 0 && self.ready == self.agents
    }

    /// Whether every agent has done its work for good.
    pub const fn is_completed(self) -> bool {
        self.agents > 0 && self.completed == self.agents
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn rules() -> Readiness {
        Readiness {
            check: Check::Tcp("localhost:1".to_owned()),
            every: SECOND,
            timeout: SECOND,
            failures: 3,
        }
    }

    #[test]
    fn looks_come_quickly_until_the_first_success_and_then_at_the_interval() {
        let mut looks = Looks::default();
        let waits: Vec<_> = (0..7).map(|_| looks.looked(&rules(), false)).collect();
        let ms = |ms| (News::None, Duration::from_millis(ms));
        assert_eq!(waits, [50, 100, 200, 400, 800, 1000, 1000].map(ms));
        assert_eq!(looks.looked(&rules(), true), (News::Ready, SECOND));
        assert_eq!(looks.looked(&rules(), true), (News::None, SECOND));
    }

    #[test]
    fn only_failures_in_a_row_make_it_unready_and_that_is_told_once() {
        let mut looks = Looks::after_readiness();
        let told: Vec<_> = [false, false, true, false, false, false, false]
            .map(|in_order| looks.looked(&rules(), in_order).0)
            .into();
        let mut expected = vec![News::None; 7];
        expected[5] = News::Unready(3);
        assert_eq!(told, expected);
    }

    proptest! {
        #[test]
        fn an_agent_is_ready_once_and_unready_only_after_so_many_failures(
            looks in prop::collection::vec(any::<bool>(), 0..60),
            failures in 1_u32..6,
        ) {
            let rules = Readiness { failures, ..rules() };
            let mut state = Looks::default();
            let (mut was_ready, mut row) = (false, 0);
            for in_order in looks {
                row = if in_order { 0 } else { row + 1 };
                let (news, wait) = state.looked(&rules, in_order);
                prop_assert!(wait <= rules.every && wait >= FIRST_WAIT.min(rules.every));
                let expected = match (in_order, was_ready) {
                    (true, false) => News::Ready,
                    (false, true) if row == failures => News::Unready(failures),
                    _ => News::None,
                };
                prop_assert_eq!(news, expected);
                was_ready |= in_order;
            }
        }
    }

    #[test]
    fn a_gate_opens_when_both_are_there() {
        let mut gate = Gate::of(&Check::Notify);
        assert!(!gate.is_open() && gate.awaits_greeting());
        gate.shown();
        assert!(!gate.is_open());
        gate.greeted();
        assert!(gate.is_open());
        let mut gate = Gate::of(&Check::Protocol);
        gate.greeted();
        assert!(gate.is_open());
    }

    #[test]
    fn urls_and_addresses() {
        let target = |address: &str, path: &str| {
            Ok(HttpTarget { address: address.to_owned(), path: path.to_owned() })
        };
        let rows = [
            ("http://localhost", target("localhost:80", "/")),
            ("http://localhost:81/a/b?c=1", target("localhost:81", "/a/b?c=1")),
            ("http://[::1]:82", target("[::1]:82", "/")),
            ("http://[::1]/x", target("[::1]:80", "/x")),
            ("http://h?x", target("h:80", "/?x")),
            ("http://h:80{number}/", target("h:80{number}", "/")),
        ];
        for (url, expected) in rows {
            assert_eq!(HttpTarget::parse(url), expected, "{url}");
        }
        for url in [
            "",
            "localhost",
            "https://h",
            "http://",
            "http://h:x",
            "http://h:0",
            "http://a b",
            "http://u:p@h/",
            "http://h/#f",
        ] {
            assert!(HttpTarget::parse(url).is_err(), "{url}");
        }
        for address in ["a", "a:", ":1", "a:70000", "a b:1", "a/b:1"] {
            assert!(tcp_address(address).is_err(), "{address}");
        }
    }

    #[test]
    fn an_agent_is_asked_at_its_own_place() {
        let agent = "web-3".parse().unwrap();
        assert_eq!(for_agent("http://h:810{number}/{agent}", &agent), "http://h:8103/web-3");
    }

    #[test]
    fn a_fleet_stands_as_all_of_its_agents_do() {
        let mut standing = FleetStanding::default();
        assert!(!standing.is_started() && !standing.is_healthy() && !standing.is_completed());
        standing.count(AgentState::Idle, 1, false);
        assert!(standing.is_started() && standing.is_healthy() && !standing.is_completed());
        standing.count(AgentState::Starting, 1, false);
        assert!(standing.is_started() && !standing.is_healthy());
        standing.count(AgentState::Paused, 0, false);
        assert!(!standing.is_started());
        let mut standing = FleetStanding::default();
        standing.count(AgentState::Stopped, 1, true);
        assert!(standing.is_started() && !standing.is_healthy() && standing.is_completed());
    }
}
