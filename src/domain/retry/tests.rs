//! Policies: a table of waits, a table of kinds of failure, and what holds for all of them.

use proptest::prelude::*;
use serde_json::json;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn policy(kind: Growth) -> RetryPolicy {
    RetryPolicy {
        kind,
        backoff_min: SECOND * 2,
        backoff_max: SECOND * 60,
        jitter: 0.5,
        retry_on: Vec::new(),
        never_on: Vec::new(),
    }
}

fn exit(code: i64) -> Outcome {
    let detail = json!({ "exit_code": code });
    Outcome::Failed { class: FailureClass::Exit, message: String::new(), detail }
}

fn error(code: i64) -> Outcome {
    let detail = json!({ "code": code, "data": null });
    Outcome::Failed { class: FailureClass::Task, message: String::new(), detail }
}

fn causes(text: &str) -> Vec<Cause> {
    text.split_whitespace().map(|word| word.parse().unwrap()).collect()
}

#[test]
fn waits_grow_as_their_kind_says() {
    let rows = [
        (Growth::Fixed, [2, 2, 2, 2, 2, 2]),
        (Growth::Linear, [2, 4, 6, 8, 10, 12]),
        (Growth::Exponential, [2, 4, 8, 16, 32, 60]),
    ];
    for (kind, seconds) in rows {
        for (failures, expected) in (0..).zip(seconds) {
            let after = policy(kind).after(&exit(1), failures, 100, 1.0);
            assert_eq!(after, AfterFailure::Retry(SECOND * expected), "{kind:?} {failures}");
        }
    }
}

#[test]
fn chance_has_the_part_that_jitter_says() {
    let rows = [
        (0.0, 0.0, 2_000),
        (0.0, 1.0, 2_000),
        (0.5, 0.0, 1_000),
        (0.5, 1.0, 2_000),
        (1.0, 0.0, 0),
        (1.0, 0.5, 1_000),
    ];
    for (jitter, dice, ms) in rows {
        let policy = RetryPolicy { jitter, ..policy(Growth::Fixed) };
        let after = policy.after(&exit(1), 0, 2, dice);
        assert_eq!(after, AfterFailure::Retry(Duration::from_millis(ms)), "{jitter} {dice}");
    }
}

#[test]
fn the_last_attempt_gives_up() {
    let policy = policy(Growth::Exponential);
    assert!(matches!(policy.after(&exit(1), 1, 3, 1.0), AfterFailure::Retry(_)));
    for (failures, max_attempts) in [(2, 3), (0, 1), (9, 3), (u32::MAX, 3)] {
        assert_eq!(policy.after(&exit(1), failures, max_attempts, 1.0), AfterFailure::GiveUp);
    }
}

#[test]
fn kinds_of_failure_decide_whether_there_is_another_attempt() {
    let stale = Outcome::failed(FailureClass::Stale, "silent");
    let rows = [
        ("", "", &exit(1), true),
        ("exit", "", &exit(1), true),
        ("exit", "", &stale, false),
        ("exit:3 stale", "", &exit(1), false),
        ("exit:3 stale", "", &exit(3), true),
        ("exit:3 stale", "", &stale, true),
        ("", "task:17", &error(17), false),
        ("", "task:17", &error(18), true),
        ("", "task:17", &exit(17), true),
        ("task", "task:17", &error(17), false),
        ("", "task exit", &exit(0), false),
        ("", "stale", &stale, false),
    ];
    for (retry_on, never_on, outcome, again) in rows {
        let policy = RetryPolicy {
            retry_on: causes(retry_on),
            never_on: causes(never_on),
            ..policy(Growth::Fixed)
        };
        let after = policy.after(outcome, 0, 2, 1.0);
        let expected = if again { AfterFailure::Retry(SECOND * 2) } else { AfterFailure::GiveUp };
        assert_eq!(after, expected, "on `{retry_on}`, never on `{never_on}`: {outcome:?}");
    }
}

#[test]
fn kinds_of_failure_are_written_as_they_are_read() {
    for word in ["exit", "exit:0", "task:-32000", "timeout", "internal"] {
        assert_eq!(word.parse::<Cause>().unwrap().to_string(), word);
    }
    for bad in
        ["", "exit:", "exit:x", "stale:3", "timeout:1", "Exit", "all", "host_lost", "task:1:2"]
    {
        let error = bad.parse::<Cause>().unwrap_err().to_string();
        assert!(error.contains("write a class"), "{error}");
    }
}

#[test]
fn the_nearer_word_counts_and_the_rest_stays() {
    let host = policy(Growth::Exponential);
    let queue = RetryTerms {
        backoff_max: Some(SECOND * 9),
        never_on: Some(causes("task:1")),
        ..RetryTerms::default()
    };
    let task = RetryTerms {
        kind: Some(Growth::Fixed),
        never_on: Some(Vec::new()),
        jitter: Some(0.0),
        ..RetryTerms::default()
    };
    let expected =
        RetryPolicy { kind: Growth::Fixed, backoff_max: SECOND * 9, jitter: 0.0, ..host.clone() };
    assert_eq!(host.with(&queue).with(&task), expected);
    assert_eq!(host.with(&RetryTerms::default()), host);
    let ends = |backoff_min: Option<u32>, backoff_max: Option<u32>| {
        let of = |seconds: Option<u32>| seconds.map(|seconds| SECOND * seconds);
        let (backoff_min, backoff_max) = (of(backoff_min), of(backoff_max));
        let policy = host.with(&RetryTerms { backoff_min, backoff_max, ..RetryTerms::default() });
        (policy.backoff_min.as_secs(), policy.backoff_max.as_secs())
    };
    assert_eq!(ends(Some(90), None), (90, 90), "the other end gives way");
    assert_eq!(ends(None, Some(1)), (1, 1));
    assert_eq!(ends(Some(3), Some(4)), (3, 4));
}

#[test]
fn terms_are_stored_and_told_with_every_name() {
    let terms = RetryTerms {
        kind: Some(Growth::Linear),
        backoff_min: Some(Duration::from_millis(1_500)),
        retry_on: Some(causes("exit:3 stale")),
        ..RetryTerms::default()
    };
    let told = json!({"kind": "linear", "backoff_min_ms": 1500, "backoff_max_ms": null,
        "jitter": null, "retry_on": ["exit:3", "stale"], "never_on": null});
    assert_eq!(serde_json::to_value(&terms).unwrap(), told);
    assert_eq!(serde_json::from_value::<RetryTerms>(told).unwrap(), terms);
}

proptest! {
    #[test]
    fn a_wait_is_never_longer_than_the_longest_and_never_shorter_than_jitter_allows(
        kind in prop::sample::select(vec![Growth::Fixed, Growth::Linear, Growth::Exponential]),
        min in 0_u64..1 << 40, max in 0_u64..1 << 40,
        failures in 0..u32::MAX, jitter in 0.0_f64..=1.0, dice in 0.0_f64..1.0,
    ) {
        let (backoff_min, backoff_max) = (Duration::from_millis(min), Duration::from_millis(max));
        let policy = RetryPolicy { backoff_min, backoff_max, jitter, ..policy(kind) };
        match policy.after(&exit(1), failures, u32::MAX, dice) {
            AfterFailure::Retry(wait) => {
                prop_assert!(wait <= backoff_max + Duration::from_nanos(1_000));
                let least = backoff_min.min(backoff_max).mul_f64(1.0 - jitter);
                prop_assert!(wait + Duration::from_micros(1) >= least.mul_f64(0.999_999));
            }
            AfterFailure::GiveUp => prop_assert!(failures >= u32::MAX - 1),
        }
    }

    #[test]
    fn waits_never_shrink_from_one_failure_to_the_next(
        kind in prop::sample::select(vec![Growth::Fixed, Growth::Linear, Growth::Exponential]),
        failures in 1_u32..500,
    ) {
        let policy = policy(kind);
        prop_assert!(policy.wait(failures) <= policy.wait(failures + 1));
    }
}
