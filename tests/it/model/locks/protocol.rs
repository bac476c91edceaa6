//! The steps of a claim, and everything else that can happen.

use hostler::domain::task::{TaskEvent, TaskState};

use super::{
    Locks, Without,
    look::{A, B, Names, Set, TASKS, bit, collide, of, precedes},
    state::{Action, Claim, Host, Mood, REMEMBER, State, Task, Wait},
};

impl Locks {
    /// The agents of a host that have nothing to do.
    fn free(&self, host: &Host) -> u8 {
        let answered = match host.claim {
            Claim::Answered(attempts) => attempts,
            _ => [0; TASKS],
        };
        let at_work = host.busy.iter().chain(&answered).filter(|attempt| **attempt != 0).count();
        self.story.agents.saturating_sub(u8::try_from(at_work).expect("few tasks"))
    }

    /// Whether a choice that takes `take` gives away what is kept for somebody before.
    fn is_unfair(&self, state: &State, pending: Set, take: Set) -> bool {
        let (kinds, needs) = (self.story.kinds, self.needs(state.replaced()));
        let waits_too_long = |at: &usize| state.tasks[*at].passed.is_some_and(Wait::is_kept);
        of(pending & !take).filter(waits_too_long).any(|waiter| {
            of(take)
                .any(|taken| precedes(kinds, waiter, taken) && collide(needs[waiter], needs[taken]))
        })
    }

    /// The tasks that need nothing, and wait.
    fn plain(&self, state: &State) -> Set {
        let needs = self.needs(state.replaced());
        of(state.pending()).filter(|at| needs[*at] == 0).fold(0, |set, at| set | bit(at))
    }

    fn begin(&self, state: &mut State, host: usize, take: Set, passed: Set, replaced: Set) {
        let same = !(state.replaced() ^ replaced);
        let take = if self.without == Without::SameNeeds { take } else { take & same };
        if !self.hand_out(state, host, take & state.pending()) {
            return;
        }
        let needs = self.needs(state.replaced());
        for at in of(passed & state.pending()) {
            self.pass_over(&mut state.tasks[at]);
            if self.without == Without::AllOrNone {
                let held = |name: Names| state.tasks.iter().any(|it| collide(it.holds, name));
                let names = (0..8).map(|nth| needs[at] & 1 << nth).filter(|name| !held(*name));
                state.tasks[at].holds = names.sum();
            }
        }
    }

    /// Begins these, with what triggers and the index do; or nothing, and returns false.
    fn hand_out(&self, state: &mut State, host: usize, take: Set) -> bool {
        let needs = self.needs(state.replaced());
        let alone = |names: Names| names & (A | B);
        let refused = |at: usize| {
            (0..TASKS).any(|other| alone(state.tasks[other].holds) & alone(needs[at]) != 0)
        };
        let index = self.without != Without::TurnsAndIndex;
        let lost = state.hosts[host].is_lost && self.without != Without::Lease;
        state.hosts[host].claim = Claim::None;
        if lost || index && of(take).any(refused) {
            // Nobody gives to a host that has no lease; and what the index refuses is undone.
            return false;
        }
        let mut attempts = [0; TASKS];
        for at in of(take) {
            state.step(at, TaskEvent::Claimed);
            let task = &mut state.tasks[at];
            let (attempt, holds) = (task.attempt + 1, needs[at]);
            let holder = Some(host);
            *task = Task { attempt, holder, holds, wait: None, passed: None, ..*task };
            attempts[at] = attempt;
        }
        if take != 0 {
            state.hosts[host].claim = Claim::Answered(attempts);
        }
        true
    }

    fn pass_over(&self, task: &mut Task) {
        let again = |wait: Wait| Wait { left: REMEMBER, ..wait };
        task.passed = Some(task.passed.map_or(Wait::NEW, again));
        task.wait = Some(match task.wait {
            Some(wait) if self.without == Without::Renewing => wait,
            Some(_) if self.without == Without::SinceTheFirstTime => Wait::NEW,
            wait => wait.map_or(Wait::NEW, again),
        });
    }

    /// What a host does, if it is well.
    fn does(&self, state: &State, nth: usize, may: &mut Vec<Action>) {
        let host = &state.hosts[nth];
        match host.claim {
            Claim::None if state.pending() != 0 && self.free(host) > 0 => {
                may.push(Action::Claim(nth));
                if self.plain(state) != 0 {
                    may.push(Action::ClaimPlain(nth));
                }
            }
            Claim::Begun => may.push(Action::ReadTasks(nth)),
            Claim::Read(..) => may.push(Action::Choose(nth)),
            Claim::Chosen(..) => may.push(Action::Begin(nth)),
            Claim::Answered(_) => may.push(Action::Hear(nth)),
            Claim::Plain(_) => may.push(Action::BeginPlain(nth)),
            Claim::None | Claim::Waits | Claim::Hasty(..) => {}
        }
        if host.end.is_none() {
            let busy = (0..TASKS).filter(|at| host.busy[*at] != 0);
            may.extend(busy.map(|at| Action::End(nth, at)));
        }
    }

    /// What becomes of a host that is not well.
    fn becomes(&self, state: &State, nth: usize, may: &mut Vec<Action>) {
        let host = &state.hosts[nth];
        let is_open = !matches!(host.claim, Claim::None | Claim::Answered(_));
        if is_open && (host.mood == Mood::Dead || self.without != Without::Silence) {
            may.push(Action::ServerEnds(nth));
        }
        match (host.mood, host.claim) {
            (Mood::Frozen, _) => may.push(Action::Thaw(nth)),
            // It may thaw just to say what it was about to say.
            (Mood::Late, Claim::Chosen(..)) => may.push(Action::Begin(nth)),
            _ => {}
        }
        let busy = host.busy != [0; TASKS];
        if host.mood == Mood::Frozen || host.mood == Mood::Dead && busy {
            may.push(Action::KeeperEnds(nth));
        }
        let gone = host.mood == Mood::Late || host.mood == Mood::Dead && !busy;
        let others = state.hosts[..self.story.hosts].iter().any(|host| host.mood == Mood::Well);
        if !host.is_lost && others && (gone || self.without == Without::Keeper) {
            may.push(Action::TakeOver(nth));
        }
    }

    pub(super) fn possible(&self, state: &State) -> Vec<Action> {
        let mut may = Vec::new();
        if self.story.ticks && state.tasks.iter().any(|task| task.wait.is_some()) {
            may.push(Action::Tick);
        }
        for (at, kind) in self.story.kinds.iter().enumerate() {
            let task = &state.tasks[at];
            if task.state.is_none() {
                may.push(Action::Come(at));
            }
            let untouched = task.state == Some(TaskState::Pending) && task.attempt == 0;
            if untouched && !task.replaced && kind.then != kind.needs {
                may.push(Action::Replace(at));
            }
        }
        for nth in 0..self.story.hosts {
            let host = &state.hosts[nth];
            if host.mood == Mood::Well {
                self.does(state, nth, &mut may);
                if state.faults < self.story.faults {
                    may.extend([Action::Freeze(nth), Action::Crash(nth)]);
                }
            } else {
                self.becomes(state, nth, &mut may);
            }
            // What was sent is carried out, whatever becomes of its sender.
            let taken = (0..self.story.hosts).any(|other| state.has_turn(other));
            let turns = !matches!(self.without, Without::Turns | Without::TurnsAndIndex);
            let waits = matches!(host.claim, Claim::Waits | Claim::Hasty(..));
            if waits && !(taken && turns) {
                may.push(Action::Turn(nth));
            }
            if host.end.is_some() {
                may.push(Action::Settle(nth));
            }
        }
        may
    }

    fn settle(&self, state: &mut State, host: usize) {
        let Some((at, attempt)) = state.hosts[host].end.take() else { return };
        let task = &state.tasks[at];
        let counts = task.holder == Some(host) && task.attempt == attempt
            || self.without == Without::Fencing && task.state == Some(TaskState::Running);
        if counts {
            state.step(at, TaskEvent::Completed);
            state.tasks[at].holds = 0;
        }
    }

    fn take_over(&self, state: &mut State, host: usize) {
        state.hosts[host].is_lost = true;
        for at in 0..TASKS {
            if state.tasks[at].holder == Some(host) {
                state.step(at, TaskEvent::Released);
                if self.without != Without::Freeing {
                    state.tasks[at].holds = 0;
                }
            }
        }
    }
}

impl Locks {
    /// What a claim chooses that read what waits before.
    fn chooses(&self, state: &mut State, host: usize, pending: Set, replaced: Set) -> Claim {
        let look = self.look(state, pending, replaced);
        let (take, passed) = self.choose(look, self.free(&state.hosts[host]));
        state.unfair |= self.is_unfair(state, pending, take);
        Claim::Chosen(take, passed, replaced)
    }

    pub(super) fn carry_out(&self, state: &mut State, action: Action) {
        match action {
            Action::Tick => {
                for task in &mut state.tasks {
                    task.wait.iter_mut().chain(&mut task.passed).for_each(Wait::tick);
                }
            }
            Action::Come(at) => state.tasks[at].state = Some(TaskState::Pending),
            Action::Replace(at) => state.tasks[at].replaced = true,
            Action::Claim(nth) => state.hosts[nth].claim = self.asks(state, nth),
            Action::ClaimPlain(nth) => state.hosts[nth].claim = Claim::Plain(self.plain(state)),
            Action::BeginPlain(nth) => {
                if let Claim::Plain(seen) = state.hosts[nth].claim {
                    let any = self.without == Without::NoNeeds;
                    let take = if any { seen } else { seen & self.plain(state) };
                    let free = self.free(&state.hosts[nth]).into();
                    let take =
                        of(take & state.pending()).take(free).fold(0, |set, at| set | bit(at));
                    self.hand_out(state, nth, take);
                }
            }
            Action::Turn(nth) => {
                state.hosts[nth].claim = match state.hosts[nth].claim {
                    Claim::Hasty(take, passed, replaced) => Claim::Chosen(take, passed, replaced),
                    _ => Claim::Begun,
                };
            }
            Action::ReadTasks(nth) => {
                state.hosts[nth].claim = Claim::Read(state.pending(), state.replaced());
            }
            Action::Choose(nth) => {
                if let Claim::Read(pending, replaced) = state.hosts[nth].claim {
                    state.hosts[nth].claim = self.chooses(state, nth, pending, replaced);
                }
            }
            Action::Begin(nth) => {
                if let Claim::Chosen(take, passed, replaced) = state.hosts[nth].claim {
                    self.begin(state, nth, take, passed, replaced);
                }
            }
            Action::Hear(nth) => {
                let host = &mut state.hosts[nth];
                if let Claim::Answered(attempts) = std::mem::take(&mut host.claim) {
                    for (busy, attempt) in host.busy.iter_mut().zip(attempts) {
                        *busy = (*busy).max(attempt);
                    }
                }
            }
            Action::End(nth, at) => {
                let host = &mut state.hosts[nth];
                host.end = Some((at, std::mem::take(&mut host.busy[at])));
            }
            Action::Settle(nth) => self.settle(state, nth),
            Action::Freeze(nth) | Action::Crash(nth) => {
                state.faults += 1;
                let host = &mut state.hosts[nth];
                let dies = matches!(action, Action::Crash(_));
                host.mood = if dies { Mood::Dead } else { Mood::Frozen };
                if dies && matches!(host.claim, Claim::Answered(_)) {
                    host.claim = Claim::None;
                }
            }
            Action::Thaw(nth) => state.hosts[nth].mood = Mood::Well,
            Action::ServerEnds(nth) => state.hosts[nth].claim = Claim::None,
            Action::KeeperEnds(nth) => {
                let host = &mut state.hosts[nth];
                host.busy = [0; TASKS];
                if host.mood == Mood::Frozen {
                    host.mood = Mood::Late;
                }
            }
            Action::TakeOver(nth) => self.take_over(state, nth),
        }
    }

    fn asks(&self, state: &mut State, host: usize) -> Claim {
        if self.without != Without::Looking {
            return Claim::Waits;
        }
        match self.chooses(state, host, state.pending(), state.replaced()) {
            Claim::Chosen(take, passed, replaced) => Claim::Hasty(take, passed, replaced),
            other => other,
        }
    }
}
