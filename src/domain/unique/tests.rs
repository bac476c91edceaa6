//! When a holder is in the way, and what a submit makes of it.

use proptest::prelude::*;
use serde_json::json;
use uuid::Uuid;

use super::*;
use crate::domain::task::Terms;

const HOUR: Duration = Duration::from_secs(3600);

fn id(number: u128) -> TaskId {
    TaskId::from_uuid(Uuid::from_u128(number))
}

fn unique(key: &str, on_conflict: OnConflict) -> Unique {
    Unique { key: key.to_owned(), window: None, states: Unique::usual_states(None), on_conflict }
}

fn task(number: u128, unique: Option<Unique>) -> NewTask {
    let mut task = NewTask {
        id: id(number),
        queue: "default".parse().unwrap(),
        kind: "task".to_owned(),
        input: json!(u64::try_from(number).unwrap()),
        priority: 0,
        run_at: None,
        max_attempts: 3,
        timeout: None,
        idempotency_key: None,
        terms: Terms::default(),
    };
    task.terms.unique = unique;
    task
}

fn holder(state: TaskState, attempt: u32, age: Duration) -> Holder {
    Holder { task: id(99), state, attempt: Attempt(attempt), age }
}

fn plan_of(tasks: &[NewTask], holders: &[(&str, Holder)]) -> Result<Plan, Rejected> {
    let queue: QueueName = "default".parse().unwrap();
    let tasks: Vec<&NewTask> = tasks.iter().collect();
    let holders = holders.iter().map(|(key, holder)| ((&queue, *key), holder.clone())).collect();
    plan(&tasks, &HashSet::new(), holders, |task| match task.run_at {
        Some(_) => TaskState::Scheduled,
        None => TaskState::Pending,
    })
}

#[test]
fn a_holder_is_in_the_way_by_its_state_and_its_age() {
    use TaskState as S;
    let windowed = |window, states: &[S]| Unique {
        window: Some(window),
        states: states.to_vec(),
        ..unique("k", OnConflict::Return)
    };
    let usual = unique("k", OnConflict::Return);
    let in_a_window =
        Unique { window: Some(HOUR), states: Unique::usual_states(Some(HOUR)), ..usual.clone() };
    let rows = [
        (&usual, S::Blocked, HOUR * 24, true),
        (&usual, S::Scheduled, HOUR * 24, true),
        (&usual, S::Pending, HOUR * 24, true),
        (&usual, S::Running, HOUR * 24, true),
        (&usual, S::AwaitingInput, HOUR * 24, true),
        (&usual, S::Completed, Duration::ZERO, false),
        (&usual, S::Failed, Duration::ZERO, false),
        (&usual, S::Cancelled, Duration::ZERO, false),
        (&in_a_window, S::Completed, HOUR / 2, true),
        (&in_a_window, S::Completed, HOUR, false),
        (&in_a_window, S::Running, HOUR / 2, true),
        (&in_a_window, S::Running, HOUR * 2, false),
        (&in_a_window, S::Failed, HOUR / 2, false),
        (&windowed(HOUR, &[S::Failed]), S::Failed, HOUR / 2, true),
        (&windowed(HOUR, &[S::Failed]), S::Pending, HOUR / 2, false),
        (&windowed(HOUR, &[]), S::Pending, Duration::ZERO, false),
    ];
    for (unique, state, age, expected) in rows {
        assert_eq!(
            unique.conflicts(&holder(state, 0, age)),
            expected,
            "{unique:?} {state} {age:?}"
        );
    }
}

#[test]
fn each_way_to_take_a_conflict() {
    use OnConflict::{Reject, Replace, Return};
    use TaskState as S;
    let existing = |state| Ok(Answer::Existing { task: id(99), state });
    let create = || Ok(Answer::Create { says: 0 });
    let rejected = |state| Err(Rejected { position: 0, task: id(99), state, earlier: None });
    let replaced = || Ok(Answer::Replaced { task: id(99) });
    let rows = [
        (Return, S::Pending, 0, existing(S::Pending)),
        (Return, S::Running, 1, existing(S::Running)),
        (Return, S::Completed, 1, create()),
        (Replace, S::Pending, 0, replaced()),
        (Replace, S::Scheduled, 0, replaced()),
        (Replace, S::Blocked, 0, replaced()),
        (Replace, S::Running, 1, existing(S::Running)),
        (Replace, S::Scheduled, 1, existing(S::Scheduled)),
        (Replace, S::Pending, 2, existing(S::Pending)),
        (Replace, S::Failed, 3, create()),
        (Reject, S::Pending, 0, rejected(S::Pending)),
        (Reject, S::AwaitingInput, 1, rejected(S::AwaitingInput)),
        (Reject, S::Cancelled, 0, create()),
    ];
    for (on_conflict, state, attempt, expected) in rows {
        let tasks = [task(1, Some(unique("k", on_conflict)))];
        let plan = plan_of(&tasks, &[("k", holder(state, attempt, HOUR))]);
        let is_replaced = plan.as_ref().is_ok_and(|plan| plan.replaced == [(id(99), 0)].into());
        assert_eq!(is_replaced, expected == replaced(), "{on_conflict:?} {state}");
        let first = plan.map(|plan| plan.answers[0].clone());
        assert_eq!(first, expected, "{on_conflict:?} {state} {attempt}");
    }
}

#[test]
fn a_final_task_that_was_never_started_is_not_rewritten() {
    let states = vec![TaskState::Cancelled];
    let unique = Unique { states, ..unique("k", OnConflict::Replace) };
    let plan = plan_of(&[task(1, Some(unique))], &[("k", holder(TaskState::Cancelled, 0, HOUR))]);
    let state = TaskState::Cancelled;
    assert_eq!(plan.unwrap().answers, [Answer::Existing { task: id(99), state }]);
}

#[test]
fn one_key_twice_in_a_submit_is_taken_in_order() {
    use OnConflict::{Reject, Replace, Return};
    let mut later = task(3, Some(unique("a", Replace)));
    later.run_at = Some("2030-01-01T00:00:00Z".parse().unwrap());
    let tasks = [
        task(1, Some(unique("a", Return))),
        task(2, Some(unique("b", Reject))),
        later,
        task(4, Some(unique("a", Return))),
        task(5, None),
    ];
    let plan = plan_of(&tasks, &[]).unwrap();
    let expected = [
        Answer::Create { says: 2 },
        Answer::Create { says: 1 },
        Answer::Replaced { task: id(1) },
        Answer::Existing { task: id(1), state: TaskState::Scheduled },
        Answer::Create { says: 4 },
    ];
    assert_eq!((plan.answers.as_slice(), plan.replaced.len()), (expected.as_slice(), 0));

    let twice = [task(1, Some(unique("a", Return))), task(2, Some(unique("a", Reject)))];
    let state = TaskState::Pending;
    let rejected = Rejected { position: 1, task: id(1), state, earlier: Some(0) };
    assert_eq!(plan_of(&twice, &[]), Err(rejected));
}

#[test]
fn the_last_of_several_replacements_counts() {
    let tasks: Vec<_> =
        (1..=3).map(|number| task(number, Some(unique("k", OnConflict::Replace)))).collect();
    let plan = plan_of(&tasks, &[("k", holder(TaskState::Pending, 0, HOUR))]).unwrap();
    assert_eq!(plan.replaced, [(id(99), 2)].into());
    let plan = plan_of(&tasks, &[]).unwrap();
    assert_eq!(plan.answers[0], Answer::Create { says: 2 });
    let said = taking_over(&tasks[0], &tasks[2]);
    assert_eq!((said.id, &said.input), (tasks[0].id, &tasks[2].input));
    assert_eq!(said.terms, tasks[0].terms);
}

#[test]
fn a_key_counts_within_its_queue() {
    let mut tasks = [1, 2].map(|number| task(number, Some(unique("k", OnConflict::Reject))));
    tasks[1].queue = "other".parse().unwrap();
    let plan = plan_of(&tasks, &[]).unwrap();
    assert_eq!(plan.answers, [Answer::Create { says: 0 }, Answer::Create { says: 1 }]);
}

#[test]
fn words_parse_back() {
    for known in OnConflict::ALL {
        assert_eq!(known.as_str().parse(), Ok(known));
    }
    for known in KeyPart::ALL {
        assert_eq!(known.as_str().parse(), Ok(known));
    }
    let error = "ignore".parse::<OnConflict>().unwrap_err().to_string();
    assert_eq!(error, "`ignore` is not one of return, replace, reject");
    assert!("id".parse::<KeyPart>().unwrap_err().to_string().contains("queue, kind, input"));
}

#[test]
fn keys_are_of_what_is_meant_and_not_of_how_it_is_written() {
    use KeyPart::{Input, Kind, Queue};
    let key = |by: &[KeyPart], kind: &str, input: &str| {
        key_of(by, kind, &serde_json::from_str(input).unwrap())
    };
    let same = [
        (r#"{"a": 1, "b": [true, null]}"#, r#"{"b":[true,null],"a":1.0}"#),
        ("1e2", "100"),
        ("-0.0", "0"),
        (r#""A""#, r#""\u0041""#),
    ];
    for (one, other) in same {
        assert_eq!(key(&[Input], "k", one), key(&[Input], "other", other), "{one}");
    }
    let different = [
        ("1", "\"1\""),
        ("[1,2]", "[12]"),
        ("[[1],2]", "[[1,2]]"),
        (r#"{"a":{"b":1}}"#, r#"{"a":{},"b":1}"#),
        ("null", "{}"),
        ("1.5", "1"),
        ("9007199254740993", "9007199254740992"),
    ];
    for (one, other) in different {
        assert_ne!(key(&[Input], "k", one), key(&[Input], "k", other), "{one}");
    }
    assert_ne!(key(&[Kind], "a", "1"), key(&[Kind], "b", "1"));
    assert_eq!(key(&[Kind, Input, Kind], "a", "1"), key(&[Input, Kind], "a", "1"));
    assert_ne!(key(&[Kind, Input], "a", "1"), key(&[Input], "a", "1"));
    assert_eq!(key(&[Queue], "a", "1"), key(&[Queue], "b", "2"));
    assert!(key(&[Queue, Kind, Input], "a", "1").starts_with("queue+kind+input:"));
    assert!(key(&KeyPart::ALL, "a", "1").len() <= MAX_UNIQUE_KEY);
}

/// One task of a submit, by its key and what it does about a conflict.
fn asked() -> impl Strategy<Value = Vec<(u8, OnConflict)>> {
    let way = prop_oneof![Just(OnConflict::Return), Just(OnConflict::Replace)];
    prop::collection::vec((0..4u8, way), 1..12)
}

proptest! {
    /// A submit of many is what its tasks would come to one after the other.
    #[test]
    fn a_batch_is_its_tasks_one_by_one(asked in asked(), attempts in prop::collection::vec(0..2u32, 4)) {
        let keys: Vec<String> = (0..4).map(|number| format!("k{number}")).collect();
        let tasks: Vec<NewTask> = asked
            .iter()
            .zip(1..)
            .map(|((key, way), number)| task(number, Some(unique(&keys[usize::from(*key)], *way))))
            .collect();
        // Of the four keys the first two are held, each by a task that has been started or not.
        let state = |attempt| if attempt > 0 { TaskState::Running } else { TaskState::Pending };
        let held = |at: usize| Holder {
            task: id(90 + at as u128), ..holder(state(attempts[at]), attempts[at], HOUR)
        };
        let holders = [("k0", held(0)), ("k1", held(1))];

        let mut inputs: HashMap<TaskId, Value> = HashMap::new();
        let mut owners: HashMap<&str, Holder> = holders.clone().into();
        let mut made = Vec::new();
        for task in &tasks {
            let key = task.terms.unique.as_ref().unwrap().key.as_str();
            let alone = plan_of(
                std::slice::from_ref(task),
                &owners.iter().map(|(key, holder)| (*key, holder.clone())).collect::<Vec<_>>(),
            ).unwrap();
            match &alone.answers[0] {
                Answer::Create { .. } => {
                    made.push(task.id);
                    inputs.insert(task.id, task.input.clone());
                    let state = TaskState::Pending;
                    let (attempt, age) = (Attempt(0), Duration::ZERO);
                    owners.insert(key, Holder { task: task.id, state, attempt, age });
                }
                Answer::Replaced { task: other } => {
                    inputs.insert(*other, task.input.clone());
                }
                Answer::Existing { .. } => {}
            }
        }

        let whole = plan_of(&tasks, &holders).unwrap();
        let mut found: HashMap<TaskId, Value> = whole
            .replaced
            .iter()
            .map(|(older, place)| (*older, tasks[*place].input.clone()))
            .collect();
        let mut created = Vec::new();
        for (task, answer) in tasks.iter().zip(&whole.answers) {
            if let Answer::Create { says } = answer {
                created.push(task.id);
                found.insert(task.id, tasks[*says].input.clone());
            }
        }
        prop_assert_eq!(created, made);
        prop_assert_eq!(found, inputs);
    }

    /// The key of an input does not depend on the order of its fields.
    #[test]
    fn keys_do_not_depend_on_the_order_of_fields(mut fields in prop::collection::vec(("[a-z]{1,3}", any::<i32>()), 0..6)) {
        fields.sort();
        fields.dedup_by(|one, other| one.0 == other.0);
        let object = |fields: &[(String, i32)]| {
            let texts: Vec<_> = fields.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
            serde_json::from_str::<Value>(&format!("{{{}}}", texts.join(","))).unwrap()
        };
        let forth = key_of(&[KeyPart::Input], "k", &object(&fields));
        fields.reverse();
        prop_assert_eq!(forth, key_of(&[KeyPart::Input], "k", &object(&fields)));
    }
}

#[test]
fn a_task_is_kept_for_its_key_only_where_ended_ones_are_in_the_way() {
    let of = |window: Option<Duration>, states: Vec<TaskState>| {
        Unique { window, states, ..unique("k", OnConflict::Return) }.keeps()
    };
    assert_eq!(of(None, Unique::usual_states(None)), None);
    assert_eq!(of(Some(HOUR), Unique::usual_states(Some(HOUR))), Some(HOUR));
    assert_eq!(of(Some(HOUR), vec![TaskState::Pending]), None);
    assert_eq!(of(None, vec![TaskState::Failed]), Some(Duration::MAX), "for ever");
}
