//! Durations and sizes as people write them: `"1h 30m"`, `"64MiB"`.

use std::time::Duration;

/// The units of sizes, larger ones first, so that formatting finds the largest that divides.
const SIZES: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("TB", 1_000_000_000_000),
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("KB", 1_000),
    ("B", 1),
];

/// Reads a duration such as `"30s"`, `"5m"` or `"1h 30m"`. The error says what to write.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    if is_bare_number(text) {
        return Err(needs_a_unit(text));
    }
    humantime::parse_duration(text).map_err(|_| {
        format!(
            "`{text}` is not a duration: write whole numbers with units, such as \"30s\", \"5m\" or \"1h 30m\""
        )
    })
}

/// What to say about a duration without a unit.
pub(super) fn needs_a_unit(number: &str) -> String {
    format!("a duration needs a unit: write \"{number}s\" or \"{number}m\" instead of {number}")
}

/// Reads a size such as `"64MiB"` or `"10 MB"`. The error says what to write.
pub fn parse_size(text: &str) -> Result<u64, String> {
    if is_bare_number(text) {
        return Err(size_needs_a_unit(text));
    }
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim();
    let factor =
        SIZES.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)).map(|(_, factor)| *factor);
    match (number.parse::<u64>(), factor) {
        (Ok(number), Some(factor)) => number
            .checked_mul(factor)
            .ok_or_else(|| format!("`{text}` is more bytes than there are")),
        _ => Err(format!(
            "`{text}` is not a size: write a whole number with a unit, such as \"64KiB\", \"10MB\" or \"1GiB\""
        )),
    }
}

/// What to say about a size without a unit.
pub(super) fn size_needs_a_unit(number: &str) -> String {
    format!("a size needs a unit: write \"{number}B\" or \"{number}MiB\" instead of {number}")
}

fn is_bare_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit())
}

/// Writes a duration so that [`parse_duration`] reads it again.
pub fn format_duration(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

/// Writes a size so that [`parse_size`] reads it again, in the largest unit that divides it.
pub fn format_size(bytes: u64) -> String {
    SIZES
        .iter()
        .find(|(_, factor)| bytes >= *factor && bytes.is_multiple_of(*factor))
        .map_or_else(|| format!("{bytes}B"), |(unit, factor)| format!("{}{unit}", bytes / factor))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_are_read_with_their_units() {
        let rows = [
            ("30s", 30_000),
            ("250ms", 250),
            ("5m", 300_000),
            ("1h 30m", 5_400_000),
            ("7 days", 604_800_000),
            ("0s", 0),
        ];
        for (text, ms) in rows {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for bad in ["", " ", "30", "-5s", "30 parsecs", "five minutes", "99999999999999999999s"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
        assert_eq!(
            parse_duration("30").unwrap_err(),
            "a duration needs a unit: write \"30s\" or \"30m\" instead of 30"
        );
    }

    #[test]
    fn sizes_are_read_with_their_units() {
        let rows = [
            ("0B", 0),
            ("512 B", 512),
            ("1KiB", 1024),
            ("10MB", 10_000_000),
            ("64mib", 64 << 20),
            ("1GiB", 1 << 30),
        ];
        for (text, bytes) in rows {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for bad in ["", "64", "MiB", "-1MiB", "1.5MiB", "3 furlongs", "99999999TiB"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(bytes: u64, ms in 0u64..1 << 40) {
            prop_assert_eq!(parse_size(&format_size(bytes)), Ok(bytes));
            let duration = Duration::from_millis(ms);
            prop_assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
        }

        #[test]
        fn no_text_makes_them_panic(text in any::<String>()) {
            let read = (parse_size(&text), parse_duration(&text));
            prop_assert!(read.0.is_ok() || !read.0.unwrap_err().is_empty());
        }
    }
}
