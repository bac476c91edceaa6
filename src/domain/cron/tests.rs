//! Expressions: what is read, what is refused, which moments fit; and the same by looking at every
//! minute.

use jiff::{SignedDuration, ToSpan};
use proptest::prelude::*;

use super::*;

fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).unwrap()
}

fn cron(text: &str) -> Cron {
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

/// The next `count` times after `after`, by the clocks of `zone`, with their offsets.
fn times(text: &str, zone: &TimeZone, after: &str, count: usize) -> Vec<String> {
    let (cron, mut after) = (cron(text), after.parse::<Timestamp>().unwrap());
    let mut times = Vec::new();
    for _ in 0..count {
        after = cron.next_after(after, zone).expect("there is a next one");
        times.push(after.display_with_offset(zone.to_offset(after)).to_string());
    }
    times
}

#[test]
fn expressions_fit_what_they_say() {
    let rows: &[(&str, &[&str])] = &[
        ("* * * * *", &["2030-01-01T00:01", "2030-01-01T00:02"]),
        (
            "*/20 9-10 * * *",
            &["2030-01-01T09:00", "2030-01-01T09:20", "2030-01-01T09:40", "2030-01-01T10:00"],
        ),
        ("5/20 0 * * *", &["2030-01-01T00:05", "2030-01-01T00:25", "2030-01-01T00:45"]),
        ("0 0,12 1 */4 *", &["2030-01-01T12:00", "2030-05-01T00:00", "2030-05-01T12:00"]),
        (
            "0 8 * * mon-FRI",
            &[
                "2030-01-01T08:00",
                "2030-01-02T08:00",
                "2030-01-03T08:00",
                "2030-01-04T08:00",
                "2030-01-07T08:00",
            ],
        ),
        ("0 8 * * sat-sun", &["2030-01-05T08:00", "2030-01-06T08:00", "2030-01-12T08:00"]),
        ("0 8 * * 7", &["2030-01-06T08:00", "2030-01-13T08:00"]),
        ("0 0 13 * fri", &["2030-01-04T00:00", "2030-01-11T00:00", "2030-01-13T00:00"]),
        ("0 0 */31 * mon", &["2030-04-01T00:00", "2030-07-01T00:00"]),
        ("0 0 ? jan,jun mon#2", &["2030-01-14T00:00", "2030-06-10T00:00", "2031-01-13T00:00"]),
        ("0 0 * * mon#5", &["2030-04-29T00:00", "2030-07-29T00:00"]),
        ("0 18 * * friL", &["2030-01-25T18:00", "2030-02-22T18:00", "2030-03-29T18:00"]),
        ("0 0 L 2 *", &["2030-02-28T00:00", "2031-02-28T00:00", "2032-02-29T00:00"]),
        ("0 0 29 feb *", &["2032-02-29T00:00", "2036-02-29T00:00"]),
        ("0 0 31 * *", &["2030-01-31T00:00", "2030-03-31T00:00", "2030-05-31T00:00"]),
        ("15 10 1 1 *", &["2030-01-01T10:15", "2031-01-01T10:15"]),
        ("@daily", &["2030-01-02T00:00", "2030-01-03T00:00"]),
        ("@weekly", &["2030-01-06T00:00", "2030-01-13T00:00"]),
        ("@monthly", &["2030-02-01T00:00", "2030-03-01T00:00"]),
        ("@yearly", &["2031-01-01T00:00", "2032-01-01T00:00"]),
        ("@hourly", &["2030-01-01T01:00", "2030-01-01T02:00"]),
    ];
    for (text, expected) in rows {
        let expected: Vec<_> = expected.iter().map(|time| format!("{time}:00+00:00")).collect();
        let found = times(text, &TimeZone::UTC, "2030-01-01T00:00:00Z", expected.len());
        assert_eq!(found, expected, "{text}");
    }
}

#[test]
fn a_sixth_field_is_the_second() {
    let found = times("*/15 59 23 31 12 *", &TimeZone::UTC, "2030-12-31T23:59:29.9Z", 3);
    let expected =
        ["2030-12-31T23:59:30+00:00", "2030-12-31T23:59:45+00:00", "2031-12-31T23:59:00+00:00"];
    assert_eq!(found, expected);
}

#[test]
fn what_is_no_expression_is_told_with_its_field() {
    let rows = [
        ("", "it has 0 fields"),
        ("* * * *", "it has 4 fields"),
        ("* * * * * * *", "it has 7 fields"),
        ("60 * * * *", "minute `60`: `60` is not 0 to 59"),
        ("60 * * * * *", "second `60`: `60` is not 0 to 59"),
        ("* 24 * * *", "hour `24`: `24` is not 0 to 23"),
        ("* * 0 * *", "day of the month `0`: `0` is not 1 to 31"),
        ("* * * 13 *", "month `13`: `13` is not 1 to 12, or jan to dec"),
        ("* * * * 8", "day of the week `8`: `8` is not 0 to 7, or sun to sat"),
        ("* * * * monday", "`monday` is not"),
        ("*/0 * * * *", "the step `0` is not 1 to 59"),
        ("*/x * * * *", "the step `x`"),
        ("1,,2 * * * *", "`` is not"),
        ("-1 * * * *", "`` is not"),
        ("+1 * * * *", "`+1` is not"),
        ("* 22-2 * * *", "the range 22-2 goes backwards; write two: 22-23,0-2"),
        ("* * * * fri#6", "after `#` stands 1 to 5"),
        ("* * * * L", "`` is not"),
        ("* L * * *", "`L` is not"),
        ("? * * * *", "`?` is not"),
        ("0 0 30 2 *", "that day never comes"),
        ("0 0 31 2,4,6,9,11 *", "that day never comes"),
        ("@reboot", "it has 1 fields"),
        ("0 0 * * * # nightly", "it has 7 fields"),
    ];
    for (text, part) in rows {
        let error = text.parse::<Cron>().expect_err(text).to_string();
        assert!(error.contains(part), "{text}: {error}");
    }
    let long = "0,".repeat(200) + "0 * * * *";
    assert!(long.parse::<Cron>().unwrap_err().to_string().len() < 300);
}

/// New York goes from 02:00 to 03:00 on 2030-03-10, and from 02:00 back to 01:00 on 2030-11-03.
#[test]
fn a_time_that_is_left_out_fires_once_when_the_clocks_go_on() {
    let (zone, day) = (zone("America/New_York"), "2030-03-10T05:00:00Z");
    let rows: &[(&str, &[&str])] = &[
        ("30 2 * * *", &["2030-03-10T03:00:00-04:00", "2030-03-11T02:30:00-04:00"]),
        ("*/10 2 * * *", &["2030-03-10T03:00:00-04:00", "2030-03-11T02:00:00-04:00"]),
        ("0,30 2,3 * * *", &["2030-03-10T03:00:00-04:00", "2030-03-10T03:30:00-04:00"]),
        ("0 2 10 3 *", &["2030-03-10T03:00:00-04:00", "2031-03-10T02:00:00-04:00"]),
        ("30 1 * * *", &["2030-03-10T01:30:00-05:00", "2030-03-11T01:30:00-04:00"]),
        (
            "*/30 * * * *",
            &[
                "2030-03-10T00:30:00-05:00",
                "2030-03-10T01:00:00-05:00",
                "2030-03-10T01:30:00-05:00",
                "2030-03-10T03:00:00-04:00",
                "2030-03-10T03:30:00-04:00",
            ],
        ),
        (
            "45 * * * *",
            &[
                "2030-03-10T00:45:00-05:00",
                "2030-03-10T01:45:00-05:00",
                "2030-03-10T03:45:00-04:00",
            ],
        ),
    ];
    for (text, expected) in rows {
        assert_eq!(&times(text, &zone, day, expected.len()), expected, "{text}");
    }
}

#[test]
fn a_time_that_comes_twice_fires_the_first_time() {
    let (zone, day) = (zone("America/New_York"), "2030-11-03T04:30:00Z");
    let rows: &[(&str, &[&str])] = &[
        ("30 1 * * *", &["2030-11-03T01:30:00-04:00", "2030-11-04T01:30:00-05:00"]),
        (
            "*/30 1 * * *",
            &[
                "2030-11-03T01:00:00-04:00",
                "2030-11-03T01:30:00-04:00",
                "2030-11-04T01:00:00-05:00",
            ],
        ),
        ("0 1,2 * * *", &["2030-11-03T01:00:00-04:00", "2030-11-03T02:00:00-05:00"]),
        (
            "*/30 * * * *",
            &[
                "2030-11-03T01:00:00-04:00",
                "2030-11-03T01:30:00-04:00",
                "2030-11-03T01:00:00-05:00",
                "2030-11-03T01:30:00-05:00",
                "2030-11-03T02:00:00-05:00",
            ],
        ),
    ];
    for (text, expected) in rows {
        assert_eq!(&times(text, &zone, day, expected.len()), expected, "{text}");
    }
    // In the second pass the first is over.
    let second_pass = times("15 1 * * *", &zone, "2030-11-03T06:00:00Z", 1);
    assert_eq!(second_pass, ["2030-11-04T01:15:00-05:00"]);
}

#[test]
fn a_day_that_is_left_out_is_made_up_for() {
    // Samoa went from the end of the 29th of December 2011 to the 31st.
    let found = times("0 9 30 12 *", &zone("Pacific/Apia"), "2011-12-29T00:00:00Z", 2);
    assert_eq!(found, ["2011-12-31T00:00:00+14:00", "2012-12-30T09:00:00+14:00"]);
}

/// All moments of `cron` in `(after, end]`, by looking at each minute.
fn by_looking(cron: &Cron, zone: &TimeZone, after: Timestamp, end: Timestamp) -> Vec<Timestamp> {
    let fits = |civil: DateTime| {
        has(cron.hours, civil.hour().unsigned_abs().into())
            && has(cron.minutes, civil.minute().unsigned_abs().into())
            && cron.fits_day(civil.date())
    };
    let minute = SignedDuration::from_mins(1);
    let mut now = after.round(jiff::Unit::Minute).unwrap() - SignedDuration::from_hours(30);
    // The latest time of day that any clock showed so far.
    let mut latest = zone.to_datetime(now);
    let mut found = Vec::new();
    while now + minute <= end {
        now += minute;
        let civil = zone.to_datetime(now);
        let mut due = cron.hours == ALL_HOURS && fits(civil);
        while latest < civil {
            latest = latest.checked_add(1.minute()).unwrap();
            due |= cron.hours != ALL_HOURS && fits(latest);
        }
        if due && now > after {
            found.push(now);
        }
    }
    found
}

fn field(values: std::ops::RangeInclusive<u8>) -> impl Strategy<Value = String> {
    let (one, other, step) = (values.clone(), values.clone(), 1..=*values.end());
    prop_oneof![
        3 => Just("*".to_owned()),
        2 => one.prop_map(|value| value.to_string()),
        1 => step.prop_map(|step| format!("*/{step}")),
        2 => (other, values).prop_map(|(a, b)| format!("{}-{},{b}", a.min(b), a.max(b))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn the_next_time_is_the_one_that_looking_at_every_minute_finds(
        (minute, hour) in (field(0..=59), field(0..=23)),
        (day, weekday) in (field(1..=31), field(0..=7)),
        place in prop::sample::select(vec![
            ("America/New_York", "2030-03-10T07:00:00Z"),
            ("America/New_York", "2030-11-03T06:00:00Z"),
            ("Europe/Berlin", "2030-03-31T01:00:00Z"),
            ("Europe/Berlin", "2030-10-27T01:00:00Z"),
            ("Australia/Lord_Howe", "2030-10-05T15:30:00Z"),
            ("Australia/Lord_Howe", "2030-04-06T15:00:00Z"),
            ("Pacific/Apia", "2011-12-30T10:00:00Z"),
            ("Asia/Kolkata", "2030-06-01T00:00:00Z"),
        ]),
        seconds in -100_000_i64..100_000,
    ) {
        let (zone, change) = (zone(place.0), place.1.parse::<Timestamp>().unwrap());
        let after = change + SignedDuration::from_secs(seconds);
        let Ok(cron) = format!("{minute} {hour} {day} * {weekday}").parse::<Cron>() else {
            return Ok(());
        };
        let end = after + SignedDuration::from_hours(40);
        let expected = by_looking(&cron, &zone, after, end);
        let mut found = Vec::new();
        let mut last = after;
        while let Some(next) = cron.next_after(last, &zone).filter(|next| *next <= end) {
            prop_assert!(next > last);
            found.push(next);
            last = next;
        }
        prop_assert_eq!(found, expected, "{} in {} after {}", cron, place.0, after);
    }

    #[test]
    fn no_text_makes_reading_panic(text in "[-*/?,#LW0-9a-z @]{0,40}") {
        if let Ok(cron) = text.parse::<Cron>() {
            prop_assert!(cron.next_after(Timestamp::UNIX_EPOCH, &TimeZone::UTC).is_some());
        }
    }
}
