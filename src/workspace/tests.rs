//! Against real repositories of git.

use std::{
    path::Path,
    process::{Child, Command},
};

use serde_json::Value;
use uuid::Uuid;

use super::*;
use crate::domain::{
    plan::Merge,
    task::{FailureClass, Outcome, RunTerms},
    workspace::{Kept, Resolver},
};

mod merges;

/// A journal that knows what every task declared, and keeps nothing.
#[derive(Default)]
pub(crate) struct Declared(pub(crate) Vec<Glob>);

impl Journal for Declared {
    fn declared(&self, _: TaskId) -> BoxFuture<'static, Result<Vec<Glob>, String>> {
        let globs = self.0.clone();
        Box::pin(async move { Ok(globs) })
    }

    fn write(&self, _: WorkspaceRecord) -> BoxFuture<'static, Result<(), String>> {
        Box::pin(async { Ok(()) })
    }

    fn for_person(
        &self,
        _: WorkspaceRecord,
        _: Conflict,
    ) -> BoxFuture<'static, Result<TaskId, String>> {
        Box::pin(async { Ok(person()) })
    }
}

/// The task of a person, whatever the conflict.
fn person() -> TaskId {
    TaskId::from_uuid(Uuid::from_u128(99))
}

/// Makes a repository with one commit on `main` in an empty directory.
pub(crate) fn repository(dir: &Path) {
    git(dir, &["init", "--quiet", "--initial-branch=main"]);
    fs::write(dir.join("a.txt"), "one\n").unwrap();
    git(dir, &["add", "."]);
    git(dir, &["commit", "--quiet", "-m", "first"]);
}

/// Workspaces in `root`.
pub(crate) fn opened(root: &Path, max_disk: Option<u64>, declared: &[&str]) -> Workspaces {
    let bounds = Bounds { max_disk, git_timeout: Duration::from_secs(60), roots: Vec::new() };
    let globs = declared.iter().map(|glob| glob.parse().unwrap()).collect();
    let log = Logger::root(slog::Discard, slog::o!());
    Workspaces::open(root.to_owned(), bounds, Box::new(Declared(globs)), log)
}

fn git(dir: &Path, args: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "user.name=Test", "-c", "user.email=t@localhost"])
        .args(args)
        .current_dir(dir)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A repository with one commit on `main`, and where workspaces go.
struct World {
    dir: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let repo = dir.path().join("repo");
        fs::create_dir(&repo).unwrap();
        repository(&repo);
        Self { dir }
    }

    fn repo(&self) -> PathBuf {
        self.dir.path().join("repo")
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("workspaces")
    }

    fn task(&self, number: u128, branch: &str) -> Assignment {
        let workspace = WorkspaceSpec::new(self.repo(), "main".into(), branch.into());
        Assignment {
            task: TaskId::from_uuid(Uuid::from_u128(number)),
            attempt: Attempt(1),
            failures: 0,
            max_attempts: 1,
            agent: "mock-1".parse().unwrap(),
            queue: "default".parse().unwrap(),
            kind: "work".into(),
            input: Value::Null,
            results: None,
            timeout: None,
            waited: Duration::ZERO,
            frees: false,
            entry: None,
            terms: RunTerms { workspace: Some(workspace), ..RunTerms::default() },
        }
    }
}

/// A fleet without a workspace of its own.
fn fleet() -> Fleet {
    crate::agent::tests::fleet(crate::domain::fleet::Protocol::Exec)
}

async fn made(workspaces: &Workspaces, task: &Assignment) -> Place {
    workspaces.prepare(&fleet(), task).await.unwrap().unwrap()
}

fn done() -> Outcome {
    Outcome::Completed { output: Value::Null }
}

async fn close(workspaces: &Workspaces, task: &Assignment) -> WorkspaceRecord {
    assert_eq!(workspaces.close(task.task, task.attempt, done()).await, done());
    workspaces.records()[&(task.task, task.attempt)].clone()
}

async fn stays(workspaces: &Workspaces) -> Vec<Option<Kept>> {
    workspaces.list().await.items.into_iter().map(|item| item.stays).collect()
}

#[tokio::test]
async fn what_an_agent_left_is_committed_on_a_branch_of_its_own() {
    let world = World::new();
    let workspaces = opened(&world.root(), None, &["src/**"]);
    let task = world.task(7, "feature/{task}");
    let place = made(&workspaces, &task).await;
    assert_eq!(place.branch, "feature/tsk_00000000000000000000000000000007");
    assert_eq!(fs::read_to_string(place.path.join("a.txt")).unwrap(), "one\n");
    assert!(workspaces.is_open(task.task, task.attempt));
    fs::create_dir(place.path.join("src")).unwrap();
    fs::write(place.path.join("src/new.rs"), "x").unwrap();
    fs::write(place.path.join("a.txt"), "two\n").unwrap();
    let before = git(&world.repo(), &["status", "--porcelain"]);

    let record = close(&workspaces, &task).await;
    assert!(!workspaces.is_open(task.task, task.attempt));
    assert_eq!((record.left_over, record.changed), (true, 2));
    assert_eq!((record.outside, record.outside_count), (vec!["a.txt".to_owned()], 1));
    assert_eq!(record.problem, None);
    let branch = git(&world.repo(), &["rev-parse", &place.branch]);
    assert_eq!(record.commit, Some(branch));
    let text = git(&world.repo(), &["log", "-1", "--format=%an%n%B", &place.branch]);
    assert!(text.starts_with("Hostler agent mock-1\n"), "{text}");
    assert!(text.contains("Hostler-Task: tsk_00000000000000000000000000000007"), "{text}");
    // What a person has checked out is as it was.
    assert_eq!(git(&world.repo(), &["status", "--porcelain"]), before);
    assert_eq!(fs::read_to_string(world.repo().join("a.txt")).unwrap(), "one\n");
}

#[tokio::test]
async fn a_name_that_holds_unmerged_work_is_not_taken_again() {
    let world = World::new();
    let workspaces = opened(&world.root(), None, &[]);
    let first = world.task(1, "same");
    let place = made(&workspaces, &first).await;
    fs::write(place.path.join("b.txt"), "b").unwrap();
    close(&workspaces, &first).await;
    let second = world.task(2, "same");
    assert_eq!(made(&workspaces, &second).await.branch, "same.2");
    assert_eq!(git(&world.repo(), &["show", "same:b.txt"]), "b");
}

/// Each thing that keeps a worktree, by itself; and at last it goes, and its branch stays.
#[tokio::test]
async fn a_worktree_is_removed_only_when_nothing_speaks_for_it() {
    let world = World::new();
    let workspaces = opened(&world.root(), None, &[]);
    let task = world.task(7, "b");
    let place = made(&workspaces, &task).await;
    let tree = place.path.to_str().unwrap();
    let nothing_goes = async |why: Kept| {
        assert_eq!(stays(&workspaces).await, [Some(why)]);
        assert!(workspaces.prune(false).await.removed.is_empty());
        assert!(place.path.exists());
    };
    nothing_goes(Kept::AtWork).await;
    fs::write(place.path.join("b.txt"), "b").unwrap();
    close(&workspaces, &task).await;
    nothing_goes(Kept::Unmerged).await;

    git(&world.repo(), &["merge", "--quiet", "--ff-only", "b"]);
    assert_eq!(stays(&workspaces).await, [None]);
    fs::write(place.path.join("c.txt"), "c").unwrap();
    nothing_goes(Kept::Uncommitted).await;
    fs::remove_file(place.path.join("c.txt")).unwrap();

    git(&world.repo(), &["worktree", "lock", tree]);
    nothing_goes(Kept::Locked).await;
    git(&world.repo(), &["worktree", "unlock", tree]);

    let mut child: Child =
        Command::new("sleep").arg("600").current_dir(&place.path).spawn().unwrap();
    nothing_goes(Kept::Processes(vec![child.id()])).await;
    child.kill().unwrap();
    child.wait().unwrap();

    assert_eq!(workspaces.prune(true).await.removed.len(), 1);
    assert!(place.path.exists(), "a dry run removes nothing");
    let pruning = workspaces.prune(false).await;
    assert_eq!((pruning.removed.len(), pruning.kept.len()), (1, 0));
    assert!(!place.path.exists());
    assert!(!world.root().join(task.task.to_string()).exists());
    assert_eq!(git(&world.repo(), &["show", "b:b.txt"]), "b");
    assert!(!git(&world.repo(), &["worktree", "list"]).contains("workspaces"));
}

#[tokio::test]
async fn without_room_what_is_merged_goes_and_then_tasks_are_put_off() {
    let world = World::new();
    let workspaces = opened(&world.root(), Some(1), &[]);
    let fleet = crate::agent::tests::fleet(crate::domain::fleet::Protocol::Exec);
    let empty = world.task(1, "{task}");
    made(&workspaces, &empty).await;
    let error = workspaces.prepare(&fleet, &world.task(2, "{task}")).await.unwrap_err();
    assert!(error.may_pass(), "{error}");
    close(&workspaces, &empty).await;
    // Nothing was changed in it: it goes, and its branch with it.
    let next = world.task(3, "{task}");
    let place = made(&workspaces, &next).await;
    assert_eq!(workspaces.list().await.items.len(), 1);
    let branches = git(&world.repo(), &["branch", "--format=%(refname:short)"]);
    assert_eq!(branches.lines().collect::<Vec<_>>(), ["main", &*place.branch]);
}

#[tokio::test]
async fn a_host_that_comes_after_closes_what_nobody_works_in() {
    let world = World::new();
    let (kept, left) = (world.task(1, "{task}"), world.task(2, "{task}"));
    {
        let workspaces = opened(&world.root(), None, &[]);
        made(&workspaces, &kept).await;
        let place = made(&workspaces, &left).await;
        fs::write(place.path.join("half.txt"), "half").unwrap();
    }
    let workspaces = opened(&world.root(), None, &[]);
    workspaces.close_others(&[(kept.task, kept.attempt)]).await;
    assert!(workspaces.is_open(kept.task, kept.attempt));
    assert!(!workspaces.is_open(left.task, left.attempt));
    let branch = left.task.to_string();
    assert_eq!(git(&world.repo(), &["show", &format!("{branch}:half.txt")]), "half");
}

#[tokio::test]
async fn many_at_once_do_not_get_in_each_others_way() {
    let world = World::new();
    let workspaces = opened(&world.root(), None, &[]);
    let all = (1..=8).map(|number| {
        let (workspaces, task) = (workspaces.clone(), world.task(number, "same"));
        async move {
            let place = made(&workspaces, &task).await;
            fs::write(place.path.join(format!("{number}.txt")), "x").unwrap();
            close(&workspaces, &task).await.place.branch
        }
    });
    let mut branches = futures_util::future::join_all(all).await;
    branches.sort();
    branches.dedup();
    assert_eq!(branches.len(), 8);
}

#[tokio::test]
async fn what_can_not_be_made_says_why_and_leaves_nothing() {
    let world = World::new();
    let workspaces = opened(&world.root(), None, &[]);
    let fleet = crate::agent::tests::fleet(crate::domain::fleet::Protocol::Exec);
    let mut task = world.task(1, "b");
    let spec = task.terms.workspace.as_mut().unwrap();
    spec.base = "nowhere".to_owned();
    let error = workspaces.prepare(&fleet, &task).await.unwrap_err();
    assert!(error.to_string().contains("no commit `nowhere`"), "{error}");
    task.terms.workspace.as_mut().unwrap().git = world.dir.path().to_owned();
    let error = workspaces.prepare(&fleet, &task).await.unwrap_err();
    assert!(error.to_string().contains("rev-parse"), "{error}");
    assert!(workspaces.list().await.items.is_empty());
    // A commit that can't be made fails the attempt, and says where the work is.
    let task = world.task(2, "b");
    let place = made(&workspaces, &task).await;
    fs::write(place.path.join(".git"), "gitdir: /nowhere\n").unwrap();
    let outcome = workspaces.close(task.task, task.attempt, done()).await;
    let Outcome::Failed { message, .. } = outcome else { panic!("{outcome:?}") };
    assert!(message.contains(place.path.to_str().unwrap()), "{message}");
    assert!(matches!(stays(&workspaces).await[..], [Some(Kept::Unknown(_))]));
}
