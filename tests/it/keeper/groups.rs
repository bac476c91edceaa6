//! Control groups: what an agent forks can't leave them. Where none can be made, as on most machines
//! of people without root, these tests say so and end.

use std::{
    fs,
    path::{Path, PathBuf},
};

use hostler::{
    domain::fleet::Limits,
    process::{Exit, Processes, own_cgroup},
};
use uuid::Uuid;

use super::world::{World, in_time, kill_9, runs};

/// A group of a test's own, removed when dropped.
struct Base(PathBuf);

impl Base {
    /// `None` where this machine lets nobody make one; says so.
    fn make() -> Option<Self> {
        let made = own_cgroup().ok_or("no cgroup v2 is mounted".to_owned()).and_then(|own| {
            let path = own.join(format!("hostler-test-{}", Uuid::new_v4()));
            fs::create_dir(&path).map(|()| Self(path)).map_err(|error| error.to_string())
        });
        made.inspect_err(|why| eprintln!("skipped: no control group can be made here: {why}")).ok()
    }

    fn is_empty(&self) -> bool {
        !fs::read_dir(&self.0).unwrap().any(|entry| entry.unwrap().file_type().unwrap().is_dir())
    }
}

impl Drop for Base {
    fn drop(&mut self) {
        // Not empty after a failed test.
        fs::remove_dir(&self.0).ok();
    }
}

/// Forks a daemon that nothing but its control group tells whose it is: it has left its session, its
/// parent is gone, and its environment is empty. Prints its pid.
const NOBODYS: &str = "setsid env -i sh -c '(sleep 1000 & echo $!)'";

async fn until(what: impl Fn() -> bool) {
    in_time(async {
        while !what() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_daemon_without_any_mark_is_gone_when_the_end_is_told() {
    let Some(base) = Base::make() else { return };
    let world = World::with_groups(Some(base.0.clone())).await;
    let mut agent = world.spawn(world.sh(&format!("cat /proc/self/cgroup; {NOBODYS}"))).await;
    let mut line = agent.line().await.unwrap();
    while !line.starts_with("0::") {
        line = agent.line().await.unwrap();
    }
    assert!(line.ends_with(&format!("/{}", agent.spawned.id)), "{line}");
    let daemon = agent.number().await;
    let ended = agent.ended().await;
    assert_eq!((ended.exit, ended.survived), (Exit::Code(0), 0));
    assert!(!runs(daemon));
    world.end().await;
    assert!(base.is_empty(), "no group is left behind");
}

#[tokio::test]
async fn a_kill_ends_what_has_left_while_its_leader_lives() {
    let Some(base) = Base::make() else { return };
    let world = World::with_groups(Some(base.0.clone())).await;
    let script = format!("trap '' TERM; {NOBODYS}; kill -STOP $$; sleep 1000");
    let mut agent = world.spawn(world.sh(&script)).await;
    let daemon = agent.number().await;
    assert!(runs(daemon));
    world.keeper.kill(agent.spawned.id);
    assert_eq!(agent.ended().await.exit, Exit::Signal(9));
    assert!(!runs(daemon));
    world.end().await;
    assert!(base.is_empty());
}

#[tokio::test]
async fn what_a_killed_keeper_had_in_its_groups_is_gone_when_that_is_told() {
    let Some(base) = Base::make() else { return };
    let world = World::with_groups(Some(base.0.clone())).await;
    let mut agent = world.spawn(world.sh(&format!("{NOBODYS}; sleep 1000"))).await;
    let daemon = agent.number().await;
    kill_9(world.keeper.pid().unwrap());
    assert_eq!(agent.ended().await.exit, Exit::Lost);
    assert!(!runs(daemon));
    until(|| world.keeper.pid().is_some()).await;
    world.end().await;
    assert!(base.is_empty());
}

#[tokio::test]
async fn a_group_ends_with_its_own_agent_alone() {
    let Some(base) = Base::make() else { return };
    let world = World::with_groups(Some(base.0.clone())).await;
    let mut first = world.spawn(world.sh(NOBODYS)).await;
    let mut second = world.spawn(world.sh(&format!("{NOBODYS}; sleep 1000"))).await;
    let (first_daemon, second_daemon) = (first.number().await, second.number().await);
    first.ended().await;
    assert!(!runs(first_daemon) && runs(second_daemon));
    world.keeper.kill(second.spawned.id);
    second.ended().await;
    world.end().await;
}

/// Whether the groups of a test have that controller; says so where they do not.
fn has(base: &Base, controller: &str) -> bool {
    let parent = base.0.parent().unwrap_or(Path::new("/"));
    let listed = fs::read_to_string(parent.join("cgroup.controllers")).unwrap_or_default();
    let has = listed.split_whitespace().any(|word| word == controller);
    if !has {
        eprintln!("skipped: no {controller} controller of cgroup v2 here");
    }
    has
}

#[tokio::test]
async fn a_process_that_takes_more_memory_than_its_group_may_is_told_so() {
    let Some(base) = Base::make() else { return };
    if !has(&base, "memory") {
        return;
    }
    let world = World::with_groups(Some(base.0.clone())).await;
    let mut spec = world.sh("x=a; while :; do x=$x$x; done");
    spec.limits = Limits { group_memory: Some(32 << 20), ..Limits::default() };
    let ended = world.spawn(spec).await.ended().await;
    assert_eq!((ended.exit, ended.out_of_memory), (Exit::Signal(9), true));
    world.end().await;
}

#[tokio::test]
async fn a_group_has_no_more_processes_than_it_may() {
    let Some(base) = Base::make() else { return };
    if !has(&base, "pids") {
        return;
    }
    let world = World::with_groups(Some(base.0.clone())).await;
    let mut spec = world.sh("b() { b | b & }; b; sleep 1000");
    spec.limits = Limits { group_processes: Some(30), ..Limits::default() };
    let agent = world.spawn(spec).await;
    until(|| world.alive().len() > 20).await;
    assert!(world.alive().len() <= 30);
    world.keeper.kill(agent.spawned.id);
    agent.ended().await;
    world.end().await;
}

/// Without the controller of it the kernel counts the processes of a user; root's are not counted.
#[tokio::test]
async fn a_fork_bomb_under_a_limit_is_gone_with_its_agent() {
    const USER: &str = "games";
    let is_there = nix::unistd::User::from_name(USER).is_ok_and(|user| user.is_some());
    if !nix::unistd::geteuid().is_root() || !is_there {
        eprintln!("skipped: only root can run it as another user");
        return;
    }
    for groups in [None, Base::make()] {
        let world = World::with_groups(groups.as_ref().map(|base| base.0.clone())).await;
        // The shell gives up at its first fork that fails; all that it forked has left it by then.
        let mut spec = world.sh("while :; do setsid sleep 1000 & done");
        spec.user = Some(USER.to_owned());
        spec.limits = Limits { processes: Some(64), ..Limits::default() };
        let ended = world.spawn(spec).await.ended().await;
        // How many the sweep finds is a matter of time: a group takes them all with it at once.
        assert!(matches!(ended.exit, Exit::Code(1..)), "{ended:?}");
        assert_eq!(ended.survived, 0);
        assert_eq!(world.alive(), Vec::<u32>::new());
        world.end().await;
    }
}
