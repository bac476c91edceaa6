//! Merges: at once, in their turn, and with conflicts.

use super::*;

/// A task that is merged into the branch `all`, and writes one file.
async fn merged(
    world: &World,
    workspaces: &Workspaces,
    (number, attempt): (u128, u32),
    merge: Merge,
    (file, text): (&str, &str),
) -> (Outcome, WorkspaceRecord) {
    let mut task = world.task(number, "{task}");
    task.attempt = Attempt(attempt);
    let spec = task.terms.workspace.as_mut().unwrap();
    (spec.into, spec.merge) = (Some("all".into()), merge);
    let place = made(workspaces, &task).await;
    fs::write(place.path.join(file), text).unwrap();
    finished(workspaces, &task).await
}

async fn finished(workspaces: &Workspaces, task: &Assignment) -> (Outcome, WorkspaceRecord) {
    let outcome = workspaces.close(task.task, task.attempt, done()).await;
    (outcome, workspaces.records()[&(task.task, task.attempt)].clone())
}

fn apart(world: &World, number: u128, merge: Merge) -> Assignment {
    let mut task = world.task(number, "{task}");
    let spec = task.terms.workspace.as_mut().unwrap();
    (spec.into, spec.merge) = (Some("all".into()), merge);
    task
}

#[tokio::test]
async fn what_is_done_is_merged_rebased_or_left() {
    let world = World::new();
    let workspaces = opened(&world.root(), None, &[]);
    let (side, line) = (apart(&world, 8, Merge::Merge), apart(&world, 9, Merge::Rebase));
    let places = [made(&workspaces, &side).await, made(&workspaces, &line).await];
    let first = merged(&world, &workspaces, (1, 1), Merge::Merge, ("1.txt", "1")).await;
    assert_eq!(first.0, done());
    assert_eq!(git(&world.repo(), &["rev-parse", "all"]), first.1.merged.unwrap());
    fs::write(places[0].path.join("side.txt"), "side").unwrap();
    fs::write(places[1].path.join("line.txt"), "line").unwrap();
    assert_eq!(finished(&workspaces, &side).await.0, done());
    assert_eq!(finished(&workspaces, &line).await.0, done());
    let left = merged(&world, &workspaces, (3, 1), Merge::Leave, ("left.txt", "left")).await;
    assert_eq!((left.0, left.1.merged), (done(), None));
    let files = git(&world.repo(), &["ls-tree", "-r", "--name-only", "all"]);
    assert_eq!(files.lines().collect::<Vec<_>>(), ["1.txt", "a.txt", "line.txt", "side.txt"]);
    // One commit that joins two, and the rebased one on top of it.
    assert_eq!(git(&world.repo(), &["rev-list", "--merges", "--count", "all"]), "1");
    assert_eq!(git(&world.repo(), &["diff", "--name-only", "all^", "all"]), "line.txt");
    // What is merged may go, though it is not in `main`.
    let stays: Vec<_> =
        workspaces.list().await.items.into_iter().filter(|it| it.stays.is_some()).collect();
    assert_eq!(stays.len(), 1);
    assert_eq!(stays[0].workspace.task, left.1.task);
}

#[tokio::test]
async fn a_conflict_is_what_the_next_attempt_gets() {
    for merge in [Merge::Merge, Merge::Rebase] {
        let world = World::new();
        let workspaces = opened(&world.root(), None, &[]);
        let task = apart(&world, 9, merge);
        let place = made(&workspaces, &task).await;
        merged(&world, &workspaces, (1, 1), Merge::Merge, ("a.txt", "theirs\n")).await;
        fs::write(place.path.join("a.txt"), "ours\n").unwrap();
        fs::write(place.path.join("own.txt"), "own").unwrap();
        let (outcome, record) = finished(&workspaces, &task).await;
        let Outcome::Failed { class: FailureClass::Task, message, detail } = outcome else {
            panic!("{outcome:?}");
        };
        assert!(message.contains("a.txt"), "{message}");
        assert_eq!(detail["conflict"]["files"], serde_json::json!(["a.txt"]));
        assert_eq!(git(&world.repo(), &["show", "all:a.txt"]), "theirs");
        assert_eq!(record.merged, None);

        // It has the marks; and whoever leaves them has resolved nothing.
        let second = Assignment { attempt: Attempt(2), ..task.clone() };
        let place = made(&workspaces, &second).await;
        assert_eq!(place.conflict.as_ref().unwrap().files, ["a.txt"]);
        let text = fs::read_to_string(place.path.join("a.txt")).unwrap();
        assert!(
            text.contains("<<<<<<<") && text.contains("ours") && text.contains("theirs"),
            "{text}"
        );
        assert_eq!(fs::read_to_string(place.path.join("own.txt")).unwrap(), "own");
        let (outcome, _) = finished(&workspaces, &second).await;
        assert!(matches!(outcome, Outcome::Failed { .. }), "{outcome:?}");
        assert_eq!(git(&world.repo(), &["show", "all:a.txt"]), "theirs");

        // The third begins anew from what the first made, and resolves it.
        let third = Assignment { attempt: Attempt(3), ..task.clone() };
        let place = made(&workspaces, &third).await;
        fs::write(place.path.join("a.txt"), "both\n").unwrap();
        let (outcome, record) = finished(&workspaces, &third).await;
        assert_eq!((outcome, record.unresolved), (done(), None));
        assert_eq!(git(&world.repo(), &["show", "all:a.txt"]), "both");
        assert_eq!(git(&world.repo(), &["show", "all:own.txt"]), "own");
    }
}

#[tokio::test]
async fn a_branch_that_somebody_has_checked_out_is_not_moved() {
    let world = World::new();
    let workspaces = opened(&world.root(), None, &[]);
    let fleet = fleet();
    let (early, late) = (apart(&world, 1, Merge::Merge), apart(&world, 2, Merge::Merge));
    let place = made(&workspaces, &early).await;
    git(&world.repo(), &["checkout", "--quiet", "-b", "all"]);
    let before = git(&world.repo(), &["rev-parse", "all"]);
    fs::write(place.path.join("1.txt"), "1").unwrap();
    let (outcome, record) = finished(&workspaces, &early).await;
    assert!(matches!(outcome, Outcome::Failed { .. }), "{outcome:?}");
    assert!(record.problem.unwrap().contains("checked out"));
    assert_eq!(git(&world.repo(), &["rev-parse", "all"]), before);
    // And no agent works for what could not be merged: the task is put off.
    let error = workspaces.prepare(&fleet, &late).await.unwrap_err();
    assert!(error.may_pass() && error.to_string().contains("checked out in"), "{error}");
}

#[tokio::test]
async fn what_is_merged_into_is_a_branch() {
    let world = World::new();
    let workspaces = opened(&world.root(), None, &[]);
    let fleet = fleet();
    let mut task = world.task(1, "{task}");
    let spec = task.terms.workspace.take().unwrap();
    let spec = WorkspaceSpec { base: git(&world.repo(), &["rev-parse", "main"]), ..spec };
    task.terms.workspace = Some(spec.merged(Merge::Merge, None, Resolver::Agent));
    let error = workspaces.prepare(&fleet, &task).await.unwrap_err();
    assert!(error.to_string().contains("is no branch"), "{error}");
}

/// The turn of a task that is merged into `all`.
fn in_turn(world: &World, number: u128, on_conflict: Resolver) -> Assignment {
    let mut task = apart(world, number, Merge::Merge);
    let spec = task.terms.workspace.as_mut().unwrap();
    spec.turn = Some(TaskId::from_uuid(Uuid::from_u128(number + 100)));
    spec.on_conflict = on_conflict;
    task
}

#[tokio::test]
async fn what_has_a_turn_waits_for_it_also_over_the_end_of_a_host() {
    let world = World::new();
    let workspaces = opened(&world.root(), None, &[]);
    let task = in_turn(&world, 1, Resolver::Agent);
    let place = made(&workspaces, &task).await;
    fs::write(place.path.join("1.txt"), "1").unwrap();
    let (outcome, record) = finished(&workspaces, &task).await;
    assert_eq!((outcome, record.merged, record.waiting), (done(), None, true));
    workspaces.more_waits().await;

    let workspaces = opened(&world.root(), None, &[]);
    let [waiting] = workspaces.waiting()[..] else { panic!("one waits") };
    assert_eq!((waiting.task, waiting.turn.as_uuid().as_u128()), (task.task, 101));
    let Turned::Merged(commit) = workspaces.take_turn(&waiting).await.unwrap() else {
        panic!("it is merged")
    };
    assert_eq!(git(&world.repo(), &["show", "all:1.txt"]), "1");
    // Taken once more, because nobody was told: it is merged once.
    assert_eq!(workspaces.take_turn(&waiting).await.unwrap(), Turned::Merged(commit));
    workspaces.told(&waiting).await.unwrap();
    assert_eq!(workspaces.waiting(), []);
    // What failed has no turn.
    let task = in_turn(&world, 2, Resolver::Agent);
    made(&workspaces, &task).await;
    let failed = Outcome::failed(FailureClass::Task, "no");
    workspaces.close(task.task, task.attempt, failed).await;
    assert_eq!(workspaces.waiting(), []);
}

#[tokio::test]
async fn a_turn_that_comes_to_nothing_is_tried_again() {
    let world = World::new();
    let workspaces = opened(&world.root(), None, &[]);
    git(&world.repo(), &["checkout", "--quiet", "-b", "all"]);
    let task = in_turn(&world, 1, Resolver::Agent);
    let place = made(&workspaces, &task).await;
    fs::write(place.path.join("1.txt"), "1").unwrap();
    finished(&workspaces, &task).await;
    let waiting = workspaces.waiting()[0];
    workspaces.take_turn(&waiting).await.unwrap_err();
    let stuck = workspaces.records()[&(task.task, task.attempt)].stuck.clone();
    assert!(stuck.unwrap().contains("checked out"));
    git(&world.repo(), &["checkout", "--quiet", "main"]);
    assert!(matches!(workspaces.take_turn(&waiting).await, Ok(Turned::Merged(_))));
    assert_eq!(workspaces.records()[&(task.task, task.attempt)].stuck, None);
}

/// What a person finds, and what becomes of what they leave.
async fn resolved_by_hand(workspaces: &Workspaces, world: &World, turn: TaskId, place: &Place) {
    let file = place.path.join("a.txt");
    assert!(fs::read_to_string(&file).unwrap().contains("<<<<<<<"));
    let error = workspaces.resolve(turn).await.unwrap_err();
    assert!(matches!(&error, ResolveError::Marked { files, .. } if files == "a.txt"), "{error}");
    // Others go on meanwhile, and change the same once more.
    merged(world, workspaces, (50, 1), Merge::Merge, ("a.txt", "once more\n")).await;
    fs::write(&file, "both\n").unwrap();
    let error = workspaces.resolve(turn).await.unwrap_err();
    assert!(matches!(error, ResolveError::Again { .. }), "{error}");
    assert!(fs::read_to_string(&file).unwrap().contains("once more"));
    fs::write(&file, "all three\n").unwrap();
    let (of, commit) = workspaces.resolve(turn).await.unwrap();
    assert_eq!((of, commit), (turn, git(&world.repo(), &["rev-parse", "all"])));
    assert_eq!(git(&world.repo(), &["show", "all:a.txt"]), "all three");
    // Said again, because nobody was told: it is as it was.
    assert_eq!(workspaces.resolve(turn).await.unwrap().0, turn);
    workspaces.resolved(turn).await.unwrap();
    let error = workspaces.resolve(turn).await.unwrap_err();
    assert!(matches!(error, ResolveError::NotHere { .. }), "{error}");
}

#[tokio::test]
async fn a_person_resolves_a_conflict_of_a_turn_in_the_worktree() {
    let world = World::new();
    let workspaces = opened(&world.root(), None, &[]);
    let task = in_turn(&world, 1, Resolver::Person);
    let place = made(&workspaces, &task).await;
    merged(&world, &workspaces, (2, 1), Merge::Merge, ("a.txt", "theirs\n")).await;
    fs::write(place.path.join("a.txt"), "ours\n").unwrap();
    finished(&workspaces, &task).await;
    let waiting = workspaces.waiting()[0];
    for _ in 0..2 {
        let Turned::Conflict(_, conflict) = workspaces.take_turn(&waiting).await.unwrap() else {
            panic!("both changed the file")
        };
        assert_eq!(conflict.files, ["a.txt"]);
    }
    workspaces.told(&waiting).await.unwrap();
    resolved_by_hand(&workspaces, &world, waiting.turn, &place).await;
}

#[tokio::test]
async fn a_person_is_asked_about_a_conflict_of_a_task_that_stands_alone() {
    let world = World::new();
    let workspaces = opened(&world.root(), None, &[]);
    let mut task = apart(&world, 1, Merge::Merge);
    task.terms.workspace.as_mut().unwrap().on_conflict = Resolver::Person;
    let place = made(&workspaces, &task).await;
    merged(&world, &workspaces, (2, 1), Merge::Merge, ("a.txt", "theirs\n")).await;
    fs::write(place.path.join("a.txt"), "ours\n").unwrap();
    let (outcome, record) = finished(&workspaces, &task).await;
    // The agent has done its work.
    assert_eq!((outcome, record.turn), (done(), Some(person())));
    assert_eq!(workspaces.waiting(), []);
    resolved_by_hand(&workspaces, &world, person(), &place).await;
}

#[tokio::test]
async fn a_task_that_is_made_of_a_conflict_begins_with_it() {
    let world = World::new();
    let workspaces = opened(&world.root(), None, &[]);
    let task = in_turn(&world, 1, Resolver::Agent);
    let place = made(&workspaces, &task).await;
    merged(&world, &workspaces, (2, 1), Merge::Merge, ("a.txt", "theirs\n")).await;
    fs::write(place.path.join("a.txt"), "ours\n").unwrap();
    finished(&workspaces, &task).await;
    let Turned::Conflict(_, conflict) =
        workspaces.take_turn(&workspaces.waiting()[0]).await.unwrap()
    else {
        panic!("both changed the file")
    };
    // On any host: it is all in the task.
    let elsewhere = opened(&world.dir.path().join("elsewhere"), None, &[]);
    let mut resolving = apart(&world, 101, Merge::Merge);
    resolving.terms.workspace.as_mut().unwrap().conflict = Some(conflict);
    let place = made(&elsewhere, &resolving).await;
    assert_eq!(place.conflict.as_ref().unwrap().files, ["a.txt"]);
    fs::write(place.path.join("a.txt"), "both\n").unwrap();
    assert_eq!(finished(&elsewhere, &resolving).await.0, done());
    assert_eq!(git(&world.repo(), &["show", "all:a.txt"]), "both");
}
