//! What the doctor found. Pure.

use serde::Serialize;

use super::super::output::Tone;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Status {
    /// All is well.
    Ok,
    /// The host will run, and something is worth a look.
    Warn,
    /// The host will not run, or not work.
    Fail,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Check {
    /// What was looked at.
    pub(super) name: String,
    /// How bad it is.
    pub(super) status: Status,
    /// What was found.
    pub(super) detail: String,
    /// What to do.
    pub(super) help: Option<String>,
}

impl Check {
    /// All is well.
    pub(super) fn ok(name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { name: name.into(), status: Status::Ok, detail: detail.into(), help: None }
    }

    /// Worth a look.
    pub(super) fn warn(
        name: impl Into<String>,
        detail: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        Self { status: Status::Warn, help: Some(help.into()), ..Self::ok(name, detail) }
    }

    /// Must be mended.
    pub(super) fn fail(
        name: impl Into<String>,
        detail: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        Self { status: Status::Fail, help: Some(help.into()), ..Self::ok(name, detail) }
    }
}

/// Everything that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Report {
    /// Whether nothing failed.
    pub(super) ok: bool,
    /// What was looked at, in order.
    pub(super) checks: Vec<Check>,
}

impl Report {
    /// The report of these checks.
    pub(super) fn of(checks: Vec<Check>) -> Self {
        Self { ok: checks.iter().all(|check| check.status != Status::Fail), checks }
    }

    /// The report for people.
    pub(super) fn render(&self) -> String {
        let width = self.checks.iter().map(|check| check.name.len()).max().unwrap_or(0);
        let mut text = String::new();
        for check in &self.checks {
            let word = match check.status {
                Status::Ok => Tone::Good.paint("ok  "),
                Status::Warn => Tone::Warn.paint("warn"),
                Status::Fail => Tone::Bad.paint("fail"),
            };
            text.push_str(&format!("{word}  {:<width$}  {}\n", check.name, check.detail));
            if let Some(help) = &check.help {
                text.push_str(&format!("      {:<width$}  {}\n", "", Tone::Dim.paint(help)));
            }
        }
        let count = |status| self.checks.iter().filter(|check| check.status == status).count();
        let verdict = match (count(Status::Fail), count(Status::Warn)) {
            (0, 0) => "ready: `hostler up` will run here".to_owned(),
            (0, warned) => format!("ready, with {warned} worth a look"),
            (failed, _) => format!("not ready: {failed} to mend first"),
        };
        text.push('\n');
        text.push_str(&verdict);
        text.push('\n');
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_failure_makes_it_not_ready() {
        let fine = Check::ok("disk", "90 GiB free");
        let odd = Check::warn("files", "1024 may be open", "ulimit -n 8192");
        let bad = Check::fail("postgres", "there is none", "install it");
        assert!(Report::of(vec![]).ok);
        assert!(Report::of(vec![fine.clone(), odd.clone()]).ok);
        let report = Report::of(vec![fine, odd, bad]);
        assert!(!report.ok);
        let text = anstream::adapter::strip_str(&report.render()).to_string();
        assert_eq!(
            text,
            "ok    disk      90 GiB free\n\
             warn  files     1024 may be open\n                ulimit -n 8192\n\
             fail  postgres  there is none\n                install it\n\n\
             not ready: 1 to mend first\n"
        );
    }

    #[test]
    fn the_json_has_every_name() {
        let report = Report::of(vec![Check::ok("disk", "fine")]);
        let json = serde_json::to_value(report).unwrap();
        let check =
            serde_json::json!({"name": "disk", "status": "ok", "detail": "fine", "help": null});
        assert_eq!(json, serde_json::json!({"ok": true, "checks": [check]}));
    }
}
