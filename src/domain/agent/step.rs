//! The table of steps, and what goes with each.

use std::time::Duration;

use super::{
    Agent, AgentEvent, AgentState, Effect, End, Fault, Hold, IllegalStep, Kind, Leaving, Rules,
    Rung, Then,
};
use crate::domain::{Millis, restart::Decision, task::FailureClass};

/// Decides what `event` does to `agent` at `now`.
///
/// Returns the agent as it is then and, in order, what the shell must do. The shell stores the
/// agent **before** it performs the effects.
///
/// # Errors
///
/// [`IllegalStep`] where the pair is not in the table; the agent is as it was.
pub fn step(
    rules: &Rules,
    agent: &Agent,
    event: AgentEvent,
    now: Millis,
) -> Result<(Agent, Vec<Effect>), IllegalStep> {
    use AgentEvent as E;
    use AgentState as S;
    use Effect as F;

    let illegal = IllegalStep { state: agent.state, event };
    let mut next = agent.clone();
    let effects = match (agent.state, event) {
        (S::Stopped | S::Backoff | S::Quarantined | S::Paused, E::Start) => {
            if agent.state != S::Backoff {
                next.history.clear();
            }
            release(&mut next);
            next.draining = false;
            begin(rules, &mut next, now)
        }
        (S::Backoff, E::BackoffElapsed) => begin(rules, &mut next, now),
        (S::Backoff | S::Quarantined | S::Paused, E::Stop { .. } | E::Drain) => {
            rest(&mut next, S::Stopped)
        }
        (S::Stopped | S::Backoff | S::Quarantined, E::Pause) => rest(&mut next, S::Paused),
        (S::Quarantined, E::Release) => {
            next.history.clear();
            release(&mut next);
            begin(rules, &mut next, now)
        }
        (S::Backoff | S::Quarantined, E::Restart) => {
            next.history.clear();
            release(&mut next);
            begin(rules, &mut next, now)
        }

        (S::Stopped, E::Adopted { busy: true }) => {
            next.started = now;
            next.state = S::Busy;
            vec![]
        }
        (S::Stopped, E::Adopted { busy: false }) if rules.kind == Kind::Resident => {
            next.started = now;
            next.state = S::Idle;
            vec![F::Offer]
        }
        (S::Starting, E::Ready) => {
            next.state = S::Idle;
            vec![F::Offer]
        }
        (S::Idle, E::Assigned) => {
            next.state = S::Busy;
            if rules.kind == Kind::PerTask {
                next.started = now;
            }
            vec![F::Run]
        }
        // More for one that takes several at a time.
        (S::Busy, E::Assigned)
            if rules.kind == Kind::Resident && !agent.draining && !agent.parting =>
        {
            vec![F::Run]
        }
        (S::Busy, E::Done) if agent.draining && rules.kind == Kind::Resident => {
            // Its attempt has ended.
            leave(rules, &mut next, idle_rung(rules), Then::Stop, None)
        }
        (S::Busy, E::Done) if agent.draining => rest(&mut next, S::Stopped),
        (S::Busy, E::Done) if agent.parting && rules.kind == Kind::Resident => part(&mut next),
        (S::Busy, E::Done) if rules.kind == Kind::PerTask => {
            next.history.clear();
            begin(rules, &mut next, agent.started)
        }
        (S::Busy, E::Done) => {
            next.state = S::Idle;
            vec![F::Offer]
        }

        (S::Backoff, E::Hold(Hold::Quarantine)) => {
            next.held = Some(Hold::Quarantine);
            held(&mut next, Hold::Quarantine)
        }
        (S::Paused, E::Pause) if agent.waits => rest(&mut next, S::Paused),
        (S::Paused, E::Hold(hold)) if agent.waits => {
            next.held = Some(hold);
            held(&mut next, hold)
        }
        (S::Idle, E::Hold(hold)) if rules.kind == Kind::PerTask => {
            next.held = Some(hold);
            let mut effects = vec![F::Withdraw];
            effects.extend(held(&mut next, hold));
            effects
        }
        (_, E::Hold(hold)) => {
            next.held = Some(hold);
            vec![]
        }
        (S::Paused, E::Unhold) if agent.waits => {
            next.held = None;
            begin(rules, &mut next, now)
        }
        (_, E::Unhold) => {
            next.held = None;
            vec![]
        }

        // The answer came while the process was already being sent away: it counts.
        (S::Stale | S::Stopping, E::Done) => {
            let Some(leaving) = &mut next.leaving else { return Err(illegal) };
            if leaving.end.take().is_none() {
                return Err(illegal);
            }
            vec![]
        }

        (S::Starting | S::Busy, E::SpawnFailed) => {
            let mut effects = end_now(agent, End::Failed(FailureClass::Spawn));
            effects.extend(recover(rules, &mut next, true, now));
            effects
        }
        (S::Starting | S::Idle | S::Busy, E::Exited { clean }) => {
            let mut effects = end_now(agent, End::Failed(FailureClass::Exit));
            effects.extend(withdrawn(agent));
            // A worker that ends in the middle of a task failed, whatever its status says.
            effects.extend(recover(rules, &mut next, !clean || agent.state == S::Busy, now));
            effects
        }
        (S::Starting | S::Idle | S::Busy, E::Lost) => {
            let mut effects = end_now(agent, End::Released);
            effects.extend(withdrawn(agent));
            effects.extend(begin_or_rest(rules, &mut next, now));
            effects
        }
        (S::Starting | S::Idle, E::Faulty(_)) => {
            leave(rules, &mut next, Rung::Signal, Then::Recover, None)
        }
        (S::Busy, E::Faulty(fault)) => {
            let end = match fault {
                Fault::Timeout | Fault::Linger => End::Failed(FailureClass::Timeout),
                Fault::Cancel => End::Cancelled,
                Fault::Protocol | Fault::Startup => End::Failed(FailureClass::Protocol),
                Fault::Unready => End::Failed(FailureClass::Stale),
            };
            leave(rules, &mut next, Rung::Signal, after_fault(rules, fault), Some(end))
        }
        (S::Idle | S::Busy, E::Silent) => {
            let then = if rules.kind == Kind::PerTask { Then::Again } else { Then::Recover };
            let end = at_work(agent, End::Failed(FailureClass::Stale));
            let effects = leave(rules, &mut next, Rung::Signal, then, end);
            if next.state == S::Stopping {
                next.state = S::Stale;
            }
            effects
        }

        (S::Starting | S::Idle, E::Parting) if rules.kind == Kind::Resident => {
            let mut effects: Vec<Effect> = withdrawn(agent).into_iter().collect();
            effects.extend(part(&mut next));
            effects
        }
        (S::Busy, E::Parting) => {
            next.parting = true;
            vec![]
        }

        (S::Starting | S::Idle | S::Busy, E::Stop { hard }) => {
            let end = at_work(agent, End::Released);
            leave(rules, &mut next, first_rung(rules, agent, hard), Then::Stop, end)
        }
        (S::Starting | S::Idle | S::Busy, E::Pause) => {
            let end = at_work(agent, End::Released);
            leave(rules, &mut next, first_rung(rules, agent, false), Then::Pause, end)
        }
        (S::Starting | S::Idle | S::Busy, E::Restart) => {
            let end = at_work(agent, End::Released);
            leave(rules, &mut next, first_rung(rules, agent, false), Then::Again, end)
        }
        (S::Starting | S::Idle, E::Drain) => {
            leave(rules, &mut next, first_rung(rules, agent, false), Then::Stop, None)
        }
        (S::Busy, E::Drain) => {
            next.draining = true;
            vec![]
        }

        (S::Stale | S::Stopping, E::GraceElapsed) => {
            let Some(leaving) = &mut next.leaving else { return Err(illegal) };
            let Some(higher) = above(leaving.rung) else { return Err(illegal) };
            leaving.rung = higher;
            next.state = S::Stopping;
            vec![F::Climb(higher)]
        }
        (S::Stale | S::Stopping, E::Exited { .. } | E::Lost) => {
            let Some(leaving) = next.leaving.take() else { return Err(illegal) };
            let mut effects: Vec<Effect> = leaving.end.map(F::End).into_iter().collect();
            effects.extend(match leaving.then {
                Then::Stop => rest(&mut next, S::Stopped),
                Then::Pause => rest(&mut next, S::Paused),
                Then::Again => begin(rules, &mut next, now),
                Then::Recover => recover(rules, &mut next, true, now),
                Then::Part => recover(rules, &mut next, event != (E::Exited { clean: true }), now),
            });
            effects
        }
        // An operator's later word replaces what was to follow.
        (S::Stale | S::Stopping, E::Stop { hard }) => {
            then_instead(&mut next, Then::Stop);
            match &mut next.leaving {
                Some(leaving) if hard && leaving.rung < Rung::Kill => {
                    leaving.rung = Rung::Kill;
                    next.state = S::Stopping;
                    vec![F::Climb(Rung::Kill)]
                }
                _ => vec![],
            }
        }
        (S::Stale | S::Stopping, E::Drain) => then_instead(&mut next, Then::Stop),
        (S::Stale | S::Stopping, E::Pause) => then_instead(&mut next, Then::Pause),
        (S::Stale | S::Stopping, E::Start | E::Restart) => {
            next.draining = false;
            then_instead(&mut next, Then::Again)
        }
        _ => return Err(illegal),
    };
    Ok((next, effects))
}

/// Begins a life: a resident process is started; a per-task agent is ready as it is.
fn begin(rules: &Rules, next: &mut Agent, now: Millis) -> Vec<Effect> {
    next.started = now;
    next.parting = false;
    next.draining = false;
    next.waits = false;
    if let Some(hold) = next.held {
        return held(next, hold);
    }
    match rules.kind {
        Kind::Resident => {
            next.state = AgentState::Starting;
            vec![Effect::Spawn]
        }
        Kind::PerTask => {
            next.state = AgentState::Idle;
            vec![Effect::Offer]
        }
    }
}

/// Comes to where an agent is that is held.
fn held(next: &mut Agent, hold: Hold) -> Vec<Effect> {
    (next.state, next.waits) = match hold {
        Hold::Wait => (AgentState::Paused, true),
        Hold::Quarantine => (AgentState::Quarantined, false),
    };
    vec![Effect::Held]
}

/// An operator's word goes before a quarantine of the fleet, though not before what all must wait for.
fn release(next: &mut Agent) {
    if next.held == Some(Hold::Quarantine) {
        next.held = None;
    }
}

/// Begins a life anew, unless the agent is on its way to rest.
fn begin_or_rest(rules: &Rules, next: &mut Agent, now: Millis) -> Vec<Effect> {
    if next.draining { rest(next, AgentState::Stopped) } else { begin(rules, next, now) }
}

/// Comes to rest with no process.
fn rest(next: &mut Agent, state: AgentState) -> Vec<Effect> {
    next.state = state;
    next.draining = false;
    next.parting = false;
    next.waits = false;
    next.leaving = None;
    vec![]
}

/// Makes the process leave; an idle per-task agent has none and is there at once.
/// `end` is what becomes of an attempt under way.
fn leave(rules: &Rules, next: &mut Agent, rung: Rung, then: Then, end: Option<End>) -> Vec<Effect> {
    let mut effects: Vec<Effect> = withdrawn(next).into_iter().collect();
    if rules.kind == Kind::PerTask && next.state == AgentState::Idle {
        effects.extend(match then {
            Then::Pause => rest(next, AgentState::Paused),
            Then::Again => begin(rules, next, next.started),
            Then::Stop | Then::Recover | Then::Part => rest(next, AgentState::Stopped),
        });
        return effects;
    }
    next.state = AgentState::Stopping;
    next.leaving = Some(Leaving { rung, then, end });
    effects.push(Effect::Climb(rung));
    effects
}

/// Its process leaves by itself: its end is waited for, and it is made to leave only if it takes too long.
fn part(next: &mut Agent) -> Vec<Effect> {
    next.state = AgentState::Stopping;
    next.leaving = Some(Leaving { rung: Rung::Ask, then: Then::Part, end: None });
    vec![Effect::AwaitEnd]
}

/// How an attempt ends, if one is under way.
fn at_work(agent: &Agent, end: End) -> Option<End> {
    (agent.state == AgentState::Busy).then_some(end)
}

/// How an attempt under way ends whose process is already gone.
fn end_now(agent: &Agent, end: End) -> Vec<Effect> {
    at_work(agent, end).map(Effect::End).into_iter().collect()
}

/// A task that took too long or was called off is no fault of a process made for it alone, nor is
/// being called off one of a process that stays.
fn after_fault(rules: &Rules, fault: Fault) -> Then {
    match (rules.kind, fault) {
        (Kind::PerTask, _) | (_, Fault::Cancel) => Then::Again,
        (Kind::Resident, _) => Then::Recover,
    }
}

/// The queue must forget an idle agent that leaves.
fn withdrawn(agent: &Agent) -> Option<Effect> {
    (agent.state == AgentState::Idle).then_some(Effect::Withdraw)
}

/// Only an idle process is asked in its own words: one at work may not be listening.
fn first_rung(rules: &Rules, agent: &Agent, hard: bool) -> Rung {
    match (hard, agent.state) {
        (true, _) => Rung::Kill,
        (false, AgentState::Idle) => idle_rung(rules),
        (false, _) => Rung::Signal,
    }
}

/// How one that has nothing to do is made to leave: in words, if its protocol has any.
const fn idle_rung(rules: &Rules) -> Rung {
    if rules.asks { Rung::Ask } else { Rung::Signal }
}

/// The rung after this one.
const fn above(rung: Rung) -> Option<Rung> {
    match rung {
        Rung::Ask => Some(Rung::Signal),
        Rung::Signal => Some(Rung::Kill),
        Rung::Kill => None,
    }
}

/// Replaces what follows.
fn then_instead(next: &mut Agent, then: Then) -> Vec<Effect> {
    if let Some(leaving) = &mut next.leaving {
        leaving.then = then;
    }
    vec![]
}

/// What the restart policy makes of an end.
fn recover(rules: &Rules, next: &mut Agent, failed: bool, now: Millis) -> Vec<Effect> {
    next.leaving = None;
    next.parting = false;
    if next.draining {
        return rest(next, AgentState::Stopped);
    }
    next.failures += u64::from(failed);
    let lived = Duration::from_millis(now.saturating_sub(next.started));
    match next.history.ended(&rules.restart, failed, lived, now) {
        Decision::Again => begin(rules, next, now),
        Decision::After(_) if next.held == Some(Hold::Quarantine) => held(next, Hold::Quarantine),
        Decision::After(delay) => {
            next.state = AgentState::Backoff;
            vec![Effect::ArmBackoff(delay)]
        }
        Decision::Leave => rest(next, AgentState::Stopped),
        Decision::Quarantine { failures } => {
            next.state = AgentState::Quarantined;
            vec![Effect::GiveUp { failures }]
        }
    }
}
