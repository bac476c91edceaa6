//! Who leads: the advisory lock, the silence after which the server ends a session, terms, and the
//! fence around a duty's work (decision 15, `sql/queries/leader`).
//!
//! Two hosts, which can be frozen, thawed and killed at any moment, beats that are late both ways, and
//! work that is fenced late. A host that is well does in time what its clock says.

use std::time::Duration;

use hostler::domain::leadership::{Pace, Standing};

use super::explore::{Model, STUCK, each, explore};

const HOSTS: usize = 2;

/// A rule that a variant does without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Without {
    Nothing,
    /// One at a time has the lock.
    Lock,
    /// The server ends a session that is silent.
    Silence,
    /// A leader stops by its own clock.
    Stopping,
    /// A beat counts from its sending.
    CountingFromSending,
    /// Work names its term, and an old one is refused.
    Term,
    /// A term begins when the work of the one before has ended.
    Waiting,
    /// The server ends work that rests.
    Bound,
}

/// A host, as far as it knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
struct Host {
    frozen: bool,
    /// The term in which it leads.
    leads: Option<u8>,
    /// Ticks since the last answered beat was sent.
    age: u8,
    /// A beat under way: ticks since it was sent, and whether the server had it.
    beat: Option<(u8, bool)>,
    /// The fence of a duty, sent and not carried out.
    asks: Option<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
struct State {
    hosts: [Host; HOSTS],
    /// The sessions that have the lock: one bit for each host.
    lock: u8,
    /// Ticks since the session that has it said something.
    silent: [u8; HOSTS],
    term: u8,
    /// Work that is let in, by whom, and of which term.
    work: [Option<u8>; HOSTS],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Tick,
    Stand(usize),
    SendBeat(usize),
    CarryOutBeat(usize),
    HearBeat(usize),
    GiveUp(usize),
    SendWork(usize),
    LetIn(usize),
    EndWork(usize),
    ServerEndsWork(usize),
    Freeze(usize),
    Thaw(usize),
    Crash(usize),
}

#[derive(Debug, Clone, Copy)]
struct Leader {
    without: Without,
    terms: u8,
}

/// Beats every two ticks, stops after five, is ended after six.
fn pace() -> Pace {
    Pace::of(Duration::from_millis(16))
}

fn silence() -> u8 {
    u8::try_from(pace().silence.as_millis()).expect("a few ticks")
}

fn judge(age: u8) -> Standing {
    pace().judge(0, age.into())
}

impl State {
    fn has_lock(&self, host: usize) -> bool {
        self.lock & 1 << host != 0
    }

    /// The session of a host ends, and its lock and beats with it.
    fn end_session(&mut self, host: usize) {
        self.lock &= !(1 << host);
    }

    fn tick(&mut self) {
        for (host, silent) in self.hosts.iter_mut().zip(&mut self.silent) {
            host.age = (host.age + 1).min(silence());
            *silent = (*silent + 1).min(silence());
            if let Some((age, _)) = &mut host.beat {
                *age = (*age + 1).min(silence());
            }
        }
    }
}

impl Leader {
    fn leads_by_its_clock(&self, host: &Host) -> bool {
        let stops = self.without != Without::Stopping;
        host.leads.is_some() && !host.frozen && !(stops && judge(host.age) == Standing::Lost)
    }

    /// Whether somebody who is well has to do something before time goes on.
    fn must_act(&self, state: &State) -> bool {
        let stops = self.without != Without::Stopping;
        let late = |host: &Host| {
            stops && !host.frozen && host.leads.is_some() && judge(host.age) == Standing::Lost
        };
        let silent = |host: usize| state.has_lock(host) && state.silent[host] >= silence();
        state.hosts.iter().any(late) || self.without != Without::Silence && (0..HOSTS).any(silent)
    }

    fn possible(&self, state: &State) -> Vec<Action> {
        let mut may = Vec::new();
        if !self.must_act(state) {
            may.push(Action::Tick);
        }
        for (nth, host) in state.hosts.iter().enumerate() {
            let ended = self.without != Without::Bound;
            if state.work[nth].is_some() && ended && (host.frozen || host.leads.is_none()) {
                may.push(Action::ServerEndsWork(nth));
            }
            // What was sent is carried out, whatever becomes of its sender.
            if matches!(host.beat, Some((_, false))) {
                may.push(Action::CarryOutBeat(nth));
            }
            if host.asks.is_some() {
                may.push(Action::LetIn(nth));
            }
            if host.frozen {
                may.extend([Action::Thaw(nth), Action::Crash(nth)]);
                continue;
            }
            may.extend([Action::Freeze(nth), Action::Crash(nth)]);
            let works = state.work.iter().any(Option::is_some);
            let waits = works && self.without != Without::Waiting;
            let free = state.lock == 0 || self.without == Without::Lock;
            if host.leads.is_none() && free && !waits && state.term < self.terms {
                may.push(Action::Stand(nth));
            }
            if matches!(host.beat, Some((_, true))) {
                may.push(Action::HearBeat(nth));
            }
            if host.leads.is_none() {
                continue;
            }
            match judge(host.age) {
                Standing::Lost => may.push(Action::GiveUp(nth)),
                Standing::Due if host.beat.is_none() => may.push(Action::SendBeat(nth)),
                _ => {}
            }
            if self.leads_by_its_clock(host) && host.asks.is_none() && state.work[nth].is_none() {
                may.push(Action::SendWork(nth));
            }
            if state.work[nth].is_some() {
                may.push(Action::EndWork(nth));
            }
        }
        let silent = |host: &usize| state.has_lock(*host) && state.silent[*host] >= silence();
        if self.without != Without::Silence {
            // The server does so by itself: as if the host had died, but it does not know.
            may.extend((0..HOSTS).filter(silent).map(Action::GiveUp));
        }
        may
    }

    fn carry_out(&self, state: &mut State, action: Action) {
        match action {
            Action::Tick => state.tick(),
            Action::Stand(nth) => {
                state.term += 1;
                state.lock |= 1 << nth;
                state.silent[nth] = 0;
                let host = &mut state.hosts[nth];
                *host = Host { leads: Some(state.term), asks: host.asks, ..Host::default() };
            }
            Action::SendBeat(nth) => state.hosts[nth].beat = Some((0, false)),
            Action::CarryOutBeat(nth) => {
                let beat = state.hosts[nth].beat.take();
                // On a session that is gone it finds no server.
                if state.has_lock(nth) {
                    state.silent[nth] = 0;
                    state.hosts[nth].beat = beat.map(|(age, _)| (age, true));
                }
            }
            Action::HearBeat(nth) => {
                let sent = self.without != Without::CountingFromSending;
                let host = &mut state.hosts[nth];
                let age = host.beat.take().map_or(0, |(age, _)| age);
                // Once it is lost, it is lost.
                if host.leads.is_some() && judge(host.age) != Standing::Lost {
                    host.age = if sent { age } else { 0 };
                }
            }
            Action::GiveUp(nth) if state.silent[nth] >= silence() && state.has_lock(nth) => {
                state.end_session(nth);
            }
            Action::GiveUp(nth) => {
                state.end_session(nth);
                state.hosts[nth].leads = None;
                state.hosts[nth].beat = None;
            }
            Action::SendWork(nth) => state.hosts[nth].asks = state.hosts[nth].leads,
            Action::LetIn(nth) => {
                let term = state.hosts[nth].asks.take();
                if term == Some(state.term) || self.without == Without::Term {
                    state.work[nth] = term;
                }
            }
            Action::EndWork(nth) | Action::ServerEndsWork(nth) => state.work[nth] = None,
            Action::Freeze(nth) => state.hosts[nth].frozen = true,
            Action::Thaw(nth) => state.hosts[nth].frozen = false,
            Action::Crash(nth) => {
                state.end_session(nth);
                state.hosts[nth] = Host { asks: state.hosts[nth].asks, ..Host::default() };
                state.work[nth] = None;
            }
        }
    }
}

impl Model for Leader {
    type State = State;
    type Action = Action;

    fn start(&self) -> State {
        State::default()
    }

    fn steps(&self, state: &State) -> Vec<(Action, State)> {
        each(state, self.possible(state), |next, action| self.carry_out(next, action))
    }

    fn wrong(&self, state: &State) -> Option<&'static str> {
        if state.hosts.iter().filter(|host| self.leads_by_its_clock(host)).count() > 1 {
            return Some(TWO);
        }
        let old = |term: &Option<u8>| term.is_some_and(|term| term != state.term);
        state.work.iter().any(old).then_some(OLD)
    }

    fn is_fault(&self, state: &State, action: &Action) -> bool {
        match action {
            Action::Freeze(_) | Action::Thaw(_) | Action::Crash(_) => true,
            // A leader that is well beats in time.
            Action::Tick => {
                let well = |host: &Host| !host.frozen && host.leads.is_some();
                state.hosts.iter().any(|host| well(host) && judge(host.age + 1) == Standing::Lost)
            }
            _ => false,
        }
    }

    /// Somebody who is well leads and works, or all are frozen, or the story is as long as it may be.
    fn is_goal(&self, state: &State) -> bool {
        let works =
            |nth: usize| self.leads_by_its_clock(&state.hosts[nth]) && state.work[nth].is_some();
        state.term >= self.terms
            || state.hosts.iter().all(|host| host.frozen)
            || (0..HOSTS).any(works)
    }
}

const TWO: &str = "two hosts that are well lead at once";
const OLD: &str = "the work of an old term goes on in a new one";

#[test]
fn no_interleaving_of_two_leaders_breaks_a_rule() {
    let leader = Leader { without: Without::Nothing, terms: 3 };
    let states = explore(&leader).unwrap_or_else(|story| panic!("{story:#?}"));
    println!("{leader:?}: {states} states");
    assert!(states > 10_000, "{states}");
}

#[test]
fn each_rule_of_the_leader_is_needed() {
    let rows = [
        (Without::Lock, TWO),
        (Without::Silence, STUCK),
        (Without::Stopping, TWO),
        (Without::CountingFromSending, TWO),
        (Without::Term, OLD),
        (Without::Waiting, OLD),
        (Without::Bound, STUCK),
    ];
    for (without, wrong) in rows {
        let story = explore(&Leader { without, terms: 3 }).expect_err(&format!("{without:?}"));
        println!("{without:?}: {}: {:?}", story.wrong, story.actions);
        assert_eq!(story.wrong, wrong, "{without:?}: {story:#?}");
    }
}
