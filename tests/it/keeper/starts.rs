//! How processes start: with what they were given and nothing else, or not at all.

use std::{
    collections::BTreeMap, error::Error as _, fs, io::Write, os::unix::fs::PermissionsExt,
    time::Duration,
};

use hostler::{
    domain::fleet::Limits,
    process::{Exit, MARK_VARIABLE, SpawnError, Spec, Stdio},
};
use nix::unistd::{Uid, User};

use super::world::{World, spec};

#[tokio::test]
async fn the_environment_is_what_was_given() {
    let world = World::new().await;
    let mut spec = spec(&["/usr/bin/env", "-0"]);
    let given = BTreeMap::from([
        ("EMPTY".to_owned(), String::new()),
        ("TEXT".to_owned(), "a = \"b\"\n\t ü".to_owned()),
    ]);
    spec.env = given.clone();
    spec.stdout = Stdio::File(world.path("out"));
    assert_eq!(world.spawn(spec).await.ended().await.exit, Exit::Code(0));
    let text = fs::read_to_string(world.path("out")).unwrap();
    let mut seen: BTreeMap<_, _> = text
        .split_terminator('\0')
        .map(|entry| entry.split_once('=').unwrap())
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    assert!(seen.remove(MARK_VARIABLE).is_some_and(|mark| mark.ends_with(":1")));
    assert_eq!(seen, given);
    world.end().await;
}

#[tokio::test]
async fn no_descriptor_signal_mask_or_group_is_inherited() {
    let world = World::new().await;
    // No shell in between here: a shell changes its own mask.
    let mut spec = world.sh("");
    spec.argv = ["/bin/grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"].map(str::to_owned).into();
    let mut agent = world.spawn(spec).await;
    let lines = agent.rest().await;
    assert_eq!(lines[0], "SigBlk:\t0000000000000000");
    let ignored = u64::from_str_radix(lines[1].strip_prefix("SigIgn:\t").unwrap(), 16).unwrap();
    // 32 and 33 belong to the C library.
    assert_eq!(ignored & !(0b11 << 31), 0, "{ignored:x}");
    agent.ended().await;

    let script = "ls /proc/self/fd | tr '\\n' ' '; echo; cut -d' ' -f1,5,6 /proc/$$/stat; pwd";
    let mut spec = world.sh(script);
    spec.cwd = world.dir.path().to_owned();
    let mut agent = world.spawn(spec).await;
    let pid = agent.spawned.pid;
    let lines = agent.rest().await;
    // 3 is the directory that `ls` reads.
    assert_eq!(lines[0].trim(), "0 1 2 3");
    assert_eq!(lines[1], format!("{pid} {pid} {pid}"));
    assert_eq!(lines[2], world.dir.path().canonicalize().unwrap().to_str().unwrap());
    agent.ended().await;
    world.end().await;
}

#[tokio::test]
async fn limits_are_seen_by_the_process() {
    let world = World::new().await;
    // No shell, which would need a process more than the limit may leave to this user.
    let mut spec = world.sh("");
    spec.argv = ["/bin/cat", "/proc/self/limits"].map(str::to_owned).into();
    spec.limits = Limits {
        memory: Some(1 << 30),
        open_files: Some(77),
        processes: Some(99),
        cpu: Some(Duration::from_millis(41_500)),
        file_size: Some(12_345_678),
        ..Limits::default()
    };
    let mut agent = world.spawn(spec).await;
    let lines = agent.rest().await;
    for (name, soft, hard) in [
        ("Max address space", "1073741824", "1073741824"),
        ("Max open files", "77", "77"),
        ("Max processes", "99", "99"),
        ("Max cpu time", "42", "43"),
        ("Max file size", "12345678", "12345678"),
    ] {
        let line = lines.iter().find_map(|line| line.strip_prefix(name)).unwrap();
        let words: Vec<_> = line.split_whitespace().collect();
        assert_eq!(words[..2], [soft, hard], "{name}");
    }
    agent.ended().await;
    world.end().await;
}

#[tokio::test]
async fn streams_go_where_the_spec_says() {
    let world = World::new().await;
    fs::write(world.path("in"), "from the file\n").unwrap();
    fs::write(world.path("err"), "before\n").unwrap();
    let mut spec = world.sh("cat; echo to the file >&2");
    spec.stdin = Stdio::File(world.path("in"));
    spec.stderr = Stdio::File(world.path("err"));
    let mut agent = world.spawn(spec).await;
    assert_eq!(agent.rest().await, ["from the file"]);
    agent.ended().await;
    assert_eq!(fs::read_to_string(world.path("err")).unwrap(), "before\nto the file\n");

    let mut spec = world.sh("cat");
    spec.stdin = Stdio::Pipe;
    spec.stderr = Stdio::File(world.path("new"));
    let mut agent = world.spawn(spec).await;
    let mut stdin = fs::File::from(agent.spawned.stdin.take().unwrap());
    stdin.write_all(b"through the pipe\n").unwrap();
    drop(stdin);
    // `cat` ends, for nobody else holds the pipe.
    assert_eq!(agent.rest().await, ["through the pipe"]);
    assert_eq!(agent.ended().await.exit, Exit::Code(0));
    let mode = fs::metadata(world.path("new")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    world.end().await;
}

/// The error of a spec that can't start, with its causes.
async fn refusal(world: &World, spec: Spec) -> (SpawnError, String) {
    let error = world.try_spawn(spec).await.map(|_| ()).unwrap_err();
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    assert!(text.contains("`test-1`"), "{text}");
    assert!(!error.is_transient(), "{text}");
    (error, text)
}

#[tokio::test]
async fn what_cannot_start_is_refused_by_name_and_leaves_nothing() {
    let world = World::new().await;
    let mut spec = world.sh("");

    spec.argv = vec!["no-such-command".to_owned()];
    let (error, text) = refusal(&world, spec.clone()).await;
    assert!(matches!(error, SpawnError::NotFound { .. }), "{text}");
    assert!(text.contains("`no-such-command` was not found"), "{text}");

    let plain = world.path("plain");
    fs::write(&plain, "").unwrap();
    fs::set_permissions(&plain, fs::Permissions::from_mode(0o644)).unwrap();
    spec.argv = vec![plain.to_str().unwrap().to_owned()];
    let (error, text) = refusal(&world, spec.clone()).await;
    assert!(matches!(error, SpawnError::NotExecutable { .. }), "{text}");
    assert!(text.ends_with("Permission denied (os error 13)"), "{text}");

    spec.argv = vec!["/bin/true".to_owned()];
    spec.cwd = "/no/such/directory".into();
    let (error, text) = refusal(&world, spec.clone()).await;
    assert!(matches!(error, SpawnError::Cwd { .. }), "{text}");
    assert!(text.contains("`/no/such/directory`"), "{text}");
    spec.cwd = "relative".into();
    let (error, text) = refusal(&world, spec.clone()).await;
    assert!(matches!(error, SpawnError::Cwd { .. }), "{text}");
    spec.cwd = "/".into();

    spec.user = Some("no-such-user".to_owned());
    let (error, text) = refusal(&world, spec.clone()).await;
    assert!(matches!(error, SpawnError::User { .. }), "{text}");
    assert!(text.contains("`no-such-user`"), "{text}");
    assert!(text.ends_with("no user has that name"), "{text}");
    spec.user = None;

    assert_eq!(world.alive(), Vec::<u32>::new());
    world.end().await;
}

#[tokio::test]
async fn what_no_process_can_have_is_refused() {
    let world = World::new().await;
    let link = world.path("link");
    std::os::unix::fs::symlink("/dev/null", &link).unwrap();
    type Change = Box<dyn Fn(&mut Spec)>;
    let changes: Vec<(Change, &str)> = vec![
        (Box::new(|spec| spec.argv.clear()), "command is empty"),
        (Box::new(|spec| spec.argv[1] = "a\0b".to_owned()), "NUL byte"),
        (Box::new(|spec| drop(spec.env.insert("A=B".to_owned(), String::new()))), "`A=B`"),
        (Box::new(|spec| spec.argv[2] = "x".repeat(1 << 20)), "Argument list too long"),
        (Box::new(|spec| spec.argv[2] = "x".repeat(8 << 20)), "a frame of"),
        (Box::new(|spec| spec.stdin = Stdio::File("/no/such/file".into())), "stdin file `/no/"),
        (Box::new(|spec| spec.stdout = Stdio::File("out".into())), "not absolute"),
        (Box::new(move |spec| spec.stderr = Stdio::File(link.clone())), "stderr file"),
    ];
    for (change, words) in changes {
        let mut spec = world.sh("exit 0");
        change(&mut spec);
        let (error, text) = refusal(&world, spec).await;
        assert!(matches!(error, SpawnError::Refused { .. }), "{text}");
        assert!(text.contains(words), "{text}");
    }
    // The keeper is none the worse.
    assert_eq!(world.spawn(world.sh("exit 0")).await.ended().await.exit, Exit::Code(0));
    world.end().await;
}

#[tokio::test]
async fn a_host_that_runs_as_root_can_start_as_another_user() {
    let nobody = User::from_name("nobody").unwrap();
    let (true, Some(nobody)) = (Uid::effective().is_root(), nobody) else {
        eprintln!("skipped: only root can become another user, and it must be there: `nobody`");
        return;
    };
    let world = World::new().await;
    let mut spec = world.sh("id -u; id -G; echo $HOME; exec sleep 1000");
    spec.user = Some("nobody".to_owned());
    let mut agent = world.spawn(spec.clone()).await;
    assert_eq!(agent.line().await, Some(nobody.uid.to_string()));
    assert!(!agent.line().await.unwrap().split(' ').any(|group| group == "0"));
    let home = nobody.dir.display().to_string();
    assert_eq!(agent.line().await, Some(home), "its own, not the host's");

    // Its own rights decide where it may go.
    fs::set_permissions(world.dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
    spec.cwd = world.dir.path().to_owned();
    let (error, text) = refusal(&world, spec).await;
    assert!(matches!(error, SpawnError::Cwd { .. }), "{text}");

    // The tie to the keeper outlives the change of user.
    super::world::kill_9(world.keeper.pid().unwrap());
    let pid = agent.spawned.pid;
    assert_eq!(agent.ended().await.exit, Exit::Lost);
    assert!(!super::world::runs(pid));
    world.end().await;
}
