//! Rates, cursors, and what can be done in which state.

use proptest::prelude::*;
use uuid::Uuid;

use super::{super::task::TaskEvent, *};
use crate::domain::task::step;

#[test]
fn rates_are_read_and_nothing_else_is() {
    let rows = [
        ("10/s", 10, 1),
        ("600/m", 600, 60),
        ("100/h", 100, 3600),
        ("5/30s", 5, 30),
        ("1/d", 1, 86_400),
        ("1000000/s", 1_000_000, 1),
    ];
    for (text, count, seconds) in rows {
        assert_eq!(text.parse(), Ok(Rate { count, per: Duration::from_secs(seconds) }), "{text}");
    }
    let bad = [
        "",
        "10",
        "10/",
        "/s",
        "0/s",
        "-1/s",
        "1.5/s",
        "10/ms",
        "10/0s",
        "10/2d",
        "10/s/s",
        "1000001/s",
        "10/-5s",
        "10/+5s",
        "ten/s",
        "10 /s",
        "10/5 s",
        "10/99999999999999999999s",
    ];
    for text in bad {
        let error = text.parse::<Rate>().unwrap_err().to_string();
        assert!(error.contains("10/s"), "{text}: {error}");
    }
}

#[test]
fn what_can_be_done_is_what_the_life_of_a_task_allows() {
    let retry = Deed::Retry { to: None, rate: None };
    for state in TaskState::ALL {
        let can = |deed: &Deed| deed.possible().contains(&state);
        assert_eq!(can(&Deed::Cancel), step(state, TaskEvent::Cancelled).is_ok(), "{state}");
        assert_eq!(can(&retry), step(state, TaskEvent::Retried).is_ok(), "{state}");
        if can(&retry) {
            assert!(step(state, TaskEvent::Deferred).is_ok(), "{state}");
        }
    }
    assert_eq!(retry.usual(), [TaskState::Failed]);
    let discard = Deed::Discard { reason: String::new() };
    assert_eq!(discard.usual(), [TaskState::Failed]);
}

#[test]
fn what_is_no_cursor_is_refused() {
    let id = "tsk_00000000000000000000000000000007";
    let bad = ["", "7", id, &format!("{id}."), &format!("{id}.-1"), &format!("{id}.1.2"), ".5"];
    for text in bad {
        assert_eq!(text.parse::<Cursor>(), Err(ParseCursorError), "{text}");
    }
}

proptest! {
    #[test]
    fn a_cursor_prints_what_it_parses(id in any::<u128>(), changed in any::<u64>()) {
        let cursor = Cursor { after: TaskId::from_uuid(Uuid::from_u128(id)), changed };
        prop_assert_eq!(cursor.to_string().parse(), Ok(cursor));
    }

    /// In no time that is as long as that of the rate do more have their turn.
    #[test]
    fn a_rate_is_never_passed(count in 1u32..500, seconds in 1u64..1000, from in 0u64..10_000) {
        let rate = Rate { count, per: Duration::from_secs(seconds) };
        let (first, next) = (rate.offset(from), rate.offset(from + u64::from(count)));
        prop_assert!(next - first >= rate.per - Duration::from_nanos(1));
        prop_assert!(rate.offset(from) <= rate.offset(from + 1));
        prop_assert_eq!(rate.offset(0), Duration::ZERO);
        prop_assert_eq!(rate.offset(u64::from(count)), rate.per);
    }
}
