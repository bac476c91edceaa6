//! Reading the feed of all steps of all tasks from where a reader has been.
//!
//! A position alone does not say where: a lower one may be committed later than a higher one. So a
//! cursor holds the snapshot up to which everything has been read. The head of
//! `sql/migrations/0008_feed.sql` has the reasons for the order.

use std::{fmt, str::FromStr};

/// Where a reader of the feed has been. Its text is for the reader to keep and give back, and says
/// nothing that programs should read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedCursor {
    /// Everything that this snapshot sees has been read.
    seen: Snapshot,
    /// A page was full: of what this one sees, the rest after `at` is still to be read.
    upto: Option<Snapshot>,
    /// The position, and the place in it, after which the next page begins.
    at: (i64, i64),
}

/// A snapshot as Postgres writes it: `xmin:xmax:xip,...`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot(String);

/// A text that is no cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "is no cursor; send the `next` of the page before, `latest`, or nothing to begin at the beginning"
)]
pub struct NoCursor;

impl FeedCursor {
    /// Before everything that is kept.
    pub fn beginning() -> Self {
        Self::latest(Snapshot("1:1:".to_owned()))
    }

    /// After everything that `seen` sees.
    pub const fn latest(seen: Snapshot) -> Self {
        Self { seen, upto: None, at: (0, 0) }
    }

    /// What the next page must not have.
    pub fn seen(&self) -> &str {
        &self.seen.0
    }

    /// What the next page must have; whatever there is if none.
    pub fn upto(&self) -> Option<&str> {
        self.upto.as_ref().map(|upto| &*upto.0)
    }

    /// After which position and place the next page begins.
    pub const fn at(&self) -> (i64, i64) {
        self.at
    }

    /// Whether there is nothing left of a page that was full.
    pub const fn is_whole(&self) -> bool {
        self.upto.is_none()
    }

    /// The same place, where nothing is to be read beyond what `other` has read, who is at a whole
    /// place. A reader who gets there is where `other` is.
    #[must_use]
    pub fn until(&self, other: &Self) -> Self {
        if self.is_whole() {
            Self { upto: Some(other.seen.clone()), ..self.clone() }
        } else {
            self.clone()
        }
    }

    /// Where a reader is after a page of what `upto` sees and `seen` does not: one that was full and
    /// ended at `full`, or one that had room for more.
    #[must_use]
    pub fn after(seen: Snapshot, upto: Snapshot, full: Option<(i64, i64)>) -> Self {
        match full {
            Some(at) => Self { seen, upto: Some(upto), at },
            None => Self::latest(upto),
        }
    }
}

impl FromStr for Snapshot {
    type Err = NoCursor;

    fn from_str(text: &str) -> Result<Self, NoCursor> {
        let parts: Vec<&str> = text.split(':').collect();
        let is_number = |text: &str| text.parse::<u64>().is_ok();
        let [low, high, open] = parts[..] else { return Err(NoCursor) };
        let is_sound = is_number(low)
            && is_number(high)
            && (open.is_empty() || open.split(',').all(is_number));
        if is_sound { Ok(Self(text.to_owned())) } else { Err(NoCursor) }
    }
}

impl fmt::Display for FeedCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (position, place) = self.at;
        let upto = self.upto().unwrap_or("-");
        write!(f, "1~{}~{upto}~{position}~{place}", self.seen.0)
    }
}

impl FromStr for FeedCursor {
    type Err = NoCursor;

    fn from_str(text: &str) -> Result<Self, NoCursor> {
        let parts: Vec<&str> = text.split('~').collect();
        let ["1", seen, upto, position, place] = parts[..] else { return Err(NoCursor) };
        let number = |text: &str| text.parse::<i64>().map_err(|_| NoCursor);
        Ok(Self {
            seen: seen.parse()?,
            upto: if upto == "-" { None } else { Some(upto.parse()?) },
            at: (number(position)?, number(place)?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(text: &str) -> Snapshot {
        text.parse().unwrap()
    }

    #[test]
    fn a_cursor_is_read_as_it_was_written() {
        let begin = FeedCursor::beginning();
        let full = FeedCursor::after(snapshot("4:4:"), snapshot("7:9:7,8"), Some((12, 3)));
        let done = FeedCursor::after(snapshot("4:4:"), snapshot("9:9:"), None);
        for cursor in [begin, full, done] {
            assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }
        for bad in [
            "",
            "1~0",
            "2~1:1:~-~0~0",
            "1~1:1:~-~x~0",
            "1~1:1~-~0~0",
            "1~1:1:;~-~0~0",
            "1~a:1:~-~0~0",
        ] {
            assert_eq!(bad.parse::<FeedCursor>(), Err(NoCursor), "{bad}");
        }
    }

    #[test]
    fn a_reader_is_led_to_where_another_is() {
        let other = FeedCursor::latest(snapshot("9:9:"));
        let behind = FeedCursor::latest(snapshot("4:4:")).until(&other);
        assert_eq!(
            (behind.seen(), behind.upto(), behind.is_whole()),
            ("4:4:", Some("9:9:"), false)
        );
        // What is left of a page comes first.
        let full = FeedCursor::after(snapshot("4:4:"), snapshot("7:7:"), Some((1, 2)));
        assert_eq!(full.until(&other), full);
    }

    #[test]
    fn a_full_page_goes_on_within_what_it_saw() {
        let (seen, upto) = (snapshot("4:4:"), snapshot("7:9:7"));
        let full = FeedCursor::after(seen.clone(), upto.clone(), Some((12, 3)));
        assert_eq!((full.seen(), full.upto(), full.at()), ("4:4:", Some("7:9:7"), (12, 3)));
        let done = FeedCursor::after(seen, upto, None);
        assert_eq!((done.seen(), done.upto(), done.at()), ("7:9:7", None, (0, 0)));
    }
}
