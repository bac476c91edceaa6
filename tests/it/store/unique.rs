//! One task per key: over states, over a window, in one batch, and for many submitters at once.

use std::{collections::HashSet, time::Duration};

use hostler::{
    domain::{
        QueueName, TaskId,
        record::{SubmitOutcome, Submitted},
        task::{NewTask, TaskEvent, TaskState},
        unique::{OnConflict, Unique},
    },
    store::{Store, StoreError, tasks},
};
use jiff::Timestamp;
use serde_json::json;

use super::{World, end, ensure, states::put_in, task};

fn unique(key: &str, on_conflict: OnConflict) -> Unique {
    Unique { key: key.to_owned(), window: None, states: Unique::usual_states(None), on_conflict }
}

fn unique_task(queue: &QueueName, unique: Unique) -> NewTask {
    let mut task = task(queue);
    task.terms.unique = Some(unique);
    task
}

fn keyed(queue: &QueueName, key: &str, on_conflict: OnConflict) -> NewTask {
    unique_task(queue, unique(key, on_conflict))
}

async fn submit(store: &Store, batch: &[NewTask]) -> Result<Vec<Submitted>, StoreError> {
    store.transact(async |db| tasks::submit(db, batch).await).await
}

async fn one(world: &World, task: NewTask) -> Submitted {
    submit(&world.store, &[task]).await.unwrap().remove(0)
}

/// Gives the key `k` of the world's queue to a task.
async fn give_key(world: &World, task: TaskId) {
    let give = "INSERT INTO hostler.task_unique VALUES ('default', 'k', $1)
        ON CONFLICT (queue, key) DO UPDATE SET task_id = $1";
    world.db.execute(give, &[task.as_uuid()]).await.unwrap();
}

#[tokio::test]
async fn each_state_of_the_holder_is_in_the_way_or_not() {
    let world = World::new().await;
    for state in TaskState::ALL {
        for on_conflict in OnConflict::ALL {
            let holder = put_in(&world, state).await;
            give_key(&world, holder).await;
            let before = tasks::get(&world.db, holder).await.unwrap().unwrap();
            let mut new = keyed(&world.queue, "k", on_conflict);
            (new.input, new.priority, new.kind) = (json!("new"), 7, "other".to_owned());
            let answer = submit(&world.store, &[new.clone()]).await;
            let holder_now = tasks::get(&world.db, holder).await.unwrap().unwrap();
            let case = format!("{state} {on_conflict:?}");
            if state.is_final() {
                let made = Submitted::new(new.id, TaskState::Pending, SubmitOutcome::Created);
                assert_eq!(answer.unwrap(), [made], "{case}");
                assert_eq!(holder_now, before, "{case}");
                continue;
            }
            match on_conflict {
                OnConflict::Reject => {
                    let Err(StoreError::NotUnique { rejected }) = answer else { panic!("{case}") };
                    assert_eq!((rejected.task, rejected.state), (holder, state), "{case}");
                    assert_eq!(holder_now, before, "{case}");
                }
                OnConflict::Replace if !state.is_held() => {
                    // Its time is now, for the new one says nothing else.
                    let then = if state == TaskState::Blocked { state } else { TaskState::Pending };
                    let replaced = Submitted::new(holder, then, SubmitOutcome::Replaced);
                    assert_eq!(answer.unwrap(), [replaced], "{case}");
                    let said = (&holder_now.input, holder_now.priority, &*holder_now.kind);
                    assert_eq!(said, (&json!("new"), 7, "other"), "{case}");
                }
                OnConflict::Replace | OnConflict::Return => {
                    let existing = Submitted::new(holder, state, SubmitOutcome::Existing);
                    assert_eq!(answer.unwrap(), [existing], "{case}");
                    assert_eq!(holder_now, before, "{case}");
                }
            }
            assert_eq!(tasks::get(&world.db, new.id).await.unwrap(), None, "{case}");
            world.check_events(holder).await;
        }
    }
}

#[tokio::test]
async fn a_replacement_moves_the_time() {
    let world = World::new().await;
    let later = |hours: u64| Some(Timestamp::now() + Duration::from_secs(3600 * hours));
    let mut new = keyed(&world.queue, "k", OnConflict::Replace);
    let first = one(&world, new.clone()).await;
    let steps = [
        (later(1), TaskState::Scheduled),
        (later(2), TaskState::Scheduled),
        (None, TaskState::Pending),
        (None, TaskState::Pending),
        (later(1), TaskState::Scheduled),
    ];
    for (run_at, state) in steps {
        new = keyed(&world.queue, "k", OnConflict::Replace);
        new.run_at = run_at;
        let replaced = Submitted::new(first.id, state, SubmitOutcome::Replaced);
        assert_eq!(one(&world, new).await, replaced);
        let record = tasks::get(&world.db, first.id).await.unwrap().unwrap();
        let wait = record.run_at.duration_since(Timestamp::now());
        assert_eq!(wait > jiff::SignedDuration::from_mins(30), run_at.is_some(), "{wait:?}");
    }
    assert_eq!(world.check_events(first.id).await.len(), 4);
}

#[tokio::test]
async fn a_task_that_is_tried_again_is_not_rewritten() {
    let world = World::new().await;
    let first = one(&world, keyed(&world.queue, "k", OnConflict::Replace)).await;
    let given = world.claim(1).await.pop().unwrap();
    world.settle(&[end(&given, TaskEvent::FailedForNow)]).await;
    let answer = one(&world, keyed(&world.queue, "k", OnConflict::Replace)).await;
    let existing = Submitted::new(first.id, TaskState::Scheduled, SubmitOutcome::Existing);
    assert_eq!(answer, existing);
}

#[tokio::test]
async fn a_window_counts_from_when_the_holder_was_made() {
    let world = World::new().await;
    let window = Some(Duration::from_secs(3600));
    let windowed = || {
        let states = Unique::usual_states(window);
        unique_task(&world.queue, Unique { window, states, ..unique("k", OnConflict::Return) })
    };
    let first = one(&world, windowed()).await;
    let given = world.claim(1).await.pop().unwrap();
    world.settle(&[end(&given, TaskEvent::Completed)]).await;
    let within = one(&world, windowed()).await;
    let existing = Submitted::new(first.id, TaskState::Completed, SubmitOutcome::Existing);
    assert_eq!(within, existing, "completed, but not long ago");

    let age = "UPDATE hostler.tasks SET created_at = now() - interval '1 hour' WHERE id = $1";
    world.db.execute(age, &[first.id.as_uuid()]).await.unwrap();
    let second = one(&world, windowed()).await;
    assert_eq!(second.outcome, SubmitOutcome::Created);
    assert_eq!(one(&world, windowed()).await.id, second.id, "the newest has the key");
}

#[tokio::test]
async fn a_batch_is_answered_in_its_order() {
    let world = World::new().await;
    let other = ensure(&world.db, "other").await;
    let older = one(&world, keyed(&world.queue, "old", OnConflict::Return)).await;
    let mut batch = vec![
        keyed(&world.queue, "a", OnConflict::Return),
        keyed(&world.queue, "a", OnConflict::Replace),
        keyed(&other, "a", OnConflict::Reject),
        keyed(&world.queue, "old", OnConflict::Return),
        task(&world.queue),
        keyed(&world.queue, "a", OnConflict::Return),
    ];
    batch[1].input = json!("last");
    batch[1].run_at = Some(Timestamp::now() + Duration::from_secs(3600));
    let made = submit(&world.store, &batch).await.unwrap();
    use SubmitOutcome::{Created, Existing, Replaced};
    let expected = [
        Submitted::new(batch[0].id, TaskState::Scheduled, Created),
        Submitted::new(batch[0].id, TaskState::Scheduled, Replaced),
        Submitted::new(batch[2].id, TaskState::Pending, Created),
        Submitted::new(older.id, TaskState::Pending, Existing),
        Submitted::new(batch[4].id, TaskState::Pending, Created),
        Submitted::new(batch[0].id, TaskState::Scheduled, Existing),
    ];
    assert_eq!(made, expected);
    let record = tasks::get(&world.db, batch[0].id).await.unwrap().unwrap();
    assert_eq!(record.input, json!("last"));

    let twice = [
        task(&world.queue),
        keyed(&world.queue, "b", OnConflict::Return),
        keyed(&world.queue, "b", OnConflict::Reject),
    ];
    let Err(StoreError::NotUnique { rejected }) = submit(&world.store, &twice).await else {
        panic!("the second is in the way of the third");
    };
    assert_eq!((rejected.position, rejected.earlier, rejected.task), (2, Some(1), twice[1].id));
    assert_eq!(tasks::get(&world.db, twice[0].id).await.unwrap(), None, "all or none");
}

#[tokio::test]
async fn an_idempotency_key_comes_first() {
    let world = World::new().await;
    let same = |idempotency: &str, key: &str| {
        let mut task = keyed(&world.queue, key, OnConflict::Reject);
        task.idempotency_key = Some(idempotency.to_owned());
        task
    };
    let batch = [same("i", "k"), same("i", "k")];
    let made = submit(&world.store, &batch).await.unwrap();
    assert_eq!(made[0].outcome, SubmitOutcome::Created);
    assert_eq!(made[1], Submitted::new(made[0].id, TaskState::Pending, SubmitOutcome::Existing));
    // Sent again after an answer that was lost: the same task, not a conflict with itself.
    let again = one(&world, same("i", "k")).await;
    assert_eq!((again.id, again.outcome), (made[0].id, SubmitOutcome::Existing));
    // The key of a submit that made nothing stays free.
    assert_eq!(one(&world, same("i", "free")).await.id, made[0].id);
    let free = one(&world, keyed(&world.queue, "free", OnConflict::Reject)).await;
    assert_eq!(free.outcome, SubmitOutcome::Created);
    let error = submit(&world.store, &[task(&world.queue), same("j", "k")]).await.unwrap_err();
    let StoreError::NotUnique { rejected } = error else { panic!("{error}") };
    assert_eq!((rejected.position, rejected.task), (1, made[0].id));
}

#[tokio::test]
async fn a_key_goes_with_its_task() {
    let world = World::new().await;
    let first = one(&world, keyed(&world.queue, "k", OnConflict::Reject)).await;
    tasks::cancel(&world.db, first.id).await.unwrap();
    let delete = "DELETE FROM hostler.tasks WHERE id = $1";
    world.db.execute(delete, &[first.id.as_uuid()]).await.unwrap();
    let keys = world.db.query("SELECT FROM hostler.task_unique", &[]).await.unwrap();
    assert_eq!(keys.len(), 0);
    // Taken over before its old task goes: it stays.
    let second = one(&world, keyed(&world.queue, "k", OnConflict::Reject)).await;
    tasks::cancel(&world.db, second.id).await.unwrap();
    let third = one(&world, keyed(&world.queue, "k", OnConflict::Reject)).await;
    world.db.execute(delete, &[second.id.as_uuid()]).await.unwrap();
    assert_eq!(one(&world, keyed(&world.queue, "k", OnConflict::Return)).await.id, third.id);
}

#[tokio::test]
async fn what_is_no_key_is_refused() {
    let world = World::new().await;
    for bad in ["", "a\0b", &"k".repeat(256)] {
        let batch = [keyed(&world.queue, bad, OnConflict::Return)];
        let error = submit(&world.store, &batch).await.unwrap_err();
        let StoreError::Unstorable { field, .. } = error else { panic!("{error}") };
        assert_eq!(field, "unique.key");
    }
}

/// Twenty submitters on two pools, as two hosts would be, each with all keys in an order of its own,
/// while tasks of the keys are claimed and ended: one at a time has each key, and nobody deadlocks.
/// An index of this test's own refuses a second task of a key that has not ended.
#[tokio::test]
async fn twenty_submitters_on_two_hosts_make_one_task_at_a_time() {
    const KEYS: usize = 5;
    const ROUNDS: usize = 12;
    let world = World::new().await;
    let judge = "CREATE UNIQUE INDEX one_at_a_time ON hostler.tasks (kind)
        WHERE state NOT IN ('completed', 'failed', 'cancelled')";
    world.db.batch_execute(judge).await.unwrap();
    let stores = [world.store.clone(), world.database.store().await];
    let submitters = (0..20).map(|number| {
        let (store, queue) = (stores[number % 2].clone(), world.queue.clone());
        tokio::spawn(async move {
            let mut dice = fastrand::Rng::with_seed(u64::try_from(number).unwrap());
            let mut made = Vec::new();
            for _ in 0..ROUNDS {
                let mut keys: Vec<usize> = (0..KEYS).collect();
                dice.shuffle(&mut keys);
                let way = if dice.bool() { OnConflict::Return } else { OnConflict::Replace };
                let batch = keys.iter().map(|key| {
                    let kind = format!("k{key}");
                    NewTask { kind: kind.clone(), ..keyed(&queue, &kind, way) }
                });
                let batch: Vec<_> = batch.collect();
                let answers =
                    submit(&store, &batch).await.expect("no deadlock, no second of a key");
                made.extend(keys.iter().zip(answers).filter_map(|(key, answer)| {
                    (answer.outcome == SubmitOutcome::Created).then_some((*key, answer.id))
                }));
            }
            made
        })
    });
    let submitters: Vec<_> = submitters.collect();
    // Meanwhile the tasks come to their ends, so that keys become free all the time.
    let ended = async {
        let mut ended = 0;
        while submitters.iter().any(|one| !one.is_finished()) {
            let given = world.claim(3).await;
            let ends: Vec<_> = given.iter().map(|one| end(one, TaskEvent::Completed)).collect();
            ended += world.settle(&ends).await.len();
            tokio::task::yield_now().await;
        }
        ended
    };
    let ended = ended.await;
    let made = futures_util::future::join_all(submitters).await;
    let made: Vec<(usize, TaskId)> = made.into_iter().flat_map(Result::unwrap).collect();
    let ids: HashSet<_> = made.iter().map(|(_, id)| *id).collect();
    assert_eq!(ids.len(), made.len(), "each was made once");
    assert!(made.len() >= KEYS && made.len() <= ended + KEYS, "{} of {ended}", made.len());

    for (_, id) in &made {
        world.check_events(*id).await;
    }
    let live = "SELECT count(*) FROM hostler.tasks WHERE state NOT IN ('completed')";
    let live: i64 = world.db.query_one(live, &[]).await.unwrap().get(0);
    assert!(live <= i64::try_from(KEYS).unwrap(), "{live} are not completed");
}

/// A replacement and a claim of the same task: whoever comes second sees what the first did.
#[tokio::test]
async fn a_replacement_is_never_lost_to_a_claim() {
    let world = World::new().await;
    let first = one(&world, keyed(&world.queue, "k", OnConflict::Replace)).await;
    let mut other = world.store.client().await.unwrap();
    let replacing = other.transaction().await.unwrap();
    let mut new = keyed(&world.queue, "k", OnConflict::Replace);
    new.input = json!("new");
    let answer = tasks::submit(&replacing, &[new]).await.unwrap().remove(0);
    assert_eq!((answer.id, answer.outcome), (first.id, SubmitOutcome::Replaced));
    assert_eq!(world.claim(1).await, [], "it is being rewritten");
    replacing.commit().await.unwrap();
    assert_eq!(world.claim(1).await.pop().unwrap().input, json!("new"));
    let answer = one(&world, keyed(&world.queue, "k", OnConflict::Replace)).await;
    assert_eq!(answer, Submitted::new(first.id, TaskState::Running, SubmitOutcome::Existing));
}
