//! Claims, leases, lost answers, take-overs: one host that everything can happen to, and another one
//! that takes over what it can get.
//!
//! Between the first host and the database everything can be late. A statement that the host gave up
//! on may be carried out at any later time, or never; an answer can get lost; the host or its keeper
//! can die. Time goes in ticks, four to a lease; the host counts its lease by its own clock from the
//! sending of a renewal, the database by its own from carrying it out.

use std::time::Duration;

use hostler::domain::{
    lease::{self, Standing},
    task::{TaskEvent, TaskState, step},
};

use super::explore::{Model, STUCK, explore};

/// The length of a lease in ticks.
const LEASE: u8 = 4;
/// How many statements may be late at a time.
const MOST_LATE: usize = 1;
const TASKS: usize = 1;

/// A rule that a variant does without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Without {
    Nothing,
    /// An outcome counts only for the newest attempt.
    AttemptNumber,
    /// An outcome counts only for the newest attempt, and only from the host that holds it. (The number
    /// alone would do; the host is a second lock on the same door.)
    Fencing,
    /// A host whose lease is about to end stops its agents.
    GivingUp,
    /// The keeper of a dead host stops its agents before its lease ends.
    Keeper,
    /// A claim needs a lease. (Without it a task would stay with a host that is gone; `hosts/take_over` also
    /// puts back what unknown hosts hold, which the model leaves out.)
    LeaseOfClaim,
    /// What was claimed under a lease that is lost by now is not begun.
    DroppingLateClaims,
    /// A lease is counted from the sending of its renewal.
    CountingFromSending,
    /// Claims are not looked for as lost while one is under way.
    WaitingForClaims,
    /// What was given up is made sure not to be carried out.
    Severing,
    /// What got lost is looked for.
    LookingForStrays,
    /// The agents of a host before are gone before what they ran is put back.
    EndingTheDoomed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Holder {
    Nobody,
    /// The first host, under this id.
    First(u8),
    Second,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Task {
    state: TaskState,
    attempt: u8,
    holder: Holder,
    /// The attempt whose outcome counted.
    ended_by: u8,
}

/// One bit per task.
type Set = u8;
/// One bit per attempt, for each task.
type Attempts = [u8; TASKS];

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Statement {
    Renew(u8),
    Claim(u8),
    /// Put back what this id holds, but for these tasks.
    Strays(u8, Set),
    /// Take this id, and go on with these attempts.
    Register(u8, Attempts),
    /// The end of an attempt, from this id: it completes its task, or gives it back.
    Settle(u8, u8, u8, bool),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Answer {
    Yes,
    No,
    /// A task and its attempt.
    Claimed(u8, u8),
    /// What it goes on with.
    Registered(Attempts),
}

/// A statement that is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Call {
    statement: Statement,
    /// Ticks since it was sent.
    age: u8,
    answer: Option<Answer>,
}

/// What the first host waits for: one renewal, claims of two fleets, and one other statement at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Line {
    Renewal,
    Claim,
    OtherClaim,
    Other,
}

const LINES: [Line; 4] = [Line::Renewal, Line::Claim, Line::OtherClaim, Line::Other];

/// The first host.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
struct First {
    up: bool,
    /// The id under which it holds the lease.
    id: Option<u8>,
    /// Ticks since the last renewal was sent; kept by the keeper when the host dies.
    age: u8,
    calls: [Option<Call>; LINES.len()],
    /// A claim's answer got lost.
    uncertain: bool,
    /// What its agents, or those of a dead host, are at.
    running: Attempts,
    /// What has ended and is not written.
    ended: Attempts,
    /// What of that gives its task back.
    given_back: Attempts,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct State {
    tasks: [Task; TASKS],
    /// The row of the first host: its id, and the ticks until its lease ends.
    row: Option<(u8, u8)>,
    first: First,
    next_id: u8,
    /// Given up, and perhaps still to be carried out.
    late: Vec<Statement>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Action {
    Tick,
    SendRenewal,
    LoseLease,
    SendClaim(Line),
    SendStrays,
    SendRegister,
    SendSettle(u8),
    /// The database carries out what is waited for.
    CarryOut(Line),
    /// The host gets the answer.
    Hear(Line),
    /// The host waits no longer.
    GiveUp(Line),
    /// The database carries out what was given up.
    CarryOutLate(Statement),
    AgentEnds {
        task: u8,
        attempt: u8,
        completes: bool,
    },
    Crash,
    KeeperEndsAgents,
    Restart {
        adopts: bool,
    },
    TakeOver,
    SecondClaims(u8),
    SecondEnds(u8),
}

/// The protocol, and how far the story goes: so many attempts of a task, ids of the first host, and
/// claims of it under way at a time.
#[derive(Debug, Clone, Copy)]
struct Hosts {
    without: Without,
    attempts: u8,
    ids: u8,
    claims: usize,
}

fn bit(at: u8) -> u8 {
    1 << at
}

fn index(task: u8) -> usize {
    usize::from(task)
}

fn of_tick(age: u8) -> Standing {
    lease::judge(Duration::from_millis(LEASE.into()), 0, age.into())
}

impl First {
    fn call(&mut self, line: Line) -> &mut Option<Call> {
        &mut self.calls[line as usize]
    }
}

impl Task {
    fn step(&mut self, event: TaskEvent, holder: Holder) {
        self.state = step(self.state, event).expect("only legal steps");
        self.holder = holder;
        self.attempt += u8::from(event == TaskEvent::Claimed);
    }
}

impl State {
    /// Carries a statement out, as the one in `sql/queries` does.
    fn carry_out(&mut self, rules: Hosts, statement: Statement) -> Answer {
        let without = rules.without;
        match statement {
            Statement::Renew(id) => match &mut self.row {
                Some((held, left)) if *held == id && *left > 0 => {
                    *left = LEASE;
                    Answer::Yes
                }
                _ => Answer::No,
            },
            Statement::Claim(id) => {
                let holds = matches!(self.row, Some((held, left)) if held == id && left > 0);
                let may = holds || without == Without::LeaseOfClaim;
                let free = self.tasks.iter().position(|task| task.state == TaskState::Pending);
                match free.filter(|_| may) {
                    Some(at) if self.tasks[at].attempt < rules.attempts => {
                        self.tasks[at].step(TaskEvent::Claimed, Holder::First(id));
                        let task = u8::try_from(at).expect("few tasks");
                        Answer::Claimed(task, self.tasks[at].attempt)
                    }
                    _ => Answer::No,
                }
            }
            Statement::Strays(id, known) => {
                if without != Without::Severing {
                    self.late.clear();
                }
                for (at, task) in (0..).zip(&mut self.tasks) {
                    if task.holder == Holder::First(id) && known & bit(at) == 0 {
                        task.step(TaskEvent::Released, Holder::Nobody);
                    }
                }
                Answer::Yes
            }
            Statement::Register(id, wanted) => {
                if without != Without::Severing {
                    self.late.clear();
                }
                let before = self.row.replace((id, LEASE)).map(|(before, _)| Holder::First(before));
                let mut resumed = [0; TASKS];
                for ((task, wanted), resumed) in self.tasks.iter_mut().zip(wanted).zip(&mut resumed)
                {
                    if Some(task.holder) != before {
                        continue;
                    }
                    if wanted & bit(task.attempt) != 0 {
                        task.holder = Holder::First(id);
                        *resumed = bit(task.attempt);
                    } else {
                        task.step(TaskEvent::Released, Holder::Nobody);
                    }
                }
                Answer::Registered(resumed)
            }
            Statement::Settle(id, at, attempt, completes) => {
                let task = &mut self.tasks[index(at)];
                let unfenced = without == Without::Fencing;
                let newest = attempt == task.attempt || without == Without::AttemptNumber;
                let holds = task.holder == Holder::First(id);
                if (newest && holds || unfenced) && task.state == TaskState::Running {
                    let event = if completes { TaskEvent::Completed } else { TaskEvent::Released };
                    task.step(event, Holder::Nobody);
                    task.ended_by = if completes { attempt } else { 0 };
                }
                Answer::Yes
            }
        }
    }

    /// What the host knows of: at work or not written yet.
    fn known(&self) -> Set {
        let First { running, ended, .. } = &self.first;
        let known = running.iter().zip(ended).map(|(running, ended)| running | ended != 0);
        (0..).zip(known).filter(|(_, known)| *known).fold(0, |set, (at, _)| set | bit(at))
    }

    fn put_back_of(&mut self, lost: impl Fn(Holder) -> bool) {
        for task in &mut self.tasks {
            if lost(task.holder) {
                task.step(TaskEvent::Released, Holder::Nobody);
            }
        }
    }

    /// The host gets an answer.
    fn hear(&mut self, without: Without, call: Call) {
        let first = &mut self.first;
        let from_sending = without != Without::CountingFromSending;
        let age = if from_sending { call.age } else { 0 };
        match (call.statement, call.answer.expect("an answer")) {
            // Once it is lost, it is lost: what was claimed may have been passed over.
            (Statement::Renew(id), Answer::Yes)
                if first.id == Some(id) && of_tick(first.age) != Standing::Lost =>
            {
                first.age = age;
            }
            (Statement::Renew(id), Answer::No) if first.id == Some(id) => self.lose_lease(without),
            (Statement::Claim(id), Answer::Claimed(task, attempt)) => {
                let holds = first.id == Some(id) && of_tick(first.age) != Standing::Lost;
                if holds || without == Without::DroppingLateClaims {
                    first.running[index(task)] |= bit(attempt);
                }
            }
            (Statement::Strays(..), Answer::Yes) => first.uncertain = false,
            (Statement::Register(id, _), Answer::Registered(resumed)) => {
                first.id = Some(id);
                first.age = age;
                first.uncertain = false;
                // What is not its own any more is ended now.
                for ((running, ended), ours) in
                    first.running.iter_mut().zip(&mut first.ended).zip(resumed)
                {
                    *running &= ours;
                    *ended &= ours;
                }
                for (given_back, ended) in first.given_back.iter_mut().zip(first.ended) {
                    *given_back &= ended;
                }
            }
            (Statement::Settle(_, task, attempt, _), _) => {
                first.ended[index(task)] &= !bit(attempt);
                first.given_back[index(task)] &= !bit(attempt);
            }
            _ => {}
        }
    }

    /// The host gives its lease up, and its agents are gone within the tick.
    fn lose_lease(&mut self, without: Without) {
        self.first.id = None;
        if without != Without::GivingUp {
            self.first.running = [0; TASKS];
        }
    }

    /// The attempts of a task that agents are at.
    fn at_once(&self, at: usize) -> u32 {
        let second = self.tasks[at].holder == Holder::Second;
        self.first.running[at].count_ones() + u32::from(second)
    }

    fn is_busy(&self) -> bool {
        self.first.running != [0; TASKS]
    }
}

impl Hosts {
    /// What the host may send or decide.
    fn decisions(&self, state: &State) -> Vec<Action> {
        let First { id, age, calls, uncertain, ended, .. } = &state.first;
        let waits = |line: Line| calls[line as usize].is_some();
        let mut may = Vec::new();
        match (id, of_tick(*age)) {
            (Some(_), Standing::Lost) => may.push(Action::LoseLease),
            (Some(_), Standing::Due) if !waits(Line::Renewal) => may.push(Action::SendRenewal),
            _ => {}
        }
        let claims = &[Line::Claim, Line::OtherClaim][..self.claims];
        if id.is_some() && !uncertain {
            let free = claims.iter().filter(|line| !waits(**line));
            may.extend(free.map(|line| Action::SendClaim(*line)));
        }
        if waits(Line::Other) {
            return may;
        }
        may.extend(self.settles(state));
        let claiming = claims.iter().any(|line| waits(*line));
        let must_wait = claiming && self.without != Without::WaitingForClaims;
        if id.is_some() && *uncertain && !must_wait && self.without != Without::LookingForStrays {
            may.push(Action::SendStrays);
        }
        let quiet = !state.is_busy() && *ended == [0; TASKS];
        if id.is_none() && state.next_id < self.ids && (quiet || self.without == Without::GivingUp)
        {
            may.push(Action::SendRegister);
        }
        may
    }

    fn settles(&self, state: &State) -> Vec<Action> {
        let ended = (0..).zip(state.first.ended).filter(|(_, ended)| *ended != 0);
        ended.map(|(task, _)| Action::SendSettle(task)).collect()
    }

    fn possible(&self, state: &State) -> Vec<Action> {
        let first = &state.first;
        let mut may = Vec::new();
        // Within a tick a host that must stop its agents has done so, and so has its keeper.
        let stops = self.without != if first.up { Without::GivingUp } else { Without::Keeper };
        let must_stop = state.is_busy() && of_tick(first.age) == Standing::Lost && stops;
        if !must_stop {
            may.push(Action::Tick);
        }
        for line in LINES {
            let Some(call) = first.calls[line as usize] else { continue };
            if call.answer.is_some() {
                may.push(Action::Hear(line));
                continue;
            }
            may.push(Action::CarryOut(line));
            // An answer that gets lost is one that comes after it was given up.
            if state.late.len() < MOST_LATE {
                may.push(Action::GiveUp(line));
            }
        }
        may.extend(state.late.iter().map(|late| Action::CarryOutLate(*late)));
        for (task, running) in (0..).zip(first.running) {
            for attempt in (1..=self.attempts).filter(|attempt| running & bit(*attempt) != 0) {
                let ends = |completes| Action::AgentEnds { task, attempt, completes };
                may.extend([true, false].map(ends));
            }
        }
        if first.up {
            may.extend(self.decisions(state));
            may.push(Action::Crash);
        } else {
            if state.is_busy() && of_tick(first.age) == Standing::Lost {
                may.push(Action::KeeperEndsAgents);
            }
            if state.next_id < self.ids {
                may.extend([true, false].map(|adopts| Action::Restart { adopts }));
            }
        }
        if state.row.is_some_and(|(_, left)| left == 0) {
            may.push(Action::TakeOver);
        }
        for (at, task) in (0..).zip(&state.tasks) {
            match (task.state, task.holder) {
                (TaskState::Pending, _) if task.attempt < self.attempts => {
                    may.push(Action::SecondClaims(at));
                }
                (_, Holder::Second) => may.push(Action::SecondEnds(at)),
                _ => {}
            }
        }
        may
    }

    fn send(state: &mut State, line: Line, statement: Statement) {
        *state.first.call(line) = Some(Call { statement, age: 0, answer: None });
    }

    fn decide(&self, state: &mut State, action: &Action) {
        let id = state.first.id;
        let first = &mut state.first;
        match (action, id) {
            (Action::SendRenewal, Some(id)) => {
                Self::send(state, Line::Renewal, Statement::Renew(id))
            }
            (Action::SendClaim(line), Some(id)) => Self::send(state, *line, Statement::Claim(id)),
            (Action::SendStrays, Some(id)) => {
                let known = state.known();
                Self::send(state, Line::Other, Statement::Strays(id, known));
            }
            (Action::SendRegister, _) => {
                let id = state.next_id;
                state.next_id += 1;
                Self::send(state, Line::Other, Statement::Register(id, [0; TASKS]));
            }
            (Action::SendSettle(task), _) => {
                let attempt = first.ended[index(*task)].trailing_zeros();
                let attempt = u8::try_from(attempt).expect("few attempts");
                // Under its id, or the last one that it had.
                let id = id.unwrap_or(state.next_id - 1);
                let completes = state.first.given_back[index(*task)] & bit(attempt) == 0;
                Self::send(state, Line::Other, Statement::Settle(id, *task, attempt, completes));
            }
            (Action::LoseLease, _) => state.lose_lease(self.without),
            _ => unreachable!("{action:?}"),
        }
    }

    fn give_up(state: &mut State, line: Line) {
        let first = &mut state.first;
        let call = first.call(line).take().expect("a call");
        state.late.push(call.statement);
        state.late.sort_unstable();
        if matches!(call.statement, Statement::Claim(id) if first.id == Some(id)) {
            first.uncertain = true;
        }
    }

    fn crash(state: &mut State) {
        let First { age, running, calls, .. } = state.first.clone();
        for call in calls.into_iter().flatten().filter(|call| call.answer.is_none()) {
            if state.late.len() < MOST_LATE {
                state.late.push(call.statement);
                state.late.sort_unstable();
            }
        }
        state.first = First { age, running, ..First::default() };
    }

    fn restart(&self, state: &mut State, adopts: bool) {
        let wanted = if adopts { state.first.running } else { [0; TASKS] };
        let id = state.next_id;
        state.next_id += 1;
        let ends = self.without != Without::EndingTheDoomed;
        let running = if ends { wanted } else { state.first.running };
        state.first = First { up: true, age: state.first.age, running, ..First::default() };
        Self::send(state, Line::Other, Statement::Register(id, wanted));
    }
}

impl Model for Hosts {
    type State = State;
    type Action = Action;

    fn start(&self) -> State {
        let task =
            Task { state: TaskState::Pending, attempt: 0, holder: Holder::Nobody, ended_by: 0 };
        let first = First { up: true, id: Some(0), ..First::default() };
        State { tasks: [task; TASKS], row: Some((0, LEASE)), first, next_id: 1, late: Vec::new() }
    }

    fn steps(&self, state: &State) -> Vec<(Action, State)> {
        let mut steps = Vec::new();
        for action in self.possible(state) {
            let mut next = state.clone();
            match &action {
                Action::Tick => {
                    let First { age, calls, .. } = &mut next.first;
                    *age = (*age + 1).min(LEASE);
                    for call in calls.iter_mut().flatten() {
                        // The others' age decides nothing.
                        if matches!(call.statement, Statement::Renew(_) | Statement::Register(..)) {
                            call.age = (call.age + 1).min(LEASE);
                        }
                    }
                    if let Some((_, left)) = &mut next.row {
                        *left = left.saturating_sub(1);
                    }
                }
                Action::CarryOut(line) => {
                    let mut call = next.first.call(*line).take().expect("a call");
                    call.answer = Some(next.carry_out(*self, call.statement));
                    *next.first.call(*line) = Some(call);
                }
                Action::Hear(line) => {
                    let call = next.first.call(*line).take().expect("a call");
                    next.hear(self.without, call);
                }
                Action::GiveUp(line) => Self::give_up(&mut next, *line),
                Action::CarryOutLate(late) => {
                    let at = next.late.iter().position(|one| one == late).expect("late");
                    next.late.remove(at);
                    next.carry_out(*self, *late);
                }
                Action::AgentEnds { task, attempt, completes } => {
                    let first = &mut next.first;
                    first.running[index(*task)] &= !bit(*attempt);
                    if first.up {
                        first.ended[index(*task)] |= bit(*attempt);
                        first.given_back[index(*task)] |= u8::from(!completes) << attempt;
                    }
                }
                Action::Crash => Self::crash(&mut next),
                Action::KeeperEndsAgents => next.first.running = [0; TASKS],
                Action::Restart { adopts } => self.restart(&mut next, *adopts),
                Action::TakeOver => {
                    next.row = None;
                    next.put_back_of(|holder| matches!(holder, Holder::First(_)));
                }
                Action::SecondClaims(at) => {
                    next.tasks[index(*at)].step(TaskEvent::Claimed, Holder::Second);
                }
                Action::SecondEnds(at) => {
                    let task = &mut next.tasks[index(*at)];
                    task.ended_by = task.attempt;
                    task.step(TaskEvent::Completed, Holder::Nobody);
                }
                decision => self.decide(&mut next, decision),
            }
            steps.push((action, next));
        }
        steps
    }

    fn wrong(&self, state: &State) -> Option<&'static str> {
        for (at, task) in state.tasks.iter().enumerate() {
            if state.at_once(at) > 1 {
                return Some(TWICE);
            }
            if task.state == TaskState::Completed && task.ended_by != task.attempt {
                return Some(LATE);
            }
        }
        None
    }

    fn is_fault(&self, state: &State, action: &Action) -> bool {
        let First { up, id, age, .. } = &state.first;
        match action {
            // A host that is well renews its lease in time.
            Action::Tick => *up && id.is_some() && of_tick(age + 1) == Standing::Lost,
            Action::GiveUp(_) | Action::CarryOutLate(_) => true,
            Action::Crash | Action::KeeperEndsAgents => true,
            _ => false,
        }
    }

    fn is_goal(&self, state: &State) -> bool {
        let far = state.next_id >= self.ids
            || state.tasks.iter().any(|task| task.attempt >= self.attempts);
        far || state.tasks.iter().all(|task| task.state == TaskState::Completed)
    }
}

const TWICE: &str = "two attempts of one task run at once";
const LATE: &str = "the outcome of an attempt counted that was no longer the newest";

/// Everything within these bounds: one attempt after the other, one claim at a time.
const LONG: Hosts = Hosts { without: Without::Nothing, attempts: 2, ids: 3, claims: 1 };

fn nothing_is_wrong(hosts: Hosts) {
    let states = explore(&hosts).unwrap_or_else(|story| panic!("{story:#?}"));
    println!("{hosts:?}: {states} states");
    assert!(states > 100_000, "{states}");
}

#[test]
fn no_interleaving_of_two_hosts_breaks_a_rule() {
    nothing_is_wrong(LONG);
}

#[test]
#[ignore = "takes a minute; run by `make test-chaos`"]
fn chaos_no_interleaving_with_two_claims_under_way_breaks_a_rule() {
    nothing_is_wrong(Hosts { ids: 2, claims: 2, ..LONG });
}

#[test]
fn each_rule_is_needed() {
    let rows = [
        (Without::AttemptNumber, TWICE),
        (Without::Fencing, LATE),
        (Without::GivingUp, TWICE),
        (Without::Keeper, TWICE),
        (Without::LeaseOfClaim, STUCK),
        (Without::DroppingLateClaims, TWICE),
        (Without::CountingFromSending, TWICE),
        (Without::WaitingForClaims, TWICE),
        (Without::Severing, TWICE),
        (Without::LookingForStrays, STUCK),
        (Without::EndingTheDoomed, TWICE),
    ];
    for (without, wrong) in rows {
        // The smallest bounds within which the rule matters.
        let long = matches!(without, Without::AttemptNumber | Without::Severing);
        let attempts = if long { 3 } else { 2 };
        let claims = if without == Without::WaitingForClaims { 2 } else { 1 };
        let ids = if without == Without::LeaseOfClaim { 3 } else { 2 };
        let story = explore(&Hosts { without, attempts, ids, claims });
        let story = story.expect_err(&format!("{without:?}"));
        println!("{without:?}: {}: {:?}", story.wrong, story.actions);
        assert_eq!(story.wrong, wrong, "{without:?}: {story:#?}");
    }
}
