//! From a body to a schedule. Pure.

use std::time::Duration;

use serde_json::Value;

use super::super::{
    api::FieldError,
    fields::{Errors, Fields, kind_of},
    submit::MAX_KIND,
};
use crate::domain::{
    ScheduleName,
    schedule::{Cadence, CatchUp, MAX_CATCH_UP, MAX_EVERY, MIN_EVERY, Overlap, Schedule, Zone},
};

/// The longest description, in characters.
const MAX_DESCRIPTION: usize = 1000;

/// The longest time limit, and the longest time until a deadline.
const MAX_TIMEOUT: Duration = Duration::from_secs(3650 * 86_400);

/// The most due times that are caught up on where the body does not say.
const CATCH_UP_MAX: u32 = 10;

/// What a body asks for.
#[derive(Debug, PartialEq)]
pub(super) struct Wanted {
    pub(super) schedule: Schedule,
    /// Whether it is made paused.
    pub(super) paused: bool,
}

/// Reads the body of a schedule with this name; its input has at most `max_input` bytes.
///
/// # Errors
///
/// Every mistake, each with its field.
pub(super) fn read(
    name: ScheduleName,
    body: Value,
    max_input: u64,
) -> Result<Wanted, Vec<FieldError>> {
    let mut errors = Errors::default();
    let Value::Object(object) = body else {
        errors.add("body", format!("must be an object, not {}", kind_of(&body)));
        return Err(errors.or(()).err().unwrap_or_default());
    };
    let mut fields = Fields::new(String::new(), object, &mut errors);
    let cadence = cadence(&mut fields);
    let schedule = Some(Schedule {
        name,
        description: fields.text("description", MAX_DESCRIPTION).unwrap_or_default(),
        queue: fields.parsed("queue").unwrap_or_default(),
        kind: fields.text("kind", MAX_KIND).unwrap_or_else(|| "task".to_owned()),
        input: fields.json("input", max_input),
        priority: number(&mut fields, "priority", i64::from(i16::MIN), i16::MAX.into())
            .unwrap_or(0),
        max_attempts: number(&mut fields, "max_attempts", 1, 1000),
        timeout: fields.duration("timeout", false, MAX_TIMEOUT),
        deadline: fields.duration("deadline", false, MAX_TIMEOUT),
        stale_after: fields.duration("stale_after", false, MAX_TIMEOUT),
        overlap: fields
            .word("overlap", &Overlap::ALL.map(|one| (one.as_str(), one)))
            .unwrap_or(Overlap::Skip),
        catch_up: fields
            .word("catch_up", &CatchUp::ALL.map(|one| (one.as_str(), one)))
            .unwrap_or(CatchUp::Last),
        catch_up_max: number(&mut fields, "catch_up_max", 1, MAX_CATCH_UP.into())
            .unwrap_or(CATCH_UP_MAX),
        cadence: cadence.unwrap_or(Cadence::Every(MIN_EVERY)),
    });
    let paused = fields.bool("paused").unwrap_or(false);
    fields.finish();
    // A cadence that could not be read is among the errors.
    let wanted = errors.or(schedule)?.map(|schedule| Wanted { schedule, paused });
    wanted.ok_or_else(Vec::new)
}

fn number<T: TryFrom<i64>>(
    fields: &mut Fields<'_>,
    name: &'static str,
    least: i64,
    most: i64,
) -> Option<T> {
    fields.integer(name, least..=most).and_then(|number| T::try_from(number).ok())
}

/// The cadence; where there is none to return, a mistake is noted.
fn cadence(fields: &mut Fields<'_>) -> Option<Cadence> {
    let said = ["cron", "every"].map(|name| fields.gives(name));
    let cron = fields.parsed("cron");
    let every = fields.duration("every", false, MAX_EVERY);
    let has_zone = fields.gives("zone");
    let zone: Option<Zone> = fields.parsed("zone");
    match said {
        [true, true] => fields.wrong("every", "give either `cron` or `every`"),
        [false, false] => fields.wrong("cron", "give `cron` or `every`: when it is due"),
        [false, true] if has_zone => {
            fields.wrong("zone", "has no meaning with `every`, which knows no time of day");
        }
        _ => {}
    }
    if every.is_some_and(|every| every < MIN_EVERY) {
        fields.wrong("every", "must be at least 1s");
    }
    match (cron, every) {
        (Some(cron), _) => Some(Cadence::Cron(cron, zone.unwrap_or(Zone::UTC))),
        (None, every) => every.map(Cadence::Every),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read_body(body: Value) -> Result<Wanted, Vec<FieldError>> {
        read("nightly".parse().unwrap(), body, 200)
    }

    #[test]
    fn what_is_not_said_has_its_default() {
        let Wanted { schedule, paused } = read_body(json!({"every": "90s"})).unwrap();
        let expected = Schedule {
            name: "nightly".parse().unwrap(),
            description: String::new(),
            cadence: Cadence::Every(Duration::from_secs(90)),
            queue: "default".parse().unwrap(),
            kind: "task".to_owned(),
            input: Value::Null,
            priority: 0,
            max_attempts: None,
            timeout: None,
            deadline: None,
            stale_after: None,
            overlap: Overlap::Skip,
            catch_up: CatchUp::Last,
            catch_up_max: 10,
        };
        assert_eq!((schedule, paused), (expected, false));
    }

    #[test]
    fn every_field_is_read() {
        let body = json!({"cron": "0 9 * * mon", "zone": "Europe/Berlin", "queue": "gpu",
            "kind": "report", "input": {"day": "{{ scheduled_for }}"}, "priority": -3,
            "max_attempts": 9, "timeout": "1m", "deadline": "2h", "stale_after": "90s", "overlap": "replace",
            "catch_up": "all", "catch_up_max": 2, "paused": true, "description": "the week"});
        let Wanted { schedule, paused } = read_body(body).unwrap();
        let zone = "Europe/Berlin".parse().unwrap();
        let expected = Schedule {
            name: "nightly".parse().unwrap(),
            description: "the week".to_owned(),
            cadence: Cadence::Cron("0 9 * * mon".parse().unwrap(), zone),
            queue: "gpu".parse().unwrap(),
            kind: "report".to_owned(),
            input: json!({"day": "{{ scheduled_for }}"}),
            priority: -3,
            max_attempts: Some(9),
            timeout: Some(Duration::from_secs(60)),
            deadline: Some(Duration::from_secs(7200)),
            stale_after: Some(Duration::from_secs(90)),
            overlap: Overlap::Replace,
            catch_up: CatchUp::All,
            catch_up_max: 2,
        };
        assert_eq!((schedule, paused), (expected, true));
    }

    #[test]
    fn every_broken_body_is_refused_by_the_name_of_its_field() {
        let rows = [
            (json!([]), "body", "an array"),
            (json!({}), "cron", "give `cron` or `every`"),
            (json!({"cron": "* * * * *", "every": "1m"}), "every", "either"),
            (json!({"cron": "0 25 * * *"}), "cron", "hour `25`"),
            (json!({"cron": 5}), "cron", "must be a string"),
            (json!({"every": "500ms"}), "every", "at least 1s"),
            (json!({"every": "2years"}), "every", "366 days"),
            (json!({"every": "1m", "zone": "Europe/Berlin"}), "zone", "no meaning"),
            (json!({"cron": "* * * * *", "zone": "Mars/X"}), "zone", "no time zone"),
            (json!({"every": "1m", "overlap": "maybe"}), "overlap", "skip, queue, replace"),
            (json!({"every": "1m", "catch_up": true}), "catch_up", "a boolean"),
            (json!({"every": "1m", "catch_up_max": 0}), "catch_up_max", "from 1 to 1000"),
            (json!({"every": "1m", "queue": "GPU"}), "queue", "name of a queue"),
            (json!({"every": "1m", "input": "x".repeat(300)}), "input", "at most 200"),
            (json!({"every": "1m", "paused": "yes"}), "paused", "must be true or false"),
            (json!({"every": "1m", "crom": "x"}), "crom", "no field"),
        ];
        for (body, field, word) in rows {
            let shown = body.to_string();
            let errors = read_body(body).expect_err(&shown);
            assert_eq!(errors.len(), 1, "{shown}: {errors:?}");
            assert_eq!(errors[0].field, field, "{shown}: {errors:?}");
            assert!(errors[0].detail.contains(word), "{shown}: {errors:?}");
        }
    }
}
