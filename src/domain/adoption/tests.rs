//! Every reason by name, and what holds whatever was left.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    time::Duration,
};

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::domain::{
    fleet::{Limits, OutputFormat, StdinMode, StopSignal},
    health, heartbeat, restart, storm,
};

pub(in crate::domain) fn fleet(name: &str, protocol: Protocol) -> Fleet {
    Fleet {
        name: name.parse().unwrap(),
        protocol,
        command: vec!["run".to_owned()],
        count: 2,
        concurrency: None,
        prefetch: 1,
        queues: Vec::new(),
        cwd: PathBuf::from("/"),
        env: BTreeMap::new(),
        env_pass: Vec::new(),
        submit_to: Vec::new(),
        shell: crate::domain::webhook::ShellRule::Off,
        secrets: BTreeMap::new(),
        user: None,
        limits: Limits::default(),
        stdin: StdinMode::Task,
        output: OutputFormat::Text,
        max_output: 1,
        max_written: None,
        task_timeout: None,
        start_timeout: Duration::ZERO,
        stop_signal: StopSignal::Sigterm,
        workspace: None,
        depends_on: Vec::new(),
        strategy: crate::domain::order::Strategy::OneForOne,
        max_unavailable: crate::domain::rollout::Share::Percent(25),
        scale: None,
        stop_grace: Duration::ZERO,
        start_concurrency: None,
        linger: None,
        storm: storm::Intensity::default(),
        restart: restart::Policy {
            when: restart::When::Always,
            backoff_min: Duration::ZERO,
            backoff_max: Duration::ZERO,
            max_restarts: 1,
            window: Duration::ZERO,
            stable_after: Duration::ZERO,
        },
        heartbeat: heartbeat::Limits {
            every: Duration::from_secs(1),
            stale_after: Some(Duration::from_secs(9)),
            ..heartbeat::Limits::default()
        },
        readiness: health::Readiness::default(),
    }
}

fn fleets() -> Vec<Fleet> {
    vec![fleet("e", Protocol::Exec), fleet("w", Protocol::Worker), fleet("s", Protocol::Service)]
}

fn hold(number: u128) -> Hold {
    Hold { task: TaskId::from_uuid(Uuid::from_u128(number)), attempt: Attempt(1) }
}

/// The first process of slot `number` of a fleet, as that fleet starts it.
fn left(fleet: &str, number: u16, hold: Option<Hold>) -> Left {
    let fleets = fleets();
    let fleet = fleets.iter().find(|one| one.name.as_str() == fleet).unwrap();
    let note = Note {
        agent: AgentName::of(&fleet.name, number),
        fleet: fleet.name.clone(),
        generation: Generation(1),
        fingerprint: fingerprint(fleet),
        hold,
    };
    Left { note: Ok(note), is_over: false, has_pipes: true, standing: None }
}

fn worker(open: Option<Hold>) -> Left {
    let open = open.map(|hold| Open { hold, request: 7 }).into_iter().collect();
    let standing = Standing {
        generation: Generation(1),
        idle_heartbeat: false,
        open,
        pid: None,
        promise: Promise::default(),
        tools: Vec::new(),
    };
    Left { standing: Some(standing), ..left("w", 1, None) }
}

fn with_note(left: Left, change: impl FnOnce(&mut Note)) -> Left {
    let mut note = left.note.unwrap();
    change(&mut note);
    Left { note: Ok(note), ..left }
}

fn of_one(fleets: &[Fleet], left: Left) -> Wish {
    sort(fleets, &[left]).pop().unwrap()
}

#[test]
fn every_process_goes_on_as_what_it_was() {
    let over = |left: Left| Left { is_over: true, ..left };
    let rows = [
        (left("e", 1, Some(hold(1))), Wish::Work(vec![hold(1)])),
        (over(left("e", 1, Some(hold(1)))), Wish::Outcome(hold(1))),
        (worker(None), Wish::Rest),
        (worker(Some(hold(2))), Wish::Work(vec![hold(2)])),
        (over(worker(Some(hold(2)))), Wish::Work(vec![hold(2)])),
        (left("s", 2, None), Wish::Rest),
        (over(left("s", 2, None)), Wish::Rest),
    ];
    for (left, wish) in rows {
        assert_eq!(of_one(&fleets(), left.clone()), wish, "{left:?}");
    }
}

#[test]
fn whatever_can_not_be_told_for_sure_is_killed() {
    let unreadable = Left { note: Err("no JSON".to_owned()), ..left("s", 1, None) };
    let stranger = with_note(left("s", 1, None), |note| note.fleet = "other".parse().unwrap());
    let changed = with_note(worker(None), |note| note.fingerprint.push('0'));
    let older = with_note(worker(None), |note| note.generation = Generation(2));
    let rows = [
        (unreadable, "its note can't be read"),
        (stranger, "its fleet is not in the config"),
        (left("s", 3, None), "its fleet has fewer agents now"),
        (changed, "its fleet runs another command now"),
        (left("e", 1, None), "it has no attempt"),
        (Left { has_pipes: false, ..worker(None) }, "its pipes are lost"),
        (left("w", 1, None), "it had not said hello"),
        (older, "it had not said hello"),
    ];
    for (left, why) in rows {
        assert_eq!(of_one(&fleets(), left.clone()), Wish::Nothing(why), "{left:?}");
    }
}

#[test]
fn a_task_whose_answer_may_be_lost_goes_on_only_within_a_limit() {
    let mut fleets = fleets();
    fleets[1].heartbeat.stale_after = None;
    let nothing = Wish::Nothing("its task has no limit that would tell a lost answer");
    assert_eq!(of_one(&fleets, worker(Some(hold(1)))), nothing);
    assert_eq!(of_one(&fleets, worker(None)), Wish::Rest, "it waits for nothing");
    fleets[1].task_timeout = Some(Duration::from_secs(1));
    assert_eq!(of_one(&fleets, worker(Some(hold(1)))), Wish::Work(vec![hold(1)]));
}

#[test]
fn of_two_processes_of_one_agent_the_newer_goes_on() {
    let newer = with_note(left("s", 1, None), |note| note.generation = Generation(2));
    let wishes = sort(&fleets(), &[newer, left("s", 1, None), left("s", 2, None)]);
    let older = Wish::Nothing("its agent has a newer process");
    assert_eq!(wishes, [Wish::Rest, older, Wish::Rest]);
    // The outcome of an ended attempt is settled beside the next attempt.
    let over = Left { is_over: true, ..left("e", 1, Some(hold(1))) };
    let next = with_note(left("e", 1, Some(hold(2))), |note| note.generation = Generation(2));
    assert_eq!(sort(&fleets(), &[over, next]), [Wish::Outcome(hold(1)), Wish::Work(vec![hold(2)])]);
}

#[test]
fn an_attempt_that_is_another_hosts_is_let_go() {
    let lost = Verdict::Kill("its attempt is no longer this host's");
    let rows = [
        (Wish::Rest, Verdict::Keep(vec![]), Verdict::Keep(vec![])),
        (Wish::Work(vec![hold(1)]), Verdict::Keep(vec![hold(1)]), lost.clone()),
        (Wish::Outcome(hold(1)), Verdict::Settle(hold(1)), lost),
        (Wish::Nothing("why"), Verdict::Kill("why"), Verdict::Kill("why")),
    ];
    for (wish, ours, not_ours) in rows {
        assert_eq!((wish.clone().settle(true), wish.clone().settle(false)), (ours, not_ours));
    }
}

#[test]
fn a_fingerprint_tells_what_a_process_is_made_of_and_no_more() {
    let base = fleet("f", Protocol::Worker);
    let of = |change: fn(&mut Fleet)| {
        let mut fleet = base.clone();
        change(&mut fleet);
        fingerprint(&fleet) != fingerprint(&base)
    };
    assert_eq!(fingerprint(&base).len(), 16);
    assert!(of(|fleet| fleet.command.push("x".to_owned())));
    assert!(of(|fleet| fleet.env = BTreeMap::from([("A".to_owned(), "1".to_owned())])));
    assert!(of(|fleet| fleet.env_pass.push("A".to_owned())));
    assert!(of(|fleet| fleet.cwd = PathBuf::from("/tmp")));
    assert!(of(|fleet| fleet.user = Some("nobody".to_owned())));
    assert!(of(|fleet| fleet.limits.memory = Some(1)));
    assert!(of(|fleet| fleet.limits.cpu = Some(Duration::from_secs(1))));
    assert!(of(|fleet| fleet.protocol = Protocol::Service));
    assert!(!of(|fleet| fleet.count = 9));
    assert!(!of(|fleet| fleet.task_timeout = Some(Duration::from_secs(1))));
    assert!(!of(|fleet| fleet.queues.push("q".parse().unwrap())));
}

#[test]
fn a_note_is_read_as_it_was_written() {
    let note = left("e", 1, Some(hold(3))).note.unwrap();
    assert_eq!(Note::parse(&note.write()), Ok(note));
    assert!(Note::parse("{}").is_err());
}

fn any_left() -> impl Strategy<Value = Left> {
    let fleet = prop_oneof![Just("e"), Just("w"), Just("s")];
    let open = prop::option::of(prop::collection::vec(0_u128..4, 0..3));
    (fleet, 1_u16..4, 1_u64..4, prop::option::of(0_u128..4), any::<[bool; 3]>(), open).prop_map(
        |(fleet, number, generation, held, [is_over, has_pipes, same], open)| {
            let left = with_note(left(fleet, number, held.map(hold)), |note| {
                note.generation = Generation(generation);
                if !same {
                    note.fingerprint.clear();
                }
            });
            let standing = open.map(|open| Standing {
                generation: Generation(generation),
                idle_heartbeat: false,
                open: open.into_iter().map(|one| Open { hold: hold(one), request: 1 }).collect(),
                pid: None,
                promise: Promise::default(),
                tools: Vec::new(),
            });
            Left { is_over, has_pipes, standing, ..left }
        },
    )
}

proptest! {
    /// No agent gets two processes, none gets one that is not as its fleet would start it, and what
    /// only an ended process can tell is asked of no other.
    #[test]
    fn no_agent_goes_on_twice(all in prop::collection::vec(any_left(), 0..12)) {
        let fleets = fleets();
        let mut agents = BTreeSet::new();
        for (left, wish) in all.iter().zip(sort(&fleets, &all)) {
            let note = left.note.as_ref().unwrap();
            match wish {
                Wish::Rest | Wish::Work(_) => {
                    let fleet = fleets.iter().find(|fleet| fleet.name == note.fleet).unwrap();
                    prop_assert_eq!(&note.fingerprint, &fingerprint(fleet));
                    prop_assert!(agents.insert(note.agent.clone()), "{} twice", note.agent);
                }
                Wish::Outcome(hold) => {
                    prop_assert!(left.is_over && note.hold == Some(hold));
                }
                Wish::Nothing(_) => {}
            }
        }
    }
}
