use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn limits() -> Limits {
    Limits {
        every: SECOND,
        stale_after: Some(SECOND * 5),
        first_sign: None,
        evidence: Evidence::default(),
        busy_stale_after: SECOND * 60,
        tool_stale_after: SECOND * 30,
    }
}

fn with_cpu() -> Limits {
    Limits { evidence: Evidence { cpu: true, ..Evidence::default() }, ..limits() }
}

/// Heard last at 1 s, and expected since then.
fn signs() -> Signs {
    Signs { since: 1000, heard: 1000, last: Sign::Said, ..Signs::default() }
}

fn tree(cpu_ms: u64, bytes: u64, members: u64) -> Tree {
    Tree { processes: 2, stopped: 0, cpu: Duration::from_millis(cpu_ms), bytes, members }
}

#[test]
fn who_is_silent_is_looked_at_half_way_and_at_the_end() {
    let alive = |until| Verdict::Alive { until };
    let at = |looked_at, now| judge(&limits(), &Signs { looked_at, ..signs() }, None, now);
    assert_eq!(at(None, 1000), alive(3500));
    assert_eq!(at(None, 3499), alive(3500));
    assert_eq!(at(None, 3500), Verdict::Look);
    // A look at what was before it was last heard is none.
    assert_eq!(at(Some(999), 3500), Verdict::Look);
    assert_eq!(at(Some(3500), 3501), alive(6001));
    assert_eq!(at(Some(3500), 6000), alive(6001));
    assert_eq!(at(Some(3500), 6001), Verdict::Look);
    let Verdict::Stale(silence) = at(Some(6001), 6001) else { panic!("stale") };
    assert_eq!((silence.silent, silence.limit), (Duration::from_millis(5001), SECOND * 5));
    assert_eq!((silence.ground, silence.last), (Ground::Quiet, Sign::Said));
}

#[test]
fn the_end_is_put_off_by_what_may_put_it_off() {
    let end =
        |limits: &Limits, signs: Signs| end(limits, &signs).map(|(at, ground, _)| (at, ground));
    let quick = Limits { first_sign: Some(SECOND * 2), ..limits() };
    let off = Limits { stale_after: None, ..limits() };
    let none = Signs { last: Sign::None, ..signs() };
    let tool = |until| Some(OpenTool { until, limit: SECOND });
    let rows = [
        (limits(), signs(), Some((6000, Ground::Quiet))),
        (limits(), Signs { own_limit: Some(SECOND * 2), ..signs() }, Some((3000, Ground::Quiet))),
        (off, signs(), None),
        (off, Signs { own_limit: Some(SECOND), ..signs() }, Some((2000, Ground::Quiet))),
        // The first sign.
        (quick, none, Some((3000, Ground::FirstSign))),
        (quick, signs(), Some((6000, Ground::Quiet))),
        (quick, Signs { worked: Some(2000), ..none }, Some((7000, Ground::Quiet))),
        (Limits { stale_after: None, ..quick }, none, Some((3000, Ground::FirstSign))),
        // Work alone, up to its own limit.
        (with_cpu(), Signs { worked: Some(4000), ..signs() }, Some((9000, Ground::Quiet))),
        (with_cpu(), Signs { worked: Some(58_000), ..signs() }, Some((61_000, Ground::OnlyBusy))),
        (
            Limits { busy_stale_after: SECOND, ..with_cpu() },
            Signs { worked: Some(4000), ..signs() },
            Some((6000, Ground::Quiet)),
        ),
        // An open tool call.
        (limits(), Signs { tool: tool(20_000), ..signs() }, Some((20_000, Ground::Tool))),
        (limits(), Signs { tool: tool(2000), ..signs() }, Some((6000, Ground::Quiet))),
        // What it asked for.
        (limits(), Signs { extended: Some(9000), ..signs() }, Some((9000, Ground::Quiet))),
        (quick, Signs { extended: Some(4000), ..none }, Some((4000, Ground::FirstSign))),
    ];
    for (limits, signs, expected) in rows {
        assert_eq!(end(&limits, signs), expected, "{limits:?} {signs:?}");
    }
}

#[test]
fn what_counts_as_life() {
    let evidence = |cpu, io| Evidence { notify: true, cpu, io };
    let from = tree(1000, 10, 7);
    let rows = [
        (tree(1000, 10, 7), evidence(true, true), false),
        (tree(1009, 10, 7), evidence(true, true), false),
        (tree(1010, 10, 7), evidence(true, false), true),
        (tree(2000, 10, 7), evidence(false, true), false),
        (tree(1000, 11, 7), evidence(false, true), true),
        (tree(1000, 11, 7), evidence(true, false), false),
        (tree(0, 0, 8), evidence(true, false), true),
        (tree(9000, 99, 8), evidence(false, false), false),
    ];
    for (to, evidence, expected) in rows {
        let moved = Moved::between(&from, &to, SECOND);
        assert_eq!(moved.is_life(evidence), expected, "{to:?} {evidence:?}");
    }
}

#[test]
fn the_verdict_names_its_evidence() {
    let silence = Silence {
        silent: Duration::from_millis(5250),
        limit: Duration::from_secs(5),
        ground: Ground::Quiet,
        last: Sign::Said,
        moved: None,
    };
    let base = "no output, progress or heartbeat for 5.2 s (the limit is 5.0 s)";
    assert_eq!(silence.to_string(), base);
    let moved = Moved::between(&tree(0, 0, 1), &tree(2500, 0, 1), Duration::from_millis(2500));
    let spins = Silence { moved: Some(moved), ..silence };
    let does = "its 2 processes used 2.50 s of CPU time and moved 0 bytes in the last 2.5 s";
    assert_eq!(spins.to_string(), format!("{base}; {does}"));
    let stopped = Moved { processes: 1, stopped: 1, ..moved };
    let stopped = Silence { moved: Some(stopped), ..silence }.to_string();
    assert_eq!(stopped, format!("{base}; its process is stopped by a signal"));
    for (ground, part) in [
        (Ground::FirstSign, "no sign of life in the first 5.2 s"),
        (Ground::OnlyBusy, "nothing but CPU time or I/O for 5.2 s"),
        (Ground::Tool, "a tool call that takes longer than its limit of 5.0 s"),
    ] {
        let text = Silence { ground, ..silence }.to_string();
        assert!(text.starts_with(part), "{text}");
    }
    assert!(Silence::asked(SECOND).to_string().contains("WATCHDOG=trigger"));
}

#[test]
fn a_first_look_is_early_enough_for_every_limit() {
    let quick = Limits { first_sign: Some(SECOND * 2), ..limits() };
    assert_eq!(first_look(&limits(), None), Some(SECOND * 5 / 2));
    assert_eq!(first_look(&quick, None), Some(SECOND));
    assert_eq!(first_look(&limits(), Some(SECOND)), Some(SECOND / 2));
    assert_eq!(first_look(&Limits { stale_after: None, ..limits() }, None), None);
}

#[test]
fn a_look_that_came_too_late_is_compared_with_another_one() {
    let late = Signs { heard: 1000, looked_at: Some(7000), found: true, ..signs() };
    let (first, again) = (judge(&limits(), &late, None, 7000), 7156);
    assert_eq!(first, Verdict::Alive { until: again });
    assert_eq!(judge(&limits(), &late, None, again), Verdict::Look);
    let second = Signs { looked_at: Some(again), ..late };
    let moved = Moved::between(&Tree::default(), &Tree::default(), Duration::from_millis(156));
    assert!(matches!(judge(&limits(), &second, Some(moved), again), Verdict::Stale(_)));
    // Where there is nothing to see, the silence is all that there is.
    let unseen = Signs { found: false, ..late };
    assert!(matches!(judge(&limits(), &unseen, None, 7000), Verdict::Stale(_)));
}

proptest! {
    /// Whoever judges at the times that it is told to, and looks when it is asked to, comes to a verdict on
    /// an agent that shows nothing, within a tenth of the limit, and never before the limit has passed.
    #[test]
    fn a_verdict_comes_in_time_and_not_before(
        limit_ms in 100_u64..3_600_000,
        first_ms in prop::option::of(50_u64..3_600_000),
        cpu: bool,
        worked_for in 0_u64..20_000,
    ) {
        let limits = Limits {
            stale_after: Some(Duration::from_millis(limit_ms)),
            first_sign: first_ms.map(Duration::from_millis),
            evidence: Evidence { notify: false, cpu, io: false },
            busy_stale_after: Duration::from_secs(7200),
            ..limits()
        };
        let mut signs = Signs { since: 7, heard: 7, ..Signs::default() };
        let soon = first_look(&limits, None).map_or(0, millis);
        let (mut now, mut turns) = (signs.since + soon, 0);
        let mut last_work = None;
        loop {
            turns += 1;
            prop_assert!(turns < 100_000, "it never ends");
            match judge(&limits, &signs, None, now) {
                Verdict::Unlimited => prop_assert!(false, "there is a limit"),
                Verdict::Alive { until } => {
                    prop_assert!(until > now);
                    now = until;
                }
                Verdict::Look => {
                    let is_first = signs.looked_at.is_none();
                    signs.looked_at = Some(now);
                    if cpu && !is_first && now <= worked_for {
                        signs.worked = Some(now);
                        last_work = Some(now);
                    }
                }
                Verdict::Stale(silence) => {
                    let from = last_work.unwrap_or(signs.since);
                    let limit = match (first_ms, last_work) {
                        (Some(first), None) => first.min(limit_ms),
                        _ => limit_ms,
                    };
                    prop_assert!(now > from + limit, "{now}: {silence:?}");
                    prop_assert!(now <= from + limit + limit / 10 + 2, "{now}: {silence:?}");
                    break;
                }
            }
        }
    }

    /// Nothing that is heard makes an agent look worse.
    #[test]
    fn a_sign_of_life_never_brings_the_end_nearer(
        heard in 0_u64..100_000, later in 0_u64..100_000, worked in prop::option::of(0_u64..200_000),
        tool in prop::option::of(0_u64..300_000), first in prop::option::of(1_u64..100_000),
    ) {
        let limits = Limits { first_sign: first.map(Duration::from_millis), ..with_cpu() };
        let tool = tool.map(|until| OpenTool { until, limit: SECOND });
        let before = Signs { heard, worked, tool, ..Signs::default() };
        let after = Signs { heard: heard + later, last: Sign::Said, ..before };
        let ends = [before, after].map(|signs| end(&limits, &signs).map(|(at, ..)| at));
        prop_assert!(ends[0] <= ends[1], "{ends:?}");
    }
}
