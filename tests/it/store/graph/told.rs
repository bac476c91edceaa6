//! Results that are handed on, and graphs that are shown.

use hostler::{
    domain::{
        graph::{DependencyPolicy as P, render},
        record::GraphExtent,
        task::{Outcome, Settlement, TaskEvent as E, TaskState as S},
    },
    store::tasks,
};
use serde_json::{Value, json};

use super::{World, batch, graph, record, run, submit};

/// Completes the only pending task with this output.
async fn complete(world: &World, output: Value) {
    let given = world.claim(1).await.pop().unwrap();
    let end = super::end(&given, E::Completed);
    world.settle(&[Settlement { outcome: Outcome::Completed { output }, ..end }]).await;
}

#[tokio::test]
async fn results_come_with_the_attempt_that_uses_them() {
    let world = World::new().await;
    let mut batch =
        batch(&world, &[(P::Run, &[]), (P::Run, &[0]), (P::Run, &[0, 1]), (P::Run, &[2])]);
    batch[2].input =
        json!({"say": "{{ deps.a.output.text }}", "why": "{{ deps.b.error.message }}"});
    batch[2].terms.graph.template = true;
    for (one, name) in batch[2].terms.graph.depends_on.iter_mut().zip(["a", "b"]) {
        (one.name, one.used) = (name.to_owned(), true);
    }
    batch[3].terms.graph.template = true;
    let ids = submit(&world, &batch).await;
    complete(&world, json!({"text": "hi"})).await;
    run(&world, ids[1], E::FailedForGood).await;
    let given = world.claim(1).await.pop().unwrap();
    assert_eq!((given.task, &given.input), (ids[2], &batch[2].input), "as it was submitted");
    let results = given.results.clone().unwrap();
    let deps = results.deps.as_ref().unwrap();
    assert_eq!(
        deps["a"],
        json!({"id": ids[0], "state": "completed", "output": {"text": "hi"}, "error": null})
    );
    assert_eq!(deps["b"]["error"]["class"], "exit");
    let filled = render(&given.input, &results, 1_000).unwrap();
    assert_eq!(filled, json!({"say": "hi", "why": "status 1"}));
    assert!(record(&world, ids[2]).await.template);
    world.settle(&[super::end(&given, E::Completed)]).await;
    // One that uses none gets none, and one that is no template is not asked about.
    let given = world.claim(1).await.pop().unwrap();
    assert_eq!(given.results.unwrap().deps.unwrap().len(), 0);
    let ids = graph(&world, &[(P::Run, &[]), (P::Run, &[0])]).await;
    run(&world, ids[0], E::Completed).await;
    assert_eq!(world.claim(1).await.pop().unwrap().results, None);
}

/// A deadline is no attempt's failure.
#[tokio::test]
async fn the_deadline_that_a_dependency_did_not_meet_is_handed_on() {
    let world = World::new().await;
    let mut batch = batch(&world, &[(P::Run, &[]), (P::Run, &[0])]);
    batch[1].terms.graph.template = true;
    batch[1].input = json!({"why": "{{ deps.a.error.class }}: {{ deps.a.error.message }}"});
    let depends_on = &mut batch[1].terms.graph.depends_on[0];
    (depends_on.name, depends_on.used) = ("a".to_owned(), true);
    let ids = submit(&world, &batch).await;
    let late = "UPDATE hostler.tasks SET deadline = now() - interval '1 s' WHERE id = $1";
    world.db.execute(late, &[&ids[0]]).await.unwrap();
    tasks::expire(&world.db).await.unwrap();
    let given = world.claim(1).await.pop().unwrap();
    let filled = render(&given.input, &given.results.unwrap(), 1_000).unwrap();
    let why = "deadline: its deadline passed before its first attempt began";
    assert_eq!((given.task, filled), (ids[1], json!({"why": why})));
}

#[tokio::test]
async fn results_that_are_too_large_are_counted_and_not_handed_on() {
    let world = World::new().await;
    let mut batch = batch(&world, &[(P::Run, &[]), (P::Run, &[0])]);
    batch[1].terms.graph.template = true;
    batch[1].terms.graph.depends_on[0].used = true;
    submit(&world, &batch).await;
    complete(&world, json!("x".repeat(5 << 20))).await;
    let results = world.claim(1).await.pop().unwrap().results.unwrap();
    assert!(results.deps.is_none() && results.bytes > 5 << 20 && results.most == 4 << 20);
}

#[tokio::test]
async fn a_graph_is_told_from_any_of_its_tasks() {
    let world = World::new().await;
    // Two roots, of which one leads on; and a task that has to do with nobody.
    let rows = [
        (P::Cancel, &[][..]),
        (P::Cancel, &[]),
        (P::Cancel, &[0, 1]),
        (P::Hold, &[2]),
        (P::Cancel, &[1]),
        (P::Cancel, &[]),
    ];
    let ids = graph(&world, &rows).await;
    run(&world, ids[0], E::FailedForGood).await;
    for asked in [0, 2, 4] {
        let told =
            tasks::graph(&world.db, ids[asked], GraphExtent::All(100)).await.unwrap().unwrap();
        let nodes: Vec<_> = told.nodes.iter().map(|node| node.id).collect();
        assert_eq!(nodes, ids[..5]);
        assert!(!told.truncated && told.task == ids[asked]);
        let edges: Vec<_> = told.edges.iter().map(|edge| (edge.from, edge.to)).collect();
        let expected = [(0, 2), (1, 2), (2, 3), (1, 4)].map(|(from, to)| (ids[from], ids[to]));
        assert_eq!(edges, expected);
        assert_eq!((told.nodes[2].state, told.nodes[2].stopped_by), (S::Cancelled, Some(ids[0])));
        assert_eq!((told.nodes[3].state, told.nodes[3].open), (S::Blocked, Some(1)));
    }
    let near = tasks::graph(&world.db, ids[2], GraphExtent::Near(5)).await.unwrap().unwrap();
    assert_eq!(near.nodes.len(), 4);
    let cut = tasks::graph(&world.db, ids[2], GraphExtent::Near(1)).await.unwrap().unwrap();
    assert!(cut.truncated, "it depends on two");
    let few = tasks::graph(&world.db, ids[2], GraphExtent::All(3)).await.unwrap().unwrap();
    assert!(
        few.truncated && few.nodes.len() == 3 && few.nodes.iter().any(|node| node.id == ids[2])
    );
    let alone = tasks::graph(&world.db, ids[5], GraphExtent::All(3)).await.unwrap().unwrap();
    assert!(alone.nodes.len() == 1 && alone.edges.is_empty());
    let nobody = hostler::domain::TaskId::from_uuid(uuid::Uuid::now_v7());
    assert_eq!(tasks::graph(&world.db, nobody, GraphExtent::All(3)).await.unwrap(), None);
}
