//! Everything at once: hosts, keepers, agents, backends and Postgres are killed, frozen, cut off and
//! run out of disk while tasks of all kinds are submitted by every way there is. Then it stops, what
//! was submitted comes to its end, and a checker holds both sides against each other.
//!
//! What happens, and when, follows from a seed (`schedule`, `work`); how the threads and processes
//! take their turns does not. `make test-chaos SEED=7 MINUTES=20` is the long one; a short one runs
//! with all other tests.
//!
//! | file | what it has |
//! | --- | --- |
//! | `schedule` | which faults happen when |
//! | `work` | what is submitted |
//! | `world` | the hosts, and how faults are done |
//! | `submit`, `feed` | who submits, and who reads along |
//! | `history`, `records` | what both sides say |
//! | `check`, `forged` | the rules, and made-up histories that break them |

mod check;
mod feed;
mod forged;
mod history;
mod records;
mod schedule;
mod submit;
mod work;
mod world;

use std::{
    collections::HashSet,
    fs,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use feed::Reader;
use history::History;
use schedule::{Kind, Plan, schedule};
use submit::Ledger;
use work::Submitter;
use world::{LEASE, World};

use crate::support::{
    effects,
    processes::{now, pause, within},
};

/// How long the rest may take once the faults are over. Far more than it takes.
const DRAIN: Duration = Duration::from_secs(150);
/// How many submit at a time.
const SUBMITTERS: u64 = 2;
/// The tags of one submitter are before those of the next.
const TAGS: u64 = 1_000_000;

/// What took place.
struct Seen {
    history: History,
    faults: usize,
    /// How often the reader of the feed lost its connection.
    lost: u32,
    /// What hosts and Postgres logged, by name.
    logs: Vec<(String, String)>,
}

/// Faults by plan while tasks are submitted; then everything comes to its end.
fn live_through(plan: Plan<'_>, disk_mebibytes: u32) -> Seen {
    let world = World::new(plan.hosts, disk_mebibytes);
    let has_disk = world.server().no_disk().is_none();
    let kinds: Vec<_> =
        plan.kinds.iter().copied().filter(|kind| has_disk || *kind != Kind::Disk).collect();
    let steps = schedule(Plan { kinds: &kinds, ..plan });
    let (ledger, reader) = (Ledger::default(), Reader::default());
    let (quiet, over) = (AtomicBool::new(false), AtomicBool::new(false));
    thread::scope(|scope| {
        let all_ends = Ends(&quiet, &over);
        scope.spawn(|| reader.read(&world, &over));
        let submitters: Vec<_> = (0..SUBMITTERS)
            .map(|nth| {
                let submitter = Submitter::new(plan.seed, plan.hosts, plan.lease, 1 + nth * TAGS);
                let (world, ledger, reader, quiet) = (&world, &ledger, &reader, &quiet);
                scope.spawn(move || submit::submit(world, submitter, ledger, reader, quiet))
            })
            .collect();
        carry_out(&world, &steps, plan.length);
        quiet.store(true, Ordering::Relaxed);
        settle(&world);
        submitters.into_iter().for_each(|one| one.join().expect("it submits to the end"));
        drain(&world, &ledger, &reader);
        drop(all_ends);
    });
    let (told, lost) = reader.all();
    let history = History {
        submitted: ledger.read(),
        tasks: records::read(&world),
        feed: told,
        effects: world
            .names()
            .flat_map(|(nth, name)| effects::read(&world.host(nth).path("effects"), name))
            .collect(),
    };
    let read = |nth: usize, file: &str| fs::read_to_string(world.host(nth).path(file));
    let mut logs = vec![("postgres".to_owned(), world.server().whole_log())];
    for (nth, name) in world.names() {
        logs.push((name.to_owned(), read(nth, "stderr").unwrap_or_default()));
        let keeper = read(nth, "data/logs/keeper.log").unwrap_or_default();
        logs.push((format!("{name}-keeper"), keeper));
    }
    Seen { history, faults: steps.len(), lost, logs }
}

/// Ends the other threads, also when this one panics.
struct Ends<'a>(&'a AtomicBool, &'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
        self.1.store(true, Ordering::Relaxed);
    }
}

/// The faults, each at its time.
fn carry_out(world: &World, steps: &[schedule::Step], length: Duration) {
    let began = now();
    let mut steps = steps.iter().peekable();
    while began.elapsed() < length {
        while let Some((at, action)) = steps.next_if(|(at, _)| *at <= began.elapsed()) {
            println!("{:7.3} {action:?} at {}", at.as_secs_f64(), jiff::Timestamp::now());
            world.perform(*action);
        }
        world.tend();
        // The pace of the faults, not a wait for anything.
        pause(Duration::from_millis(20));
    }
    // On a busy machine the last ones are late.
    steps.for_each(|(_, action)| world.perform(*action));
}

/// Waits until every host is there and well.
fn settle(world: &World) {
    let well = within(DRAIN, || {
        world.tend();
        world.names().all(|(nth, _)| world.host(nth).is_ready())
    });
    let logs = || world.names().map(|(nth, _)| world.host(nth).log()).collect::<Vec<_>>();
    assert!(well, "not all hosts come back: {:#?}\n{}", logs(), world.server().log());
}

/// Waits until everything has ended of which anybody knows.
fn drain(world: &World, ledger: &Ledger, reader: &Reader) {
    let drained = within(DRAIN, || {
        world.tend();
        reader.unfinished() == 0 && reader.ended() >= ledger.accepted()
    });
    // What is left is found by the checker, which says what it is.
    if !drained {
        eprintln!("not drained: {} of {:?}", ledger.accepted(), reader.open());
        for (nth, name) in world.names() {
            eprintln!("{name}:\n{}", world.host(nth).log());
        }
    }
}

#[track_caller]
fn nothing_is_wrong(seed: u64, seen: &Seen) {
    let Seen { history, faults, lost, logs } = seen;
    let findings = check::check(history);
    println!(
        "seed {seed}: {faults} steps of faults, {} submitted, {} tasks, {} attempts, {} effects, \
         {} steps told by a reader that lost its connection {lost} times",
        history.submitted.len(),
        history.tasks.len(),
        history.tasks.iter().map(|task| task.attempts.len()).sum::<usize>(),
        history.effects.len(),
        history.feed.len(),
    );
    if !findings.is_empty() {
        // All that is known of it is kept, or nobody would find out how it came.
        let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("chaos-{seed}"));
        fs::create_dir_all(&kept).expect("a directory");
        fs::write(kept.join("history"), format!("{history:#?}")).expect("a file");
        fs::write(kept.join("findings"), format!("{findings:#?}")).expect("a file");
        for (name, log) in logs {
            fs::write(kept.join(name), log).expect("a file");
        }
        let shown = &findings[..findings.len().min(20)];
        let (count, kept) = (findings.len(), kept.display());
        panic!("seed {seed}: {count} findings, all of it in {kept}: {shown:#?}");
    }
    assert!(history.tasks.len() > 20, "hardly anything was submitted");
}

/// Of most kinds one, in some seconds.
const FEW: Plan<'_> = Plan {
    seed: 2,
    length: Duration::from_secs(6),
    hosts: 2,
    pace: Duration::from_millis(700),
    lease: Duration::from_secs(2),
    kinds: &[
        Kind::Agent,
        Kind::Keeper,
        Kind::HostAndKeeper,
        Kind::Backend,
        Kind::Cut,
        Kind::Postgres,
    ],
};

#[test]
fn a_few_faults_break_nothing() {
    nothing_is_wrong(FEW.seed, &live_through(FEW, 256));
}

#[test]
fn the_few_are_of_every_kind() {
    let steps = schedule(FEW);
    let kinds: HashSet<_> =
        steps.iter().map(|(_, action)| std::mem::discriminant(action)).collect();
    assert_eq!(kinds.len(), FEW.kinds.len() + 3, "and three that end something: {steps:?}");
}

/// `SEED` says what happens, `MINUTES` for how long.
#[test]
#[ignore = "takes minutes; run by `make test-chaos`"]
fn chaos_everything_at_once_breaks_nothing() {
    let number = |name: &str| {
        let text = std::env::var_os(name)?.into_string().expect("text");
        let number = text.parse::<u64>();
        // As good as not said.
        (!text.is_empty()).then(|| number.unwrap_or_else(|_| panic!("{name}={text} is no number")))
    };
    let seed = number("SEED").unwrap_or_else(|| fastrand::u64(..100_000));
    // With what comes before and after it stays within three minutes by default.
    let length = number("MINUTES")
        .map_or(Duration::from_secs(110), |minutes| Duration::from_secs(minutes * 60));
    println!("again with: make test-chaos SEED={seed}");
    let plan = Plan {
        seed,
        length,
        hosts: 3,
        pace: Duration::from_millis(1_500),
        lease: LEASE,
        kinds: &schedule::ALL,
    };
    let minutes = u32::try_from(length.as_secs() / 60).expect("not for ever");
    nothing_is_wrong(seed, &live_through(plan, 256 + 32 * minutes));
}
