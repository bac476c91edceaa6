//! How processes end: by themselves, by a signal, with all that they forked, with their keeper.

use std::{collections::HashSet, fs};

use futures_util::{FutureExt, future::join_all};
use hostler::{
    domain::fleet::StopSignal,
    process::{Exit, Keeper, Processes, SpawnError},
};
use slog::{Discard, Logger, o};

use super::world::{World, in_time, kill_9, runs, spec, start};

#[tokio::test]
async fn status_signal_and_usage_are_told() {
    let world = World::new().await;
    for (script, exit) in [
        ("exit 0", Exit::Code(0)),
        ("exit 3", Exit::Code(3)),
        ("kill -TERM $$", Exit::Signal(15)),
        ("kill -40 $$", Exit::Signal(40)),
    ] {
        let ended = world.spawn(world.sh(script)).await.ended().await;
        assert_eq!((ended.exit, ended.swept, ended.survived), (exit, 0, 0), "{script}");
        assert!(ended.usage.max_rss_bytes > 100_000, "{ended:?}");
    }
    let busy = world.sh("i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done");
    let ended = world.spawn(busy).await.ended().await;
    assert!(ended.usage.user_us > 1_000, "{ended:?}");
    world.end().await;
}

#[tokio::test]
async fn a_daemonised_grandchild_is_gone_when_the_end_is_told() {
    let world = World::new().await;
    // A double fork, a session of its own, HUP ignored, and it holds stdout.
    let mut agent = world
        .spawn(world.sh(
            "(setsid nohup sh -c 'trap \"\" TERM; echo $$; exec sleep 1000' &); exec sleep 1000",
        ))
        .await;
    let daemon = agent.number().await;
    assert!(runs(daemon) && daemon != agent.spawned.pid);
    world.keeper.kill(agent.spawned.id);
    let ended = agent.ended().await;
    assert!(!runs(daemon));
    assert_eq!((ended.swept, ended.survived), (1, 0));
    world.end().await;
}

#[tokio::test]
async fn a_tree_of_daemons_is_swept_to_its_leaves() {
    let world = World::new().await;
    let script = world.path("tree");
    let text = "[ $1 = 0 ] && echo $$ && exec sleep 1000; setsid sh $0 $(($1 - 1)) & wait";
    fs::write(&script, text).unwrap();
    let mut agent = world.spawn(world.sh(&format!("sh {} 4", script.display()))).await;
    let leaf = agent.number().await;
    assert!(runs(leaf));
    world.keeper.kill(agent.spawned.id);
    agent.ended().await;
    assert!(!runs(leaf));
    assert_eq!(world.alive(), Vec::<u32>::new());
    world.end().await;
}

/// In the middle of an `execve` a process has no environment, and so no mark.
#[tokio::test]
async fn daemons_that_become_other_programs_all_the_time_are_found() {
    let world = World::new().await;
    let script = "for n in 1 2 3 4; do \
        (setsid sh -c 'echo $$; exec sh -c \"$0\" \"$0\"' 'exec sh -c \"$0\" \"$0\"' &); \
        done; exec sleep 1000";
    for round in 0..6 {
        let mut agent = world.spawn(world.sh(script)).await;
        let mut daemons = Vec::new();
        for _ in 0..4 {
            daemons.push(agent.number().await);
        }
        assert!(daemons.iter().all(|daemon| runs(*daemon)));
        if round < 5 {
            world.keeper.kill(agent.spawned.id);
            let ended = agent.ended().await;
            assert_eq!((ended.swept, ended.survived), (4, 0), "round {round}");
        } else {
            // And where their keeper is gone, too.
            kill_9(world.keeper.pid().unwrap());
            assert_eq!(agent.ended().await.exit, Exit::Lost);
        }
        assert!(!daemons.iter().any(|daemon| runs(*daemon)), "round {round}");
    }
    world.end().await;
}

#[tokio::test]
async fn a_descendant_that_erased_its_mark_is_known_by_its_session() {
    let world = World::new().await;
    let mut agent = world
        .spawn(world.sh("set -m; env -i /bin/sh -c 'echo $$; exec sleep 1000' & exec sleep 1000"))
        .await;
    let hidden = agent.number().await;
    assert!(runs(hidden));
    world.keeper.kill(agent.spawned.id);
    agent.ended().await;
    assert!(!runs(hidden));
    world.end().await;
}

#[tokio::test]
async fn an_end_is_told_by_the_pid_though_a_descendant_holds_stdout() {
    let world = World::new().await;
    let mut agent = world.spawn(world.sh("trap '' HUP; sleep 1000 & echo $!; exit 5")).await;
    let member = agent.number().await;
    // It was in the group, so it did not outlive the leader, and was not swept after it.
    assert_eq!(agent.line().await, None);
    let ended = agent.ended().await;
    assert_eq!((ended.exit, ended.swept), (Exit::Code(5), 0));
    assert!(!runs(member));
    world.end().await;
}

#[tokio::test]
async fn daemons_of_one_agent_live_on_while_another_ends() {
    let world = World::new().await;
    let script = "(setsid sh -c 'echo $$; exec sleep 1000' &); exec sleep 1000";
    let mut one = world.spawn(world.sh(script)).await;
    let mut two = world.spawn(world.sh(script)).await;
    let (of_one, of_two) = (one.number().await, two.number().await);
    world.keeper.kill(one.spawned.id);
    assert_eq!(one.ended().await.swept, 1);
    assert!(!runs(of_one) && runs(of_two) && runs(two.spawned.pid));
    world.keeper.kill(two.spawned.id);
    assert_eq!(two.ended().await.swept, 1);
    world.end().await;
}

#[tokio::test]
async fn the_stop_signal_reaches_the_whole_group_and_a_stopped_one() {
    let world = World::new().await;
    // Of the four, a shell lets its background children hear only these.
    for (signal, name) in [(StopSignal::Sigterm, "TERM"), (StopSignal::Sighup, "HUP")] {
        let script = format!(
            "(trap 'echo child; exit' {name}; echo ready; while :; do sleep 0.01; done) & \
             trap 'wait; echo parent; exit 7' {name}; echo ready; wait"
        );
        let mut agent = world.spawn(world.sh(&script)).await;
        let ready = Some("ready".to_owned());
        assert_eq!((agent.line().await, agent.line().await), (ready.clone(), ready));
        world.keeper.signal(agent.spawned.id, signal);
        let lines: HashSet<_> = agent.rest().await.into_iter().collect();
        assert_eq!(lines, HashSet::from(["child".to_owned(), "parent".to_owned()]));
        assert_eq!(agent.ended().await.exit, Exit::Code(7));
    }
    for (signal, number) in [
        (StopSignal::Sigterm, 15),
        (StopSignal::Sigint, 2),
        (StopSignal::Sighup, 1),
        (StopSignal::Sigquit, 3),
    ] {
        let mut stopped = world.spawn(world.sh("echo ready; kill -STOP $$; exec sleep 1000")).await;
        stopped.line().await;
        world.keeper.signal(stopped.spawned.id, signal);
        assert_eq!(stopped.ended().await.exit, Exit::Signal(number));
    }
    world.end().await;
}

#[tokio::test]
async fn kill_ends_what_ignores_signals_and_what_is_stopped() {
    let world = World::new().await;
    for script in [
        "trap '' TERM INT HUP QUIT; echo ready; while :; do sleep 1000; done",
        "echo ready; kill -STOP $$",
    ] {
        let mut agent = world.spawn(world.sh(script)).await;
        agent.line().await;
        world.keeper.kill(agent.spawned.id);
        assert_eq!(agent.ended().await.exit, Exit::Signal(9), "{script}");
    }
    world.end().await;
}

#[tokio::test]
async fn two_hundred_killed_at_once_are_all_told() {
    let world = World::new().await;
    let spawned = join_all((0..200).map(|_| world.spawn(world.sh("exec sleep 1000")))).await;
    let pids: HashSet<_> = spawned.iter().map(|agent| agent.spawned.pid).collect();
    let ids: HashSet<_> = spawned.iter().map(|agent| agent.spawned.id).collect();
    assert_eq!((pids.len(), ids.len()), (200, 200));
    for agent in &spawned {
        world.keeper.kill(agent.spawned.id);
    }
    for ended in join_all(spawned.into_iter().map(|agent| agent.ended())).await {
        assert_eq!(ended.exit, Exit::Signal(9));
    }
    world.end().await;
}

#[tokio::test]
async fn agents_die_with_their_keeper_and_another_takes_its_place() {
    let world = World::new().await;
    let first = world.keeper.pid().unwrap();
    let mut agent = world
        .spawn(world.sh("(setsid nohup sh -c 'echo $$; exec sleep 1000' &); exec sleep 1000"))
        .await;
    let (leader, daemon, id) = (agent.spawned.pid, agent.number().await, agent.spawned.id);
    kill_9(first);
    assert_eq!(agent.ended().await.exit, Exit::Lost);
    assert!(!runs(leader) && !runs(daemon));
    assert_eq!(world.alive(), Vec::<u32>::new());

    // Asked while there is no keeper, it waits for the next.
    let next = world.spawn(world.sh("exit 4")).await;
    assert!(next.spawned.id > id);
    assert_eq!(next.ended().await.exit, Exit::Code(4));
    assert!(world.keeper.pid().is_some_and(|pid| pid != first));
    world.end().await;
}

#[tokio::test]
async fn a_spawn_that_nobody_waits_for_is_ended() {
    let world = World::new().await;
    let unseen = world.keeper.spawn(world.sh("exec sleep 1000"));
    let seen = world.keeper.spawn(world.sh("exit 0"));
    // One poll sends the request; then the future is dropped.
    assert!(unseen.now_or_never().is_none());
    in_time(in_time(seen).await.unwrap().ended).await.unwrap();
    // The keeper answers in order: the kill came before this.
    in_time(world.spawn(world.sh("exit 0")).await.ended()).await;
    assert_eq!(world.alive(), Vec::<u32>::new());
    world.end().await;
}

#[tokio::test]
async fn a_shutdown_ends_all_agents_and_is_final() {
    let world = World::new().await;
    let agent = world.spawn(world.sh("trap '' TERM; while :; do sleep 1000; done")).await;
    in_time(world.keeper.shutdown()).await;
    assert_eq!(agent.ended().await.exit, Exit::Signal(9));
    let error = world.try_spawn(world.sh("exit 0")).await.map(|_| ()).unwrap_err();
    assert!(matches!(error, SpawnError::KeeperGone { .. }), "{error}");
    world.end().await;
}

#[tokio::test]
async fn what_a_keeper_and_a_host_left_that_died_together_is_swept_by_the_next() {
    let world = World::new().await;
    let mut agent = world
        .spawn(world.sh("env -0 | tr '\\0' '\\n' | grep ^HOSTLER_MARK; exec sleep 1000"))
        .await;
    let mark = agent.line().await.unwrap();
    let instance = mark.strip_prefix("HOSTLER_MARK=").unwrap().split(':').next().unwrap();
    // Another host's directory, as a crash left it: the name of the dead keeper, and its socket.
    let other = tempfile::tempdir().unwrap();
    fs::write(other.path().join("keeper.instance"), instance).unwrap();
    fs::write(other.path().join("keeper.sock"), "").unwrap();
    let keeper = start(other.path()).await;
    assert_eq!(agent.ended().await.exit, Exit::Signal(9));
    in_time(keeper.shutdown()).await;
    world.end().await;
}

#[tokio::test]
async fn a_second_host_on_one_directory_is_told_so() {
    let world = World::new().await;
    let log = Logger::root(Discard, o!());
    let second = Keeper::start(&log, super::world::places(world.dir.path(), None));
    let error = in_time(second).await.map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("serves another host"), "{error}");
    in_time(world.spawn(spec(&["/bin/true"])).await.ended()).await;
    world.end().await;
}
