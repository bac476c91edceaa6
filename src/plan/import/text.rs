//! What people write in a heading, a field or a bullet, as values.

use std::time::Duration;

/// The units of durations, by how their words begin.
const UNITS: [(&str, f64); 4] = [("day", 28_800.0), ("h", 3_600.0), ("m", 60.0), ("s", 1.0)];

/// The first duration in `text`, such as `2 hours`, `1.5h` or `30 min`; a day is eight hours. The
/// second value is its upper end, where it is a range such as `2-3 hours`.
pub(super) fn duration(text: &str) -> Option<(Duration, Option<Duration>)> {
    let lower = text.to_lowercase().replace(['–', '—'], "-");
    let mut rest = lower.as_str();
    while let Some(at) = rest.find(|c: char| c.is_ascii_digit()) {
        let (first, after) = number(&rest[at..]);
        let (last, after) = match after.trim_start().strip_prefix('-') {
            Some(more) if more.trim_start().starts_with(|c: char| c.is_ascii_digit()) => {
                let (last, after) = number(more.trim_start());
                (Some(last), after)
            }
            _ => (None, after),
        };
        let word: String = after.trim_start().chars().take_while(|c| c.is_alphabetic()).collect();
        let unit = UNITS.iter().find(|(name, _)| is_unit(&word, name));
        if let Some((_, seconds)) = unit {
            let of = |number: f64| Duration::from_secs_f64((number * seconds).min(3.0e8));
            return Some((of(first), last.map(of)));
        }
        rest = after;
    }
    None
}

fn is_unit(word: &str, unit: &str) -> bool {
    match unit {
        "day" => matches!(word, "day" | "days" | "d"),
        "h" => matches!(word, "h" | "hr" | "hrs" | "hour" | "hours"),
        "m" => matches!(word, "m" | "min" | "mins" | "minute" | "minutes"),
        _ => matches!(word, "s" | "sec" | "secs" | "second" | "seconds"),
    }
}

/// The number that `text` begins with, and what follows it.
fn number(text: &str) -> (f64, &str) {
    let dot = |at: usize| text[at + 1..].starts_with(|c: char| c.is_ascii_digit());
    let end = text
        .char_indices()
        .find(|(at, c)| !(c.is_ascii_digit() || *c == '.' && dot(*at)))
        .map_or(text.len(), |(at, _)| at);
    (text[..end].parse().unwrap_or(0.0), &text[end..])
}

/// The words of `text`, in lower case; an underline parts words as a space does.
pub(super) fn words(text: &str) -> Vec<String> {
    let parts = text.split(|c: char| !c.is_alphanumeric());
    parts.filter(|word| !word.is_empty()).map(str::to_lowercase).collect()
}

/// A name made of a title.
pub(super) fn slug(title: &str) -> String {
    let plain = |word: &String| word.bytes().all(|c| c.is_ascii_alphanumeric());
    let words: Vec<String> = words(title).into_iter().filter(plain).collect();
    let mut slug = String::new();
    for word in words {
        if slug.len() + word.len() + 1 > 60 {
            break;
        }
        if !slug.is_empty() {
            slug.push('-');
        }
        slug.push_str(&word);
    }
    if slug.is_empty() { "task".to_owned() } else { slug }
}

/// A title without the signs behind it, such as `✅ FULLY PARALLELIZABLE`, and those signs.
pub(super) fn without_signs(title: &str) -> (&str, &str) {
    let is_sign = |c: char| c >= '\u{2190}' && !c.is_alphanumeric();
    match title.find(is_sign) {
        Some(at) => (title[..at].trim(), &title[at..]),
        None => (title.trim(), ""),
    }
}

/// The texts between backquotes.
pub(super) fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).filter(|it| !it.is_empty()).collect()
}

/// Whether the words of `part` stand in `whole` next to each other and in this order.
pub(super) fn names(whole: &[String], part: &[String]) -> bool {
    !part.is_empty() && whole.windows(part.len()).any(|window| window == part)
}

/// Whether the words of `part` stand in `whole` in this order.
pub(super) fn hints_at(whole: &[String], part: &[String]) -> bool {
    let mut rest = whole.iter();
    !part.is_empty() && part.iter().all(|word| rest.any(|other| other == word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_found_in_sentences() {
        let hours = |hours: f64| Duration::from_secs_f64(hours * 3_600.0);
        let rows = [
            ("2 hours", Some((2.0, None))),
            ("about 1.5h", Some((1.5, None))),
            ("2–3 hours", Some((2.0, Some(3.0)))),
            ("30 min", Some((0.5, None))),
            ("Phase 2 takes 1 day", Some((8.0, None))),
            ("3 agents", None),
            ("", None),
        ];
        for (text, wanted) in rows {
            let wanted =
                wanted.map(|(low, high): (f64, Option<f64>)| (hours(low), high.map(hours)));
            assert_eq!(duration(text), wanted, "{text}");
        }
    }

    #[test]
    fn titles_become_names() {
        assert_eq!(slug("LISTEN/NOTIFY"), "listen-notify");
        assert_eq!(slug("Agent Registry + Spawn Logic"), "agent-registry-spawn-logic");
        assert_eq!(slug("⛔"), "task");
        assert_eq!(without_signs("Real-Time ✅ FULLY"), ("Real-Time", "✅ FULLY"));
    }
}
