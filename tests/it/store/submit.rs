//! New tasks: order, keys, and what is refused.

use std::time::Duration;

use hostler::{
    domain::{
        QueueName,
        record::{SubmitOutcome, Submitted},
        retry::{Growth, RetryTerms},
        task::TaskState,
    },
    store::{Recovery, StoreError, tasks},
};
use jiff::Timestamp;
use serde_json::json;

use super::{World, task};

#[tokio::test]
async fn answers_come_in_the_order_of_the_batch() {
    let world = World::new().await;
    let mut batch: Vec<_> = (0..5).map(|_| task(&world.queue)).collect();
    batch.reverse();
    batch[1].run_at = Some(Timestamp::now() + Duration::from_secs(60));
    batch[2].run_at = Some(Timestamp::now() - Duration::from_secs(60));
    batch[3].idempotency_key = Some("z".to_owned());
    batch[4].idempotency_key = Some("a".to_owned());
    let made = tasks::submit(&world.db, &batch).await.unwrap();
    for (made, task) in made.iter().zip(&batch) {
        assert_eq!((made.id, made.created), (task.id, true));
        world.check_events(task.id).await;
    }
    assert_eq!(made[1].state, TaskState::Scheduled);
    assert_eq!(made[2].state, TaskState::Pending);
    let record = tasks::get(&world.db, batch[3].id).await.unwrap().unwrap();
    assert_eq!(record.input, batch[3].input);
    assert_eq!(record.idempotency_key.as_deref(), Some("z"));
    assert_eq!(tasks::submit(&world.db, &[]).await.unwrap(), []);
}

#[tokio::test]
async fn retry_terms_go_with_the_task_to_whoever_runs_it() {
    let world = World::new().await;
    let retry = RetryTerms {
        kind: Some(Growth::Linear),
        backoff_min: Some(Duration::from_millis(1_500)),
        never_on: Some(vec!["task:17".parse().unwrap()]),
        ..RetryTerms::default()
    };
    let mut own = task(&world.queue);
    own.terms.retry = retry.clone();
    tasks::submit(&world.db, &[task(&world.queue), own.clone()]).await.unwrap();
    let told = tasks::get(&world.db, own.id).await.unwrap().unwrap();
    assert_eq!(told.retry, Some(retry.clone()));
    let given = world.claim(2).await;
    let terms: Vec<_> = given.iter().map(|one| one.terms.retry.clone()).collect();
    assert_eq!(terms, [Some(retry), None], "in the order of their ids");
}

#[tokio::test]
async fn a_key_is_one_task_in_a_batch_and_ever_after() {
    let world = World::new().await;
    let keyed = |key: &str| {
        let mut task = task(&world.queue);
        task.idempotency_key = Some(key.to_owned());
        task
    };
    let batch = [keyed("a"), keyed("b"), keyed("a"), task(&world.queue)];
    let made = tasks::submit(&world.db, &batch).await.unwrap();
    let (id, state) = (made[0].id, made[0].state);
    assert_eq!(made[2], Submitted::new(id, state, SubmitOutcome::Existing));
    assert_eq!(made.iter().map(|made| made.created).collect::<Vec<_>>(), [true, true, false, true]);

    // The same again, also with the same ids, as after an answer that was lost.
    let running = world.claim(1).await.pop().unwrap();
    assert_eq!(running.task, made[0].id);
    for again in [vec![keyed("a"), keyed("c")], batch[..2].to_vec()] {
        let answer = tasks::submit(&world.db, &again).await.unwrap();
        assert_eq!((answer[0].id, answer[0].created), (made[0].id, false));
        assert_eq!(answer[0].state, TaskState::Running);
    }
    world.check_events(made[0].id).await;
    let inputs = world.db.query("SELECT FROM hostler.task_inputs", &[]).await.unwrap();
    assert_eq!(inputs.len(), 4, "a, b, c and the one without a key");
}

#[tokio::test]
async fn twenty_submitters_of_one_key_get_one_task() {
    let world = World::new().await;
    let submits = (0..20).map(|number| {
        let (store, queue) = (world.store.clone(), world.queue.clone());
        tokio::spawn(async move {
            let mut batch = [task(&queue), task(&queue)];
            // Two keys in both orders: nobody may wait for each other in a circle.
            let keys = if number % 2 == 0 { ["one", "two"] } else { ["two", "one"] };
            for (task, key) in batch.iter_mut().zip(keys) {
                task.idempotency_key = Some(key.to_owned());
            }
            let mut made = tasks::submit(&store.client().await.unwrap(), &batch).await.unwrap();
            if number % 2 == 1 {
                made.reverse();
            }
            made
        })
    });
    let answers = futures_util::future::join_all(submits).await;
    let answers: Vec<_> = answers.into_iter().map(Result::unwrap).collect();
    for key in 0..2 {
        assert!(answers.iter().all(|made| made[key].id == answers[0][key].id));
        assert_eq!(answers.iter().filter(|made| made[key].created).count(), 1);
    }
}

#[tokio::test]
async fn an_unknown_queue_is_named_and_nothing_is_inserted() {
    let world = World::new().await;
    let unknown: QueueName = "nowhere".parse().unwrap();
    let batch = [task(&world.queue), task(&unknown)];
    let error = tasks::submit(&world.db, &batch).await.unwrap_err();
    assert_eq!(error.to_string(), "there is no queue `nowhere`");
    assert_eq!(error.recovery(), Recovery::GiveUp);
    assert_eq!(tasks::get(&world.db, batch[0].id).await.unwrap(), None);
}

#[tokio::test]
async fn what_cannot_be_kept_is_named_and_nothing_is_inserted() {
    let world = World::new().await;
    let good = task(&world.queue);
    let mut bad = vec![task(&world.queue); 6];
    bad[0].input = json!({"a": ["\0"]});
    bad[1].kind = "k".repeat(256);
    bad[2].idempotency_key = Some(String::new());
    bad[3].idempotency_key = Some("k".repeat(256));
    bad[4].max_attempts = 0;
    bad[5].timeout = Some(Duration::ZERO);
    let fields = ["input", "kind", "idempotency_key", "idempotency_key", "max_attempts", "timeout"];
    for (bad, name) in bad.into_iter().zip(fields) {
        let error = tasks::submit(&world.db, &[good.clone(), bad]).await.unwrap_err();
        let StoreError::Unstorable { position, field, .. } = error else { panic!("{error}") };
        assert_eq!((position, field), (1, name));
    }
    assert_eq!(tasks::get(&world.db, good.id).await.unwrap(), None);
}
