//! What a process says on its notification socket, as systemd's services do: lines `KEY=VALUE`.
//!
//! Nothing that is said here can harm: what is not known or can't be read is passed over, as systemd
//! does, and named for the log.

use std::time::Duration;

use super::excerpt::{excerpt, shorten};

/// The most bytes of a `STATUS=`; the rest is cut off.
pub const MAX_STATUS: usize = 512;

/// The longest time that a process may ask for.
pub const MAX_EXTENSION: Duration = Duration::from_secs(24 * 60 * 60);

/// What one datagram says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Notice {
    /// `READY=1`: it can work.
    pub ready: bool,
    /// `STOPPING=1`: it is on its way out, by itself.
    pub stopping: bool,
    /// `WATCHDOG=1`: it lives; and it promises to go on saying so.
    pub beat: bool,
    /// `WATCHDOG=trigger`: it wants to be replaced.
    pub trigger: bool,
    /// `WATCHDOG_USEC=`: its own limit of silence.
    pub limit: Option<Duration>,
    /// `EXTEND_TIMEOUT_USEC=`: it needs this much time from now.
    pub extend: Option<Duration>,
    /// `STATUS=`: what it says of itself, for people; empty to take that back.
    pub status: Option<String>,
    /// What was passed over, and why.
    pub ignored: Vec<String>,
}

/// Keys that mean something to systemd, and nothing to a host.
const NOT_OURS: [&str; 14] = [
    "RELOADING",
    "MONOTONIC_USEC",
    "ERRNO",
    "BUSERROR",
    "VARLINKERROR",
    "EXIT_STATUS",
    "MAINPID",
    "MAINPIDFDID",
    "MAINPIDFD",
    "FDSTORE",
    "FDSTOREREMOVE",
    "FDNAME",
    "FDPOLL",
    "BARRIER",
];

/// Reads a datagram.
pub fn parse(bytes: &[u8]) -> Notice {
    let mut notice = Notice::default();
    for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        if let Err(why) = take(&mut notice, line) {
            notice.ignored.push(why);
        }
    }
    notice
}

fn take(notice: &mut Notice, line: &[u8]) -> Result<(), String> {
    let unknown = || format!("`{}` is nothing that a host knows", excerpt(line));
    let text = std::str::from_utf8(line).map_err(|_| unknown())?;
    let (key, value) = text.split_once('=').ok_or_else(unknown)?;
    match (key, value) {
        ("READY", "1") => notice.ready = true,
        ("STOPPING", "1") => notice.stopping = true,
        ("WATCHDOG", "1") => notice.beat = true,
        ("WATCHDOG", "trigger") => notice.trigger = true,
        ("WATCHDOG_USEC", _) => notice.limit = Some(micros(key, value)?),
        ("EXTEND_TIMEOUT_USEC", _) => notice.extend = Some(micros(key, value)?.min(MAX_EXTENSION)),
        ("STATUS", _) => notice.status = Some(shorten(value, MAX_STATUS)),
        (key, _) if NOT_OURS.contains(&key) || key.starts_with("X_") => {}
        _ => return Err(unknown()),
    }
    Ok(())
}

fn micros(key: &str, value: &str) -> Result<Duration, String> {
    match value.parse::<u64>() {
        Ok(micros) if micros > 0 => Ok(Duration::from_micros(micros)),
        _ => Err(format!(
            "{key} must be a number of microseconds, got `{}`",
            excerpt(value.as_bytes())
        )),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_a_process_may_say() {
        let none = Notice::default;
        let ms = Duration::from_millis;
        let rows = [
            ("READY=1", Notice { ready: true, ..none() }),
            ("STOPPING=1\n", Notice { stopping: true, ..none() }),
            ("WATCHDOG=1", Notice { beat: true, ..none() }),
            ("WATCHDOG=trigger", Notice { trigger: true, ..none() }),
            ("WATCHDOG_USEC=2000", Notice { limit: Some(ms(2)), ..none() }),
            ("EXTEND_TIMEOUT_USEC=3000000", Notice { extend: Some(ms(3000)), ..none() }),
            (
                "EXTEND_TIMEOUT_USEC=18446744073709551615",
                Notice { extend: Some(MAX_EXTENSION), ..none() },
            ),
            (
                "READY=1\nSTATUS=a=b\nMAINPID=7\nX_OWN=1",
                Notice { ready: true, status: Some("a=b".to_owned()), ..none() },
            ),
            ("STATUS=", Notice { status: Some(String::new()), ..none() }),
            ("", none()),
        ];
        for (text, expected) in rows {
            assert_eq!(parse(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn what_can_not_be_read_is_named_and_the_rest_counts() {
        let notice =
            parse(b"READY=2\nREADY\n\xff\nWATCHDOG_USEC=0\nEXTEND_TIMEOUT_USEC=x\nWATCHDOG=1");
        assert!(notice.beat && !notice.ready && notice.limit.is_none() && notice.extend.is_none());
        assert_eq!(notice.ignored.len(), 5, "{:?}", notice.ignored);
        assert!(notice.ignored[3].contains("WATCHDOG_USEC must be a number"), "{notice:?}");
    }

    proptest! {
        #[test]
        fn nothing_that_is_sent_does_harm(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let notice = parse(&bytes);
            prop_assert!(notice.status.is_none_or(|status| status.len() <= MAX_STATUS + 64));
            prop_assert!(notice.ignored.len() <= bytes.len());
        }

        #[test]
        fn a_status_is_told_as_it_was_said(status in "[a-zA-Z0-9 =äß]{0,80}") {
            let notice = parse(format!("STATUS={status}\nREADY=1").as_bytes());
            prop_assert_eq!(notice.status, Some(status));
            prop_assert!(notice.ready);
        }
    }
}
