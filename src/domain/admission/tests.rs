//! What is chosen, from both sides: rows for what a person would say, and properties that hold
//! whatever happens in whatever order.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use uuid::Uuid;

use super::*;
use crate::domain::{AgentName, FleetName, HostId, QueueName, TaskId};

mod properties;
mod world;

use world::{Job, PATIENCE, Step, World};

fn task(number: u128) -> TaskId {
    TaskId::from_uuid(Uuid::from_u128(number))
}

fn at(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap()
}

fn queue(name: &str) -> QueueName {
    name.parse().unwrap()
}

fn fleet() -> FleetName {
    "f".parse().unwrap()
}

fn label(text: &str) -> Label {
    text.parse().unwrap()
}

/// What a task needs, in short: `repo` and `~repo` (shared), `w:src/**` and `r:src/**`, `@alice`.
fn needs(text: &str) -> Needs {
    let rows = text.split_whitespace().map(|word| {
        let rest = |start: &str| word.strip_prefix(start);
        if let Some(name) = rest("~") {
            (NeedKind::Shared, name)
        } else if let Some(glob) = rest("w:") {
            (NeedKind::Write, glob)
        } else if let Some(glob) = rest("r:") {
            (NeedKind::Read, glob)
        } else if let Some(key) = rest("@") {
            (NeedKind::Key, key)
        } else {
            (NeedKind::Exclusive, word)
        }
    });
    Needs::from_rows(rows).unwrap()
}

fn limit(concurrency: u32) -> Limit {
    Limit { concurrency: Some(concurrency), rate: None }
}

/// Which of the tasks, numbered from 1, begin beside one that runs and holds `held_by`.
fn chosen(held_by: &str, tasks: &[&str], agents: usize) -> Vec<u128> {
    let running = held(100, held_by, 0);
    let situation = Situation { now: at(10), held: vec![running], ..Situation::default() };
    let candidates: Vec<_> = tasks.iter().zip(1..).map(|(text, n)| candidate(n, text)).collect();
    taken(&ask(&situation, &candidates, agents, &mut Turns::default()))
}

fn candidate(number: u128, text: &str) -> Candidate {
    Candidate { task: task(number), queue: queue("q"), priority: 0, needs: needs(text) }
}

fn ask(
    situation: &Situation,
    candidates: &[Candidate],
    agents: usize,
    turns: &mut Turns,
) -> Choice {
    ask_for(situation, candidates, &agents_of(agents), turns)
}

fn ask_for(
    situation: &Situation,
    candidates: &[Candidate],
    agents: &[AgentName],
    turns: &mut Turns,
) -> Choice {
    let queues: Vec<_> = candidates.iter().map(|candidate| candidate.queue.clone()).collect();
    let ask = Ask { host: host(), fleet: &fleet(), queues: &queues, agents, candidates };
    choose(situation, &ask, turns)
}

fn number(task: &TaskId) -> u128 {
    task.as_uuid().as_u128()
}

/// The tasks that begin.
fn taken(choice: &Choice) -> Vec<u128> {
    choice.take.iter().map(|(task, _)| number(task)).collect()
}

fn host() -> HostId {
    HostId::from_uuid(Uuid::from_u128(1))
}

/// So many agents of the fleet, the first of which is number 1.
fn agents_of(count: usize) -> Vec<AgentName> {
    (1..=count).map(|n| AgentName::of(&fleet(), u16::try_from(n).unwrap())).collect()
}

/// A task that runs and holds something; somebody has it who has nothing else.
fn held(number: u128, text: &str, since: i64) -> Held {
    let needs = needs(text);
    Held { task: task(number), queue: queue("q"), agent: None, needs, since: at(since) }
}

#[test]
fn locks_are_shared_or_held_alone_and_taken_all_or_none() {
    let rows: [(&str, &[&str], &[u128]); 12] = [
        ("", &["repo", "repo"], &[1]),
        ("", &["~repo", "~repo", "repo"], &[1, 2]),
        ("", &["repo", "~repo"], &[1]),
        ("repo", &["~repo", "other"], &[2]),
        ("~repo", &["~repo", "repo"], &[1]),
        // The first wants both and gets neither; the second gets what the first could not.
        ("a", &["a b", "b"], &[2]),
        ("w:src/http/**", &["w:src/http/auth.rs", "r:src/http/a*", "w:src/db/**"], &[3]),
        ("r:src/http/**", &["r:src/http/auth.rs", "w:src/**"], &[1]),
        ("", &["w:src/**", "w:src/main.rs", "r:docs/**", "w:docs/a.md"], &[1, 3]),
        // A path and a lock of the same name have nothing to do with each other.
        ("src", &["w:src"], &[1]),
        // Keys have no limit of their own.
        ("@alice", &["@alice", "@alice"], &[1, 2]),
        ("a b c", &["", ""], &[1, 2]),
    ];
    for (held, tasks, expected) in rows {
        assert_eq!(chosen(held, tasks, 9), expected, "{held:?} {tasks:?}");
    }
    assert_eq!(chosen("", &["a", "b", "c"], 2), [1, 2], "no more than there are agents");
}

#[test]
fn higher_priorities_come_first_and_then_older_tasks() {
    let mut candidates: Vec<_> = (1..=4).map(|n| candidate(n, "")).collect();
    candidates[3].priority = 1;
    candidates[0].priority = -1;
    candidates.reverse();
    let choice = ask(&Situation::default(), &candidates, 3, &mut Turns::default());
    assert_eq!(taken(&choice), [4, 2, 3]);
    assert!(!choice.blocked);
}

#[test]
fn the_closest_limit_of_a_key_counts() {
    let mut rules = Rules::default();
    for (pattern, most) in [("account:*", 1), ("account:al*", 2), ("account:alice", 3), ("*", 9)] {
        rules.keys.insert(pattern.parse().unwrap(), limit(most));
    }
    let rows = [("account:alice", 3), ("account:albert", 2), ("account:bob", 1), ("model:x", 9)];
    for (key, most) in rows {
        assert_eq!(rules.of_key(&label(key)), limit(most), "{key}");
    }
}

#[test]
fn limits_count_what_runs_everywhere() {
    let mut situation = Situation::default();
    let rules = &mut situation.rules;
    rules.all = limit(10);
    rules.fleets.insert(fleet(), limit(5));
    rules.queues.insert(queue("q"), QueueRules { limit: limit(4), ..QueueRules::default() });
    let running = |queue, agent: Option<u16>, tasks| {
        let agent = agent.map(|n| AgentAt { host: host(), agent: AgentName::of(&fleet(), n) });
        Running { queue, agent, tasks }
    };
    let two: Vec<_> = (1..=9).map(|n| candidate(n, "")).collect();
    let rows = [
        (vec![], 4),
        (vec![running(queue("q"), None, 3)], 1),
        ((101..104).map(|n| running(queue("other"), Some(n), 1)).collect(), 2),
        (vec![running(queue("other"), Some(101), 3)], 4),
        (vec![running(queue("other"), None, 9)], 1),
        (vec![running(queue("other"), None, 12)], 0),
    ];
    for (running, expected) in rows {
        situation.running = running;
        let choice = ask(&situation, &two, 9, &mut Turns::default());
        assert_eq!(choice.take.len(), expected, "{:?}", situation.running);
        assert!(choice.blocked && choice.passed.is_empty(), "they come in their order anyway");
    }
}

/// Of what an agent has in hand one runs, the others wait there: they take nothing of what may run.
#[test]
fn what_waits_behind_another_task_of_its_agent_does_not_run() {
    let [a, b, c] = [1, 2, 3].map(|n| AgentName::of(&fleet(), n));
    let mut situation = Situation::default();
    situation.rules.keys.insert("k".parse().unwrap(), limit(2));
    situation.rules.fleets.insert(fleet(), limit(2));
    let candidates: Vec<_> = (1..=9).map(|n| candidate(n, "@k")).collect();
    let rows = [
        (vec![&a, &b, &c], vec![&a, &b]),
        (vec![&a, &b, &c, &a, &b, &c, &a], vec![&a, &b, &a, &b, &a]),
        (vec![&c, &c, &a], vec![&c, &c, &a]),
    ];
    let give = |situation: &Situation, free: Vec<&AgentName>| {
        let free: Vec<_> = free.into_iter().cloned().collect();
        let choice = ask_for(situation, &candidates, &free, &mut Turns::default());
        choice.take.into_iter().map(|(_, agent)| agent).collect::<Vec<_>>()
    };
    for (free, expected) in rows {
        let got = give(&situation, free.clone());
        assert_eq!(got.iter().collect::<Vec<_>>(), expected, "{free:?}");
    }
    // One of the two is at work, elsewhere somebody of the same name is the other.
    let mine = AgentAt { host: host(), agent: a.clone() };
    let theirs = AgentAt { host: HostId::from_uuid(Uuid::from_u128(2)), agent: b.clone() };
    situation.held = vec![Held { agent: Some(mine), ..held(50, "@k", 0) }];
    assert_eq!(give(&situation, vec![&b, &c, &a]), [b.clone(), a.clone()]);
    situation.held.push(Held { agent: Some(theirs), ..held(51, "@k", 0) });
    assert_eq!(give(&situation, vec![&b, &c, &a, &a]), [a.clone(), a.clone()]);
    // Two locks are two locks, whoever has the tasks.
    let locked: Vec<_> = (1..=2).map(|n| candidate(n, "repo")).collect();
    let choice = ask_for(&situation, &locked, &[a.clone(), a], &mut Turns::default());
    assert_eq!(taken(&choice), [1]);
}

#[test]
fn a_rate_says_when_it_opens_again() {
    let mut situation = Situation { now: at(1_000), ..Situation::default() };
    let rate = Some(Rate { count: 2, per: Duration::from_millis(100) });
    let limit = Limit { concurrency: None, rate };
    situation.rules.keys.insert("*".parse().unwrap(), limit);
    let began = |ms, count| Start { scope: Scope::Key(label("a")), at: at(ms), count };
    let rows = [
        (vec![], 2, Some(1_100)),
        (vec![began(950, 1)], 1, Some(1_050)),
        (vec![began(950, 1), began(990, 1)], 0, Some(1_050)),
        (vec![began(950, 5)], 0, Some(1_050)),
        (vec![began(900, 7)], 2, Some(1_100)),
    ];
    for (starts, expected, opens) in rows {
        situation.starts = starts;
        let candidates: Vec<_> = (1..=3).map(|n| candidate(n, "@a")).collect();
        let choice = ask(&situation, &candidates, 9, &mut Turns::default());
        assert_eq!(choice.take.len(), expected, "{:?}", situation.starts);
        assert_eq!(choice.opens, opens.map(at), "{:?}", situation.starts);
    }
}

#[test]
fn what_is_paused_waits_until_it_ends() {
    let mut situation = Situation { now: at(1_000), ..Situation::default() };
    let pause = |until: Option<i64>| Pause { reason: None, until: until.map(at) };
    situation.rules.paused_keys.insert("account:*".parse().unwrap(), pause(Some(5_000)));
    let candidates = [candidate(1, "@account:alice"), candidate(2, "@other"), candidate(3, "")];
    let choice = ask(&situation, &candidates, 9, &mut Turns::default());
    assert_eq!((taken(&choice), choice.opens), (vec![2, 3], Some(at(5_000))));
    situation.rules.paused_keys.insert("account:alice".parse().unwrap(), pause(None));
    assert_eq!(ask(&situation, &candidates, 9, &mut Turns::default()).opens, None);
    situation.now = at(5_000);
    situation.rules.paused_keys.remove(&"account:alice".parse().unwrap());
    assert_eq!(ask(&situation, &candidates, 9, &mut Turns::default()).take.len(), 3);
}

#[test]
fn a_task_that_waits_says_for_what_and_for_whom() {
    let mut situation = Situation { now: at(10), ..Situation::default() };
    situation.held = vec![held(7, "repo", 5), held(8, "w:src/http/** @account:bob", 5)];
    situation.rules.keys.insert("account:*".parse().unwrap(), limit(1));
    let wanted = needs("~repo r:src/*/auth.rs @account:bob");
    let found = Usage::new(&situation).blockers(task(1), &queue("q"), 0, &wanted);
    let shown: Vec<_> = found.iter().map(|it| (it.kind, it.name.as_str(), it.holder)).collect();
    let expected = [
        (BlockKind::Concurrency, "account:bob", None),
        (BlockKind::Lock, "repo", Some(task(7))),
        (BlockKind::Path, "src/http/**", Some(task(8))),
    ];
    assert_eq!(shown, expected);
    assert_eq!(found[1].since, Some(at(5)));
    assert_eq!(Usage::new(&situation).blockers(task(1), &queue("q"), 0, &needs("x")), []);
}

/// A task that wants a lock alone, while others share it and more of them come all the time.
#[test]
fn what_was_passed_over_for_long_enough_is_next() {
    let waiter = |number, priority, text: &str| Waiter {
        task: task(number),
        queue: queue("q"),
        priority,
        needs: needs(text),
        since: at(0),
    };
    let held = held(50, "~repo", 0);
    let mut situation = Situation { now: at(10), held: vec![held], ..Situation::default() };
    let mut candidates: Vec<_> =
        [(1, "repo x"), (2, "~repo"), (3, "x"), (4, "~repo")].map(|(n, t)| candidate(n, t)).into();
    let choice = ask(&situation, &candidates, 9, &mut Turns::default());
    assert_eq!(
        (taken(&choice), choice.passed.iter().map(number).collect::<Vec<_>>()),
        (vec![2, 3, 4], vec![1])
    );
    situation.waiters = vec![waiter(1, 0, "repo x")];
    assert_eq!(ask(&situation, &candidates, 9, &mut Turns::default()).take, []);
    // What comes before it is not held up by it.
    candidates[3].priority = 1;
    let choice = ask(&situation, &candidates, 9, &mut Turns::default());
    assert_eq!(taken(&choice), [4]);
    // It begins as soon as what it needs is free.
    situation.held.clear();
    candidates[3].priority = 0;
    let choice = ask(&situation, &candidates, 9, &mut Turns::default());
    assert_eq!(taken(&choice), [1]);
    // Nothing is kept for one that could not begin anyway.
    let pause = Pause { reason: None, until: None };
    situation.waiters = vec![waiter(9, 5, "repo x @quota")];
    situation.rules.paused_keys.insert("quota".parse().unwrap(), pause);
    let choice = ask(&situation, &candidates, 9, &mut Turns::default());
    assert_eq!(taken(&choice), [1]);
}

#[test]
fn keys_of_a_fair_queue_take_turns() {
    let mut situation = Situation::default();
    let fair = QueueRules { fair: true, ..QueueRules::default() };
    situation.rules.queues.insert(queue("q"), fair);
    let mut waiting: Vec<_> = (1..=50).map(|n| candidate(n, "@alice")).collect();
    waiting.extend((51..=54).map(|n| candidate(n, "@bob")));
    waiting.push(candidate(60, ""));
    let mut turns = Turns::default();
    let mut order = Vec::new();
    for _ in 0..9 {
        // One agent: what was given out before must be remembered.
        let began = taken(&ask(&situation, &waiting, 1, &mut turns));
        waiting.retain(|candidate| !began.contains(&number(&candidate.task)));
        order.extend(began);
    }
    assert_eq!(order, [1, 51, 60, 2, 52, 3, 53, 4, 54]);
    waiting
        .iter_mut()
        .for_each(|candidate| candidate.priority = i16::from(candidate.task == task(9)));
    assert_eq!(taken(&ask(&situation, &waiting, 1, &mut turns)), [9], "priority is first");
}

#[test]
fn queues_take_turns_by_their_weights_and_nobody_saves_up() {
    let mut situation = Situation::default();
    let heavy = QueueRules { weight: 3, ..QueueRules::default() };
    situation.rules.queues.insert(queue("heavy"), heavy);
    let of = |name: &str, n| Candidate { queue: queue(name), ..candidate(n, "") };
    let mut turns = Turns::default();
    let mut share = |candidates: &[Candidate], agents: usize| {
        let queues = [queue("heavy"), queue("q")];
        let agents = &agents_of(agents);
        let asked = Ask { host: host(), fleet: &fleet(), queues: &queues, agents, candidates };
        let began = taken(&choose(&situation, &asked, &mut turns));
        began.iter().filter(|number| **number >= 1_000).count()
    };
    let both: Vec<_> =
        (1..=100).map(|n| of("q", n)).chain((1_000..1_100).map(|n| of("heavy", n))).collect();
    assert_eq!(share(&both, 40), 30);
    let alone: Vec<_> = (1..=100).map(|n| of("q", n)).collect();
    assert_eq!(share(&alone, 100), 0, "what one leaves the other gets");
    let again = share(&both, 40);
    assert!((29..=31).contains(&again), "{again}: no turns were saved up");
}

#[test]
fn a_lane_is_the_same_for_the_same_needs() {
    let texts = ["a b", "~a b", "a ~b", "w:a b", "@a b", "a @b", "ab", "r:a b", "a", "b"];
    let lanes: std::collections::BTreeSet<_> =
        texts.iter().map(|text| needs(text).lane()).collect();
    assert_eq!(lanes.len(), texts.len());
    assert_eq!(needs("b a").lane(), needs("a b").lane());
    assert_eq!(needs("").lane(), None);
    // Stored: another number would be another lane.
    assert_eq!(needs("repo").lane(), Some(-6_513_541_384_353_324_021));
    assert_eq!(needs("~a a").locks(), needs("a").locks(), "the stronger form counts");
    assert_eq!(needs("r:x w:x").paths(), needs("w:x").paths());
}

#[test]
fn a_scope_reads_what_it_prints() {
    let scopes = [
        Scope::All,
        Scope::Fleet(fleet()),
        Scope::Queue(queue("q")),
        Scope::Key(label("account:alice: x")),
        Scope::QueueKey(queue("q"), label("queue:b")),
    ];
    for scope in scopes {
        assert_eq!(scope.to_string().parse(), Ok(scope));
    }
    for bad in ["", "fleet", "fleet:", "key:", "queue:A", "x:y"] {
        assert!(bad.parse::<Scope>().is_err(), "{bad}");
    }
}

/// The work of one choice is bounded, whatever files its tasks use: hosts wait for each other's choices.
/// Those that take more are said to overlap, though they do not, and of plain ones it is told exactly.
#[test]
fn a_choice_is_not_kept_busy_by_intricate_patterns() {
    let pattern = |n: usize, end: char| {
        format!("w:*{}{}{end}", "{a,b,c,d}".repeat(3), format!("*{n}").repeat(30))
    };
    let held = |n: usize, wants: &str| Held {
        task: task(1000 + u128::try_from(n).unwrap()),
        queue: queue("q"),
        agent: None,
        needs: needs(wants),
        since: at(0),
    };
    let busy = (0..20).map(|n| held(n, &pattern(n % 10, 'x')));
    let held = busy.chain([held(20, "w:src/a.rs")]).collect();
    let situation = Situation { now: at(0), held, ..Situation::default() };
    let usage = Usage::new(&situation);
    let blockers = |wants: &str| usage.blockers(task(1), &queue("q"), 0, &needs(wants));
    for n in 0..50 {
        blockers(&pattern(n % 10, 'y'));
    }
    assert!(blockers(&pattern(0, 'y')).len() >= 20);
    let in_use = |wants| blockers(wants).iter().any(|blocker| blocker.name == "src/a.rs");
    assert!(in_use("w:src/*.rs") && !in_use("w:src/b.rs"));
}
