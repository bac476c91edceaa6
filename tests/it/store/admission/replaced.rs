//! A task whose needs a submit with the same key replaces while it is being claimed: it holds what
//! it needs now, or it does not begin.

use std::collections::BTreeSet;

use hostler::{
    domain::{
        admission::NeedKind,
        task::TaskState,
        unique::{OnConflict, Unique},
    },
    store::{
        admission::{self, Memory},
        tasks,
    },
};

use super::{
    super::{agents, pid, until_it_waits},
    *,
};

fn keyed(queue: &QueueName, text: &str) -> NewTask {
    let mut task = needing(queue, text);
    let (window, states) = (None, Unique::usual_states(None));
    let on_conflict = OnConflict::Replace;
    task.terms.unique = Some(Unique { key: "k".to_owned(), window, states, on_conflict });
    task
}

/// A task runs that shares `repo`, and another waits.
struct Scene {
    world: World,
    runs: Vec<Assignment>,
    waits: TaskId,
    /// Holds up claims of the world's host once they have looked around.
    holds_up: Client,
}

impl Scene {
    /// The one that waits needs `text`.
    async fn new(text: &str) -> Self {
        let world = World::new().await;
        world.submit_needing(&["~repo"]).await;
        let runs = world.choose(1).await;
        let waits = world.submit_all(&[keyed(&world.queue, text)]).await[0];
        let holds_up = world.store.client().await.unwrap();
        holds_up.batch_execute("BEGIN; SELECT FROM hostler.hosts FOR UPDATE").await.unwrap();
        Self { world, runs, waits, holds_up }
    }

    /// Once the claim waits, the task comes to need `repo` alone.
    async fn replace(&self, pid: i32) {
        until_it_waits(&self.world, pid).await;
        let again = keyed(&self.world.queue, "repo");
        assert_eq!(self.world.submit_all(&[again]).await, [self.waits]);
        self.holds_up.batch_execute("COMMIT").await.unwrap();
    }

    /// It waits, and begins once `repo` is free.
    async fn check(&self) {
        let world = &self.world;
        assert_eq!(world.state(self.waits).await, TaskState::Pending);
        assert_eq!(world.held().await, 1, "what the one holds that runs");
        assert_eq!((world.choose(9).await, world.claim(9).await), (vec![], vec![]));
        world.complete(&self.runs).await;
        assert_eq!(world.choose(9).await.len(), 1);
        let locks = admission::locks(&world.db, Duration::ZERO).await.unwrap();
        let held: Vec<_> = locks.iter().map(|it| (it.kind, it.name.as_str(), it.holder)).collect();
        assert_eq!(held, [(NeedKind::Exclusive, "repo", self.waits)]);
    }
}

#[tokio::test]
async fn what_is_chosen_begins_with_the_needs_that_were_looked_at() {
    for text in ["other", "w:src/**", ""] {
        let scene = Scene::new(text).await;
        let Scene { world, .. } = &scene;
        let client = world.store.client().await.unwrap();
        let pid = pid(&client).await;
        let asked = order(world.host, std::slice::from_ref(&world.queue), agents(9));
        let limited = BTreeSet::new();
        let (claimed, ()) = tokio::join!(
            admission::begin(&client, &asked, &limited, Memory::default()),
            scene.replace(pid),
        );
        assert_eq!(claimed.unwrap().assignments, [], "{text}");
        scene.check().await;
    }
}

#[tokio::test]
async fn a_plain_claim_leaves_what_has_come_to_need_something() {
    let scene = Scene::new("").await;
    let Scene { world, .. } = &scene;
    let client = world.store.client().await.unwrap();
    let pid = pid(&client).await;
    let (queue, agents) = (std::slice::from_ref(&world.queue), agents(1));
    let (claimed, ()) = tokio::join!(
        tasks::claim(&client, world.host, queue, &agents, i16::MIN),
        scene.replace(pid),
    );
    assert_eq!(claimed.unwrap(), []);
    scene.check().await;
}
