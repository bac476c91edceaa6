//! What systemd, or whoever speaks its protocols, is told and gives: readiness, reloads, the end, signs of
//! life, and a socket that is listened on already.
//!
//! A sign of life is the end of a round trip: the queue and the supervisor have answered. A timer alone
//! would tell of a host that hangs that it lives.

use std::{
    collections::BTreeMap,
    io,
    net::TcpListener,
    os::{
        fd::{AsFd, OwnedFd},
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixDatagram},
    },
    sync::Arc,
    time::Duration,
};

use slog::{Logger, warn};

use crate::{
    domain::{agent::AgentState, record::AgentRecord},
    process,
    queue::QueueHandle,
    supervisor::SupervisorHandle,
};

/// The first descriptor that is passed.
const FIRST: i32 = 3;

/// For how long beyond the grace of a drain the end of a host may take.
const ENDS_WITHIN: Duration = Duration::from_secs(90);

/// Whoever started this process, if it wants to hear of it. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Service(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// Where it hears.
    to: Option<(UnixDatagram, SocketAddr)>,
    /// How often it must hear a sign of life.
    watchdog: Option<Duration>,
}

impl Service {
    /// Takes what the environment says of it, so that no other program does.
    ///
    /// # Errors
    ///
    /// The socket that is named can't be used.
    pub(super) fn take(env: &mut BTreeMap<String, String>) -> io::Result<Self> {
        let me = std::process::id().to_string();
        let watchdog = env.remove("WATCHDOG_USEC").and_then(|usec| usec.parse().ok());
        let mine = env.remove("WATCHDOG_PID").is_none_or(|pid| pid == me);
        let watchdog = watchdog.filter(|_| mine).map(Duration::from_micros);
        let Some(name) = env.remove("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else {
            return Ok(Self::default());
        };
        let address = match name.strip_prefix('@') {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None => SocketAddr::from_pathname(&name)?,
        };
        let to = Some((UnixDatagram::unbound()?, address));
        Ok(Self(Arc::new(Inner { to, watchdog })))
    }

    /// The host is ready, for the first time or again after [`Service::reloading`].
    pub(super) fn ready(&self) {
        self.tell("READY=1");
    }

    /// The host reads its settings again, or hands over: [`Service::ready`] follows.
    pub(super) fn reloading(&self) {
        let now = process::monotonic().as_micros();
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={now}"));
    }

    /// The host stops, which may take as long as its agents' `grace`.
    pub(super) fn stopping(&self, grace: Duration) {
        let limit = (grace + ENDS_WITHIN).as_micros();
        self.tell(&format!("STOPPING=1\nEXTEND_TIMEOUT_USEC={limit}\nSTATUS=stopping"));
    }

    /// Tells that the host lives, and how its agents are, for as long as it does.
    pub(super) fn keep_telling(
        &self,
        log: Logger,
        queue: QueueHandle,
        supervisor: SupervisorHandle,
    ) {
        if self.0.to.is_some() {
            let round_trip = async move || {
                queue.answers().await?;
                supervisor.agents().await.ok()
            };
            actix::spawn(self.clone().tell_on(log, round_trip));
        }
    }

    /// Tells that the host lives each time that its actors have answered, and never otherwise.
    async fn tell_on(self, log: Logger, round_trip: impl AsyncFn() -> Option<Vec<AgentRecord>>) {
        let every = self.0.watchdog.map_or(Duration::from_secs(10), |limit| limit / 3);
        let mut tick = tokio::time::interval(every);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut last = String::new();
        loop {
            tick.tick().await;
            let Ok(Some(agents)) = tokio::time::timeout(every, round_trip()).await else {
                warn!(log, "the host's own actors do not answer: no sign of life is given";
                    "wait_ms" => u64::try_from(every.as_millis()).unwrap_or(u64::MAX));
                continue;
            };
            if self.0.watchdog.is_some() {
                self.tell("WATCHDOG=1");
            }
            let status = status(&agents);
            if status != last {
                self.tell(&format!("STATUS={status}"));
                last = status;
            }
        }
    }

    fn tell(&self, what: &str) {
        if let Some((socket, address)) = &self.0.to {
            // Nobody is left to tell that this failed: whoever listens notices that nothing comes.
            socket.send_to_addr(what.as_bytes(), address).unwrap_or_default();
        }
    }
}

/// How the agents are, in one line.
fn status(agents: &[AgentRecord]) -> String {
    let mut states: BTreeMap<AgentState, usize> = BTreeMap::new();
    for agent in agents {
        *states.entry(agent.state).or_default() += 1;
    }
    let states: Vec<String> =
        states.iter().map(|(state, count)| format!("{count} {}", state.as_str())).collect();
    match agents.len() {
        0 => "no agents".to_owned(),
        1 => format!("1 agent: {}", states.join(", ")),
        many => format!("{many} agents: {}", states.join(", ")),
    }
}

/// A socket that this process was given to listen on. It stays open under its number, for a program that
/// takes the place of this one.
#[derive(Debug)]
pub(super) struct Inherited(OwnedFd);

impl Inherited {
    /// Takes the socket that was passed to this process, if one was. To be called before anything is
    /// opened.
    ///
    /// # Errors
    ///
    /// More than one was passed.
    pub(super) fn take(env: &mut BTreeMap<String, String>) -> io::Result<Option<Self>> {
        let pid = env.remove("LISTEN_PID");
        let count = env.remove("LISTEN_FDS").and_then(|count| count.parse::<i32>().ok());
        env.remove("LISTEN_FDNAMES");
        if pid.as_deref() != Some(std::process::id().to_string().as_str()) {
            return Ok(None);
        }
        match count.unwrap_or(0) {
            0 => Ok(None),
            1 => process::take(FIRST).map(Self).map(Some).ok_or_else(|| {
                io::Error::other("LISTEN_FDS speaks of a descriptor that is not there")
            }),
            many => Err(io::Error::other(format!("one socket is taken, and {many} were passed"))),
        }
    }

    /// The socket, to listen on.
    ///
    /// # Errors
    ///
    /// It is no TCP socket.
    pub(super) fn listener(&self) -> io::Result<TcpListener> {
        let listener = TcpListener::from(self.0.try_clone()?);
        listener
            .local_addr()
            .map_err(|_| io::Error::other("the socket that was passed is not TCP"))?;
        Ok(listener)
    }

    /// Has it stay open in the program that takes the place of this one.
    pub(super) fn hand_on(&self) {
        // If this fails the next program binds the address itself.
        process::hand_on(self.0.as_fd()).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn what_is_told_arrives_by_name_and_by_path() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let abstract_name = format!("hostler-{}", uuid::Uuid::new_v4().simple());
        let by_name = SocketAddr::from_abstract_name(&abstract_name).unwrap();
        let ears = [
            (path.to_str().unwrap().to_owned(), UnixDatagram::bind(&path).unwrap()),
            (format!("@{abstract_name}"), UnixDatagram::bind_addr(&by_name).unwrap()),
        ];
        for (name, ear) in ears {
            let mut env =
                env(&[("NOTIFY_SOCKET", &name), ("WATCHDOG_USEC", "3000000"), ("A", "b")]);
            let service = Service::take(&mut env).unwrap();
            assert_eq!(env.into_keys().collect::<Vec<_>>(), ["A"], "nobody else speaks for it");
            assert_eq!(service.0.watchdog, Some(Duration::from_secs(3)));
            let hear = || {
                let mut text = [0; 200];
                let length = ear.recv(&mut text).unwrap();
                String::from_utf8(text[..length].to_vec()).unwrap()
            };
            service.ready();
            assert_eq!(hear(), "READY=1");
            let before = process::monotonic().as_micros();
            service.reloading();
            let told = hear();
            let usec: u128 =
                told.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap().parse().unwrap();
            assert!((before..=process::monotonic().as_micros()).contains(&usec), "{told}");
            service.stopping(Duration::from_secs(10));
            assert!(hear().starts_with("STOPPING=1\nEXTEND_TIMEOUT_USEC=100000000\n"));
        }
    }

    /// Lets it tell for six and a half seconds.
    async fn pass(telling: &mut std::pin::Pin<&mut impl Future<Output = ()>>) {
        tokio::select! {
            () = telling => unreachable!("it tells for ever"),
            () = tokio::time::sleep(Duration::from_millis(6_500)) => {}
        }
    }

    /// The timer goes on all the while: it is the answer that counts.
    #[tokio::test(start_paused = true)]
    async fn a_host_whose_actors_do_not_answer_gives_no_sign_of_life() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let ear = UnixDatagram::bind(&path).unwrap();
        ear.set_nonblocking(true).unwrap();
        let heard = || {
            let mut text = [0; 200];
            let all = std::iter::from_fn(|| {
                ear.recv(&mut text).ok().map(|length| text[..length].to_vec())
            });
            all.map(|text| String::from_utf8(text).unwrap()).collect::<Vec<_>>()
        };
        let mut env =
            env(&[("NOTIFY_SOCKET", path.to_str().unwrap()), ("WATCHDOG_USEC", "3000000")]);
        let service = Service::take(&mut env).unwrap();
        let (set, answers) = tokio::sync::watch::channel(Some(true));
        let round_trip = async move || {
            let answers = *answers.borrow();
            match answers {
                Some(true) => Some(Vec::new()),
                Some(false) => None,
                None => std::future::pending().await,
            }
        };
        let log = Logger::root(slog::Discard, slog::o!());
        let mut telling = std::pin::pin!(service.tell_on(log, round_trip));
        pass(&mut telling).await;
        let said = heard();
        assert_eq!(said.iter().filter(|word| *word == "WATCHDOG=1").count(), 7, "{said:?}");
        assert!(said.contains(&"STATUS=no agents".to_owned()), "{said:?}");
        // One hangs; then one is gone.
        for silent in [None, Some(false)] {
            set.send_replace(silent);
            pass(&mut telling).await;
            assert_eq!(heard(), [] as [&str; 0]);
        }
        set.send_replace(Some(true));
        pass(&mut telling).await;
        assert!(heard().contains(&"WATCHDOG=1".to_owned()));
    }

    #[test]
    fn without_a_socket_nothing_is_told_and_another_processs_watchdog_is_not_ours() {
        let service = Service::take(&mut env(&[])).unwrap();
        service.ready();
        assert!(service.0.to.is_none());
        let mut other =
            env(&[("NOTIFY_SOCKET", "@x"), ("WATCHDOG_USEC", "1"), ("WATCHDOG_PID", "1")]);
        assert_eq!(Service::take(&mut other).unwrap().0.watchdog, None);
        assert!(
            Inherited::take(&mut env(&[("LISTEN_FDS", "1"), ("LISTEN_PID", "1")]))
                .unwrap()
                .is_none()
        );
        let me = std::process::id().to_string();
        assert!(Inherited::take(&mut env(&[("LISTEN_FDS", "2"), ("LISTEN_PID", &me)])).is_err());
    }
}
