//! What is done about due times: tables, and what holds for every schedule.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn every(seconds: u64) -> Cadence {
    Cadence::Every(Duration::from_secs(seconds))
}

fn schedule(cadence: Cadence, overlap: Overlap, catch_up: CatchUp) -> Schedule {
    Schedule {
        name: "nightly".parse().unwrap(),
        description: String::new(),
        cadence,
        queue: "default".parse().unwrap(),
        kind: "report".to_owned(),
        input: Value::Null,
        priority: 3,
        max_attempts: None,
        timeout: None,
        deadline: None,
        stale_after: None,
        overlap,
        catch_up,
        catch_up_max: 3,
    }
}

/// The seconds of the firings, with a letter for what is done.
fn shown(plan: &Plan) -> String {
    let words = plan.firings.iter().map(|(time, action)| {
        let word = match action {
            Action::Fire => "f",
            Action::Replace => "r",
            Action::Skip => "s",
        };
        format!("{word}{}", time.as_second())
    });
    words.collect::<Vec<_>>().join(" ")
}

#[test]
fn a_time_comes_again_and_again_from_when_it_was_made() {
    let hour = every(3600);
    assert_eq!(hour.next_after(at(100), at(100)), Some(at(3700)));
    assert_eq!(hour.next_after(at(0), at(100)), Some(at(3700)), "never before it was made");
    assert_eq!(hour.next_after(at(3699), at(100)), Some(at(3700)));
    assert_eq!(hour.next_after(at(3700), at(100)), Some(at(7300)));
    assert_eq!(hour.next_after(at(1_000_000), at(100)), Some(at(1_000_900)));
    let cron = Cadence::Cron("0 * * * *".parse().unwrap(), Zone::UTC);
    assert_eq!(cron.next_after(at(0), at(7000)), Some(at(7200)));
}

#[test]
fn what_is_on_time_fires_whatever_the_catch_up_policy() {
    for catch_up in CatchUp::ALL {
        let schedule = schedule(every(600), Overlap::Queue, catch_up);
        let plan = plan(&schedule, at(0), at(600), at(601), false);
        let expected =
            Plan { firings: vec![(at(600), Action::Fire)], missed: None, next: Some(at(1200)) };
        assert_eq!(plan, expected, "{catch_up:?}");
    }
    let early =
        plan(&schedule(every(600), Overlap::Queue, CatchUp::All), at(0), at(600), at(599), false);
    assert_eq!(early, Plan { firings: Vec::new(), missed: None, next: Some(at(600)) });
}

#[test]
fn after_a_downtime_the_policy_says_what_is_made_up_for() {
    let missed = |first, last, count| Some((first, last, count));
    // Due at 600, 1200, ..., 6000; now it is 6300 or 6030.
    let rows = [
        (CatchUp::None, 6300, "", missed(600, 6000, 10)),
        (CatchUp::None, 6030, "f6000", missed(600, 5400, 9)),
        (CatchUp::Last, 6300, "f6000", missed(600, 5400, 9)),
        (CatchUp::All, 6300, "f4800 f5400 f6000", missed(600, 4200, 7)),
        (CatchUp::All, 1900, "f600 f1200 f1800", None),
        (CatchUp::All, 1300, "f600 f1200", None),
    ];
    for (catch_up, now, firings, missed) in rows {
        let schedule = schedule(every(600), Overlap::Queue, catch_up);
        let plan = plan(&schedule, at(0), at(600), at(now), false);
        assert_eq!(shown(&plan), firings, "{catch_up:?} {now}");
        let told = plan.missed.map(|missed| {
            (missed.first.as_second(), missed.last.as_second(), missed.count.unwrap())
        });
        assert_eq!(told, missed, "{catch_up:?} {now}");
        assert_eq!(plan.next.unwrap().as_second(), now / 600 * 600 + 600);
    }
}

#[test]
fn a_long_downtime_costs_no_more_than_a_short_one() {
    let year = 365 * 86_400;
    for catch_up in CatchUp::ALL {
        let schedule = schedule(every(1), Overlap::Queue, catch_up);
        let plan = plan(&schedule, at(0), at(1), at(year), false);
        let last = if catch_up == CatchUp::All { 3 } else { 1 };
        assert_eq!(plan.firings.len(), last);
        assert_eq!(plan.firings.last(), Some(&(at(year), Action::Fire)));
        let missed = plan.missed.unwrap();
        assert_eq!((missed.first, missed.count), (at(1), None));
        assert_eq!(missed.last, at(year - last as i64));
    }
    let yearly = Cadence::Cron("@yearly".parse().unwrap(), Zone::UTC);
    let schedule = schedule(yearly, Overlap::Queue, CatchUp::Last);
    let plan = plan(&schedule, at(0), at(year), at(year * 2 + 86_400 * 9), false);
    assert_eq!(shown(&plan), format!("f{}", year * 2));
    assert_eq!(plan.missed.unwrap().first, at(year));
}

#[test]
fn the_overlap_policy_decides_while_the_last_task_is_not_finished() {
    let rows = [
        (Overlap::Skip, false, "f600 s1200 s1800"),
        (Overlap::Skip, true, "s600 s1200 s1800"),
        (Overlap::Queue, true, "f600 f1200 f1800"),
        (Overlap::Replace, false, "s600 s1200 f1800"),
        (Overlap::Replace, true, "s600 s1200 r1800"),
    ];
    for (overlap, busy, expected) in rows {
        let schedule = schedule(every(600), overlap, CatchUp::All);
        let plan = plan(&schedule, at(0), at(600), at(1800), busy);
        assert_eq!(shown(&plan), expected, "{overlap:?} {busy}");
    }
}

#[test]
fn the_input_has_the_time_and_nothing_else_is_read_as_a_template() {
    let zone = "Europe/Berlin".parse().unwrap();
    let cadence = Cadence::Cron("0 9 * * *".parse().unwrap(), zone);
    let mut schedule = schedule(cadence, Overlap::Skip, CatchUp::Last);
    schedule.input = json!({
        "when": "{{ scheduled_for }}",
        "list": ["{{scheduled_for}} by {{  schedule }}", 1, null],
        "{{ schedule }}": "{{{ schedule }}} {{ input.x }} {{ schedule }",
        "open": "{{", "empty": "{{}}", "two": "{{ {{ schedule }}",
    });
    let id = TaskId::from_uuid(uuid::Uuid::nil());
    let task = schedule.task(id, "2030-07-01T07:00:00Z".parse().unwrap(), 5);
    let time = "2030-07-01T09:00:00+02:00";
    let expected = json!({
        "when": time,
        "list": [format!("{time} by nightly"), 1, null],
        "{{ schedule }}": "{nightly} {{ input.x }} {{ schedule }",
        "open": "{{", "empty": "{{}}", "two": "{{ nightly",
    });
    assert_eq!(task.input, expected);
    assert_eq!((task.max_attempts, task.priority, task.run_at), (5, 3, None));
    assert_eq!((task.terms.schedule, task.terms.deadline), (Some(schedule.name.clone()), None));
    schedule.deadline = Some(Duration::from_secs(600));
    schedule.stale_after = Some(Duration::from_secs(90));
    let task = schedule.task(id, at(1000), 5);
    assert_eq!(task.terms.deadline, Some(at(1600)), "from the due time on");
    assert_eq!(task.terms.stale_after, Some(Duration::from_secs(90)));
}

#[test]
fn zones_have_names() {
    for name in ["UTC", "Europe/Berlin", "America/New_York", "Etc/GMT+3"] {
        assert_eq!(name.parse::<Zone>().unwrap().to_string(), name);
    }
    for bad in ["", "Mars/Olympus", "+02:00", "Europe/", "../etc/passwd", "CET-1CEST"] {
        assert!(bad.parse::<Zone>().is_err(), "{bad}");
    }
}

proptest! {
    #[test]
    fn every_due_time_is_fired_or_passed_over_once_and_in_order(
        seconds in 1_u64..5_000, down in 0_i64..40_000, begun in 0_i64..5_000,
        overlap in prop::sample::select(Overlap::ALL.to_vec()),
        catch_up in prop::sample::select(CatchUp::ALL.to_vec()),
        busy: bool,
    ) {
        let schedule = schedule(every(seconds), overlap, catch_up);
        let anchor = at(begun);
        let due = schedule.cadence.next_after(anchor, anchor).unwrap();
        let now = due + SignedDuration::from_secs(down);
        let plan = plan(&schedule, anchor, due, now, busy);
        let step = i64::try_from(seconds).unwrap();
        // What is left over begins where the missed end and ends where the next begins.
        let mut expected = match plan.missed {
            Some(missed) => {
                prop_assert_eq!(missed.first, due);
                prop_assert_eq!((missed.last.as_second() - begun) % step, 0);
                missed.last.as_second() + step
            }
            None => due.as_second(),
        };
        for (time, _) in &plan.firings {
            prop_assert_eq!(time.as_second(), expected);
            expected += step;
        }
        prop_assert_eq!(plan.next.unwrap().as_second(), expected);
        prop_assert!(plan.next.unwrap() > now);
        let most = if catch_up == CatchUp::All { 3 } else { 1 };
        prop_assert!(plan.firings.len() <= most);
        if catch_up == CatchUp::None {
            for (time, _) in &plan.firings {
                prop_assert!(now.duration_since(*time).unsigned_abs() <= ON_TIME);
            }
        }
        let fired = plan.firings.iter().filter(|(_, action)| *action != Action::Skip).count();
        if overlap == Overlap::Skip {
            prop_assert!(fired <= usize::from(!busy), "one at a time");
        }
    }
}
