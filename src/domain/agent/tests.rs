//! Every step of an agent's life as a table, and what must hold for any sequence of events.

use proptest::prelude::*;

use super::{AgentEvent as E, AgentState as S, Effect as F, *};
use crate::domain::restart::When;

const SECOND: Duration = Duration::from_secs(1);

fn rules(kind: Kind) -> Rules {
    Rules {
        kind,
        asks: true,
        restart: restart::Policy {
            when: When::Always,
            backoff_min: SECOND,
            backoff_max: SECOND * 30,
            max_restarts: 2,
            window: SECOND * 60,
            stable_after: SECOND * 10,
        },
    }
}

fn leaving(rung: Rung, then: Then, end: Option<End>) -> Option<Leaving> {
    Some(Leaving { rung, then, end })
}

/// An agent in `state` as it would be met there: one that leaves was at work and asked to stop.
fn agent(state: S) -> Agent {
    let out = matches!(state, S::Stale | S::Stopping);
    Agent {
        state,
        leaving: if out { leaving(Rung::Signal, Then::Recover, Some(End::Released)) } else { None },
        ..Agent::default()
    }
}

const EVENTS: [E; 29] = [
    E::Adopted { busy: false },
    E::Adopted { busy: true },
    E::Start,
    E::Ready,
    E::Assigned,
    E::Done,
    E::Exited { clean: true },
    E::Exited { clean: false },
    E::SpawnFailed,
    E::Faulty(Fault::Protocol),
    E::Faulty(Fault::Timeout),
    E::Faulty(Fault::Cancel),
    E::Faulty(Fault::Startup),
    E::Faulty(Fault::Unready),
    E::Silent,
    E::Parting,
    E::Hold(Hold::Wait),
    E::Hold(Hold::Quarantine),
    E::Unhold,
    E::Release,
    E::Faulty(Fault::Linger),
    E::Stop { hard: false },
    E::Stop { hard: true },
    E::Pause,
    E::Restart,
    E::Drain,
    E::GraceElapsed,
    E::BackoffElapsed,
    E::Lost,
];

/// Every legal step of a resident agent: from, event, to, effects.
#[rustfmt::skip]
fn resident() -> Vec<(S, E, S, Vec<F>)> {
    let failed = |class| F::End(End::Failed(class));
    let (soft, hard) = (E::Stop { hard: false }, E::Stop { hard: true });
    let (ask, signal, kill) = (F::Climb(Rung::Ask), F::Climb(Rung::Signal), F::Climb(Rung::Kill));
    let (clean, broken) = (E::Exited { clean: true }, E::Exited { clean: false });
    let backoff = F::ArmBackoff(SECOND);
    vec![
        (S::Stopped,     E::Start,                    S::Starting,    vec![F::Spawn]),
        (S::Stopped,     E::Adopted { busy: false },  S::Idle,        vec![F::Offer]),
        (S::Stopped,     E::Adopted { busy: true },   S::Busy,        vec![]),
        (S::Stopped,     E::Pause,                    S::Paused,      vec![]),

        (S::Starting,    E::Ready,                    S::Idle,        vec![F::Offer]),
        (S::Starting,    clean,                       S::Backoff,     vec![backoff]),
        (S::Starting,    broken,                      S::Backoff,     vec![backoff]),
        (S::Starting,    E::SpawnFailed,              S::Backoff,     vec![backoff]),
        (S::Starting,    E::Lost,                     S::Starting,    vec![F::Spawn]),
        (S::Starting,    E::Faulty(Fault::Protocol),  S::Stopping,    vec![signal]),
        (S::Starting,    E::Faulty(Fault::Timeout),   S::Stopping,    vec![signal]),
        (S::Starting,    E::Faulty(Fault::Cancel),    S::Stopping,    vec![signal]),
        (S::Starting,    E::Faulty(Fault::Startup),   S::Stopping,    vec![signal]),
        (S::Starting,    E::Faulty(Fault::Unready),   S::Stopping,    vec![signal]),
        (S::Starting,    E::Faulty(Fault::Linger),    S::Stopping,    vec![signal]),
        (S::Starting,    E::Parting,                  S::Stopping,    vec![F::AwaitEnd]),
        (S::Starting,    soft,                        S::Stopping,    vec![signal]),
        (S::Starting,    hard,                        S::Stopping,    vec![kill]),
        (S::Starting,    E::Pause,                    S::Stopping,    vec![signal]),
        (S::Starting,    E::Restart,                  S::Stopping,    vec![signal]),
        (S::Starting,    E::Drain,                    S::Stopping,    vec![signal]),

        (S::Idle,        E::Assigned,                 S::Busy,        vec![F::Run]),
        (S::Idle,        clean,                       S::Backoff,     vec![F::Withdraw, backoff]),
        (S::Idle,        broken,                      S::Backoff,     vec![F::Withdraw, backoff]),
        (S::Idle,        E::Lost,                     S::Starting,    vec![F::Withdraw, F::Spawn]),
        (S::Idle,        E::Faulty(Fault::Protocol),  S::Stopping,    vec![F::Withdraw, signal]),
        (S::Idle,        E::Faulty(Fault::Timeout),   S::Stopping,    vec![F::Withdraw, signal]),
        (S::Idle,        E::Faulty(Fault::Cancel),    S::Stopping,    vec![F::Withdraw, signal]),
        (S::Idle,        E::Faulty(Fault::Startup),   S::Stopping,    vec![F::Withdraw, signal]),
        (S::Idle,        E::Faulty(Fault::Unready),   S::Stopping,    vec![F::Withdraw, signal]),
        (S::Idle,        E::Silent,                   S::Stale,       vec![F::Withdraw, signal]),
        (S::Idle,        E::Faulty(Fault::Linger),    S::Stopping,    vec![F::Withdraw, signal]),
        (S::Idle,        E::Parting,                  S::Stopping,    vec![F::Withdraw, F::AwaitEnd]),
        (S::Idle,        soft,                        S::Stopping,    vec![F::Withdraw, ask]),
        (S::Idle,        hard,                        S::Stopping,    vec![F::Withdraw, kill]),
        (S::Idle,        E::Pause,                    S::Stopping,    vec![F::Withdraw, ask]),
        (S::Idle,        E::Restart,                  S::Stopping,    vec![F::Withdraw, ask]),
        (S::Idle,        E::Drain,                    S::Stopping,    vec![F::Withdraw, ask]),

        (S::Busy,        E::Assigned,                 S::Busy,        vec![F::Run]),
        (S::Busy,        E::Done,                     S::Idle,        vec![F::Offer]),
        (S::Busy,        clean,                       S::Backoff,     vec![failed(FailureClass::Exit), backoff]),
        (S::Busy,        broken,                      S::Backoff,     vec![failed(FailureClass::Exit), backoff]),
        (S::Busy,        E::SpawnFailed,              S::Backoff,     vec![failed(FailureClass::Spawn), backoff]),
        (S::Busy,        E::Lost,                     S::Starting,    vec![F::End(End::Released), F::Spawn]),
        (S::Busy,        E::Faulty(Fault::Protocol),  S::Stopping,    vec![signal]),
        (S::Busy,        E::Faulty(Fault::Timeout),   S::Stopping,    vec![signal]),
        (S::Busy,        E::Faulty(Fault::Cancel),    S::Stopping,    vec![signal]),
        (S::Busy,        E::Faulty(Fault::Startup),   S::Stopping,    vec![signal]),
        (S::Busy,        E::Faulty(Fault::Unready),   S::Stopping,    vec![signal]),
        (S::Busy,        E::Silent,                   S::Stale,       vec![signal]),
        (S::Busy,        E::Faulty(Fault::Linger),    S::Stopping,    vec![signal]),
        (S::Busy,        E::Parting,                  S::Busy,        vec![]),
        (S::Busy,        soft,                        S::Stopping,    vec![signal]),
        (S::Busy,        hard,                        S::Stopping,    vec![kill]),
        (S::Busy,        E::Pause,                    S::Stopping,    vec![signal]),
        (S::Busy,        E::Restart,                  S::Stopping,    vec![signal]),
        (S::Busy,        E::Drain,                    S::Busy,        vec![]),

        (S::Stale,       E::Done,                     S::Stale,       vec![]),
        (S::Stale,       clean,                       S::Backoff,     vec![F::End(End::Released), backoff]),
        (S::Stale,       broken,                      S::Backoff,     vec![F::End(End::Released), backoff]),
        (S::Stale,       E::Lost,                     S::Backoff,     vec![F::End(End::Released), backoff]),
        (S::Stale,       E::GraceElapsed,             S::Stopping,    vec![kill]),
        (S::Stale,       soft,                        S::Stale,       vec![]),
        (S::Stale,       hard,                        S::Stopping,    vec![kill]),
        (S::Stale,       E::Pause,                    S::Stale,       vec![]),
        (S::Stale,       E::Restart,                  S::Stale,       vec![]),
        (S::Stale,       E::Start,                    S::Stale,       vec![]),
        (S::Stale,       E::Drain,                    S::Stale,       vec![]),

        (S::Stopping,    E::Done,                     S::Stopping,    vec![]),
        (S::Stopping,    clean,                       S::Backoff,     vec![F::End(End::Released), backoff]),
        (S::Stopping,    broken,                      S::Backoff,     vec![F::End(End::Released), backoff]),
        (S::Stopping,    E::Lost,                     S::Backoff,     vec![F::End(End::Released), backoff]),
        (S::Stopping,    E::GraceElapsed,             S::Stopping,    vec![kill]),
        (S::Stopping,    soft,                        S::Stopping,    vec![]),
        (S::Stopping,    hard,                        S::Stopping,    vec![kill]),
        (S::Stopping,    E::Pause,                    S::Stopping,    vec![]),
        (S::Stopping,    E::Restart,                  S::Stopping,    vec![]),
        (S::Stopping,    E::Start,                    S::Stopping,    vec![]),
        (S::Stopping,    E::Drain,                    S::Stopping,    vec![]),

        (S::Backoff,     E::Start,                    S::Starting,    vec![F::Spawn]),
        (S::Backoff,     E::BackoffElapsed,           S::Starting,    vec![F::Spawn]),
        (S::Backoff,     E::Restart,                  S::Starting,    vec![F::Spawn]),
        (S::Backoff,     soft,                        S::Stopped,     vec![]),
        (S::Backoff,     hard,                        S::Stopped,     vec![]),
        (S::Backoff,     E::Drain,                    S::Stopped,     vec![]),
        (S::Backoff,     E::Pause,                    S::Paused,      vec![]),

        (S::Quarantined, E::Start,                    S::Starting,    vec![F::Spawn]),
        (S::Quarantined, E::Release,                  S::Starting,    vec![F::Spawn]),
        (S::Quarantined, E::Restart,                  S::Starting,    vec![F::Spawn]),
        (S::Quarantined, soft,                        S::Stopped,     vec![]),
        (S::Quarantined, hard,                        S::Stopped,     vec![]),
        (S::Quarantined, E::Drain,                    S::Stopped,     vec![]),
        (S::Quarantined, E::Pause,                    S::Paused,      vec![]),

        (S::Paused,      E::Start,                    S::Starting,    vec![F::Spawn]),
        (S::Paused,      soft,                        S::Stopped,     vec![]),
        (S::Paused,      hard,                        S::Stopped,     vec![]),
        (S::Paused,      E::Drain,                    S::Stopped,     vec![]),
    ]
}

#[test]
fn every_pair_does_what_the_table_says_and_no_other_is_legal() {
    let table = resident();
    let rules = rules(Kind::Resident);
    for state in S::ALL {
        for event in EVENTS {
            let listed = table.iter().find(|row| row.0 == state && row.1 == event).cloned();
            // Whatever a resident agent does, a hold does not change it, until it needs a process.
            let given_up = (state, event) == (S::Backoff, E::Hold(Hold::Quarantine));
            let listed = match event {
                E::Hold(_) if given_up => Some((state, event, S::Quarantined, vec![F::Held])),
                E::Hold(_) | E::Unhold => Some((state, event, state, vec![])),
                _ => listed,
            };
            let got = step(&rules, &agent(state), event, 0).map(|(next, does)| (next.state, does));
            let expected =
                listed.map_or(Err(IllegalStep { state, event }), |row| Ok((row.2, row.3)));
            assert_eq!(got, expected, "{state:?} + {event:?}");
        }
    }
}

/// Where an agent that has one process per task differs.
#[test]
fn a_per_task_agent_has_a_process_only_while_it_is_busy() {
    let rules = rules(Kind::PerTask);
    let rows = [
        (S::Stopped, E::Start, S::Idle, vec![F::Offer]),
        (S::Stopped, E::Adopted { busy: true }, S::Busy, vec![]),
        (S::Idle, E::Assigned, S::Busy, vec![F::Run]),
        (S::Idle, E::Stop { hard: false }, S::Stopped, vec![F::Withdraw]),
        (S::Idle, E::Stop { hard: true }, S::Stopped, vec![F::Withdraw]),
        (S::Idle, E::Drain, S::Stopped, vec![F::Withdraw]),
        (S::Idle, E::Pause, S::Paused, vec![F::Withdraw]),
        (S::Idle, E::Restart, S::Idle, vec![F::Withdraw, F::Offer]),
        (S::Backoff, E::BackoffElapsed, S::Idle, vec![F::Offer]),
        (S::Idle, E::Hold(Hold::Wait), S::Paused, vec![F::Withdraw, F::Held]),
        (S::Idle, E::Hold(Hold::Quarantine), S::Quarantined, vec![F::Withdraw, F::Held]),
        (S::Busy, E::Done, S::Idle, vec![F::Offer]),
    ];
    for (from, event, to, effects) in rows {
        let got = step(&rules, &agent(from), event, 0).map(|(next, does)| (next.state, does));
        assert_eq!(got, Ok((to, effects)), "{from:?} + {event:?}");
    }
    let idle = E::Adopted { busy: false };
    assert!(step(&rules, &agent(S::Stopped), idle, 0).is_err(), "it has no process then");
}

/// Follows `events` from `from`, and returns the agent and the last effects.
fn follow(rules: &Rules, from: Agent, events: &[(E, Millis)]) -> (Agent, Vec<F>) {
    events.iter().fold((from, vec![]), |(agent, _), (event, now)| {
        step(rules, &agent, *event, *now).expect("the story is legal")
    })
}

#[test]
fn an_attempt_ends_only_when_its_process_is_gone() {
    for (cause, end) in [
        (E::Silent, End::Failed(FailureClass::Stale)),
        (E::Faulty(Fault::Timeout), End::Failed(FailureClass::Timeout)),
        (E::Faulty(Fault::Protocol), End::Failed(FailureClass::Protocol)),
        (E::Faulty(Fault::Cancel), End::Cancelled),
        (E::Faulty(Fault::Unready), End::Failed(FailureClass::Stale)),
        (E::Stop { hard: false }, End::Released),
        (E::Restart, End::Released),
    ] {
        let rules = rules(Kind::Resident);
        let (asked, first) = follow(&rules, agent(S::Busy), &[(cause, 0)]);
        assert_eq!(first, [F::Climb(Rung::Signal)], "{cause:?}");
        let (killed, _) = follow(&rules, asked, &[(E::GraceElapsed, 1)]);
        let (_, last) = follow(&rules, killed, &[(E::Exited { clean: false }, 2)]);
        assert_eq!(last[0], F::End(end), "{cause:?}");
    }
}

#[test]
fn an_answer_that_comes_while_leaving_counts_once() {
    let rules = rules(Kind::Resident);
    let (answered, _) = follow(&rules, agent(S::Stopping), &[(E::Done, 0)]);
    assert!(step(&rules, &answered, E::Done, 0).is_err(), "a second answer is nobody's");
    let (_, effects) = follow(&rules, answered, &[(E::Exited { clean: true }, 0)]);
    assert_eq!(effects, [F::ArmBackoff(SECOND)], "nothing is put back");
}

#[test]
fn a_draining_agent_finishes_its_task_and_stops() {
    for (kind, last) in [(Kind::Resident, vec![F::Climb(Rung::Ask)]), (Kind::PerTask, vec![])] {
        let rules = rules(kind);
        let (agent, effects) = follow(&rules, agent(S::Busy), &[(E::Drain, 0), (E::Done, 1)]);
        assert_eq!(effects, last, "{kind:?}");
        if kind == Kind::Resident {
            let (gone, effects) = follow(&rules, agent, &[(E::Exited { clean: true }, 2)]);
            assert_eq!((gone.state, effects), (S::Stopped, vec![]), "nothing is put back");
        } else {
            assert_eq!(agent.state, S::Stopped);
        }
    }
}

#[test]
fn one_that_can_not_be_asked_in_words_is_signalled_once() {
    let rules = Rules { asks: false, ..rules(Kind::Resident) };
    for event in [E::Stop { hard: false }, E::Pause, E::Restart, E::Drain] {
        let (asked, effects) = follow(&rules, agent(S::Idle), &[(event, 0)]);
        assert_eq!(effects, [F::Withdraw, F::Climb(Rung::Signal)], "{event:?}");
        let (_, effects) = follow(&rules, asked, &[(E::GraceElapsed, 1)]);
        assert_eq!(effects, [F::Climb(Rung::Kill)], "{event:?}");
    }
    // One that leaves by itself was not signalled yet.
    let events = [(E::Parting, 0), (E::GraceElapsed, 1)];
    let (_, effects) = follow(&rules, agent(S::Idle), &events);
    assert_eq!(effects, [F::Climb(Rung::Signal)]);
}

#[test]
fn its_work_is_done_for_good_when_its_process_ended_by_itself_and_none_follows() {
    let policy =
        restart::Policy { when: restart::When::OnFailure, ..rules(Kind::Resident).restart };
    let rules = Rules { restart: policy, ..rules(Kind::Resident) };
    let clean = E::Exited { clean: true };
    let rows: [(&[E], E, bool); 6] = [
        (&[], clean, true),
        (&[E::Parting], clean, true),
        (&[], E::Exited { clean: false }, false),
        (&[E::Parting], E::Exited { clean: false }, false),
        (&[E::Stop { hard: false }], clean, false),
        (&[E::Parting, E::Stop { hard: false }], clean, false),
    ];
    for (before, last, expected) in rows {
        let events: Vec<_> = before.iter().map(|event| (*event, 0)).collect();
        let (leaving, _) = follow(&rules, agent(S::Idle), &events);
        let (gone, _) = follow(&rules, leaving.clone(), &[(last, 1)]);
        assert_eq!(gone.has_completed(&leaving, last), expected, "{before:?} {last:?}");
    }
}

#[test]
fn who_is_held_waits_where_it_would_have_been_started_and_goes_on_by_itself() {
    let hold = (E::Hold(Hold::Wait), 0);
    for (kind, on) in [(Kind::Resident, F::Spawn), (Kind::PerTask, F::Offer)] {
        let rules = rules(kind);
        let (waits, effects) = follow(&rules, agent(S::Stopped), &[hold, (E::Start, 1)]);
        assert_eq!((waits.state, effects), (S::Paused, vec![F::Held]), "{kind:?}");
        let (again, effects) = follow(&rules, waits.clone(), &[(E::Start, 2)]);
        assert_eq!((again.state, effects), (S::Paused, vec![F::Held]), "an operator waits, too");
        assert_eq!(follow(&rules, waits.clone(), &[(E::Unhold, 3)]).1, [on], "{kind:?}");
        let stopped = [(E::Stop { hard: false }, 2), (E::Unhold, 3)];
        assert_eq!(follow(&rules, waits, &stopped).0.state, S::Stopped);
    }
    let resident = rules(Kind::Resident);
    let crash = [hold, (E::Exited { clean: false }, 1), (E::BackoffElapsed, 2)];
    let (waits, _) = follow(&resident, agent(S::Busy), &crash);
    assert_eq!(waits.state, S::Paused);
    let per_task = rules(Kind::PerTask);
    let (waits, effects) = follow(&per_task, agent(S::Busy), &[hold, (E::Done, 1)]);
    assert_eq!((waits.state, effects), (S::Paused, vec![F::Held]));
    // What an operator paused stays so.
    let (paused, _) = follow(&resident, agent(S::Stopped), &[(E::Pause, 0), hold, (E::Unhold, 1)]);
    assert_eq!(paused.state, S::Paused);
}

#[test]
fn a_fleet_in_quarantine_keeps_what_runs_and_gives_up_what_fails() {
    let rules = rules(Kind::Resident);
    let hold = (E::Hold(Hold::Quarantine), 0);
    let (idle, effects) = follow(&rules, agent(S::Idle), &[hold]);
    assert_eq!((idle.state, effects), (S::Idle, vec![]));
    let (failed, effects) = follow(&rules, idle, &[(E::Exited { clean: false }, 1)]);
    assert_eq!((failed.state, effects), (S::Quarantined, vec![F::Withdraw, F::Held]));
    assert_eq!(follow(&rules, failed.clone(), &[(E::Unhold, 2)]).0.state, S::Quarantined);
    for word in [E::Release, E::Start, E::Restart] {
        let (released, effects) = follow(&rules, failed.clone(), &[(word, 3)]);
        assert_eq!((released.held, effects), (None, vec![F::Spawn]), "{word:?}");
    }
    let (waits, _) = follow(&rules, agent(S::Stopped), &[(E::Hold(Hold::Wait), 0), (E::Start, 1)]);
    assert_eq!(follow(&rules, waits, &[hold]).0.state, S::Quarantined);
}

#[test]
fn one_that_leaves_by_itself_finishes_its_task_and_is_followed_by_policy() {
    let rules = rules(Kind::Resident);
    let (busy, _) = follow(&rules, agent(S::Busy), &[(E::Parting, 0)]);
    assert!(step(&rules, &busy, E::Assigned, 1).is_err(), "it takes no more");
    let (done, effects) = follow(&rules, busy, &[(E::Done, 1)]);
    assert_eq!((done.state, effects), (S::Stopping, vec![F::AwaitEnd]));
    let clean = [(E::Exited { clean: true }, 20_000)];
    assert_eq!(follow(&rules, done.clone(), &clean).1, [F::Spawn], "a clean end is no failure");
    let broken = [(E::Exited { clean: false }, 20_000)];
    assert_eq!(follow(&rules, done.clone(), &broken).1, [F::ArmBackoff(SECOND)]);
    let (late, effects) = follow(&rules, done, &[(E::GraceElapsed, 2)]);
    assert_eq!((late.state, effects), (S::Stopping, vec![F::Climb(Rung::Signal)]));
}

#[test]
fn a_crash_loop_ends_in_quarantine_and_a_start_releases_it() {
    let rules = rules(Kind::Resident);
    let crash = |at| [(E::Exited { clean: false }, at), (E::BackoffElapsed, at + 10)];
    let (agent, _) = follow(&rules, agent(S::Starting), &crash(0));
    let (agent, _) = follow(&rules, agent, &crash(100));
    let (agent, effects) = follow(&rules, agent, &[(E::Exited { clean: false }, 200)]);
    assert_eq!((agent.state, effects), (S::Quarantined, vec![F::GiveUp { failures: 3 }]));
    let (agent, effects) = follow(&rules, agent, &[(E::Start, 300)]);
    assert_eq!((agent.state, effects), (S::Starting, vec![F::Spawn]));
    assert_eq!(agent.history, History::default());
}

#[test]
fn an_operators_stop_outlasts_the_recovery_of_a_stale_agent() {
    let rules = rules(Kind::Resident);
    let story = [(E::Silent, 0), (E::Stop { hard: false }, 1), (E::Exited { clean: false }, 2)];
    let (agent, effects) = follow(&rules, agent(S::Busy), &story);
    assert_eq!(agent.state, S::Stopped);
    assert_eq!(effects, [F::End(End::Failed(FailureClass::Stale))]);
}

proptest! {
    /// The books balance over any story: at most one process, every attempt ends exactly once,
    /// and the queue is told of idleness exactly as it changes.
    #[test]
    fn any_story_keeps_the_books(
        per_task in any::<bool>(),
        events in prop::collection::vec((0..EVENTS.len(), 0u64..5_000), 0..200),
    ) {
        let rules = rules(if per_task { Kind::PerTask } else { Kind::Resident });
        let (mut now, mut agent) = (0, Agent::default());
        let (mut offered, mut open) = (false, false);
        for (event, gap) in events {
            now += gap;
            let event = EVENTS[event];
            let Ok((next, effects)) = step(&rules, &agent, event, now) else { continue };
            if event == E::Assigned {
                // While at work, for one that takes several at a time.
                prop_assert!(offered != open);
                (offered, open) = (false, true);
            }
            if event == (E::Adopted { busy: true }) {
                prop_assert!(!offered && !open);
                open = true;
            }
            if event == E::Done {
                prop_assert!(open);
                open = false;
            }
            for effect in effects {
                match effect {
                    F::Offer => { prop_assert!(!offered); offered = true; }
                    F::Withdraw => { prop_assert!(offered); offered = false; }
                    F::End(_) => { prop_assert!(open); open = false; }
                    _ => {}
                }
            }
            prop_assert_eq!(offered, next.state == S::Idle);
            let out = matches!(next.state, S::Stale | S::Stopping);
            prop_assert_eq!(out, next.leaving.is_some());
            let unfinished = next.leaving.is_some_and(|leaving| leaving.end.is_some());
            prop_assert_eq!(open, next.state == S::Busy || unfinished);
            agent = next;
        }
    }
}
