//! `db migrate` and `db status`.

use serde_json::json;

use super::Told;
use crate::{
    cli::{exit::Exit, output::Tone},
    store::migrate,
};

pub(super) fn migrated(report: &migrate::Report) -> Told {
    let json = json!({ "from": report.from, "to": report.to, "applied": report.applied });
    let text = match report.applied.as_slice() {
        [] => format!("the schema is up to date (version {})", report.to),
        applied => format!(
            "the schema went from version {} to {}: {}",
            report.from,
            report.to,
            applied.join(", ")
        ),
    };
    (Exit::Done, json, text)
}

pub(super) fn told(status: &migrate::Status) -> Told {
    let broken = status.broken_by.as_ref();
    let json = json!({
        "found": status.found,
        "known": status.known,
        "pending": status.pending,
        "broken_by": broken.map(|(version, reason)| json!({ "version": version, "reason": reason })),
    });
    let mut text =
        format!("schema version {}; this program knows {}\n", status.found, status.known);
    for name in &status.pending {
        text.push_str(&format!("{} {name}\n", Tone::Warn.paint("to come:")));
    }
    if let Some((version, reason)) = broken {
        let bad = Tone::Bad.paint("too new:");
        text.push_str(&format!("{bad} version {version}: {reason}; use a newer hostler\n"));
    }
    let sound = status.pending.is_empty() && broken.is_none();
    (if sound { Exit::Done } else { Exit::Failed }, json, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_that_is_behind_or_too_new_is_told() {
        let sound = migrate::Status { found: 3, known: 3, pending: Vec::new(), broken_by: None };
        assert_eq!(told(&sound).0, Exit::Done);
        let behind = migrate::Status { found: 1, pending: vec!["two".to_owned()], ..sound.clone() };
        let (exit, json, text) = told(&behind);
        assert_eq!((exit, &json["pending"][0]), (Exit::Failed, &json!("two")));
        assert!(text.contains("two"), "{text}");
        let newer = migrate::Status { broken_by: Some((9, "columns moved".to_owned())), ..sound };
        let (exit, json, text) = told(&newer);
        assert_eq!((exit, &json["broken_by"]["version"]), (Exit::Failed, &json!(9)));
        assert!(text.contains("columns moved"), "{text}");
    }

    #[test]
    fn a_migration_says_what_ran() {
        let report = migrate::Report { from: 0, to: 1, applied: vec!["initial".to_owned()] };
        assert!(migrated(&report).2.contains("from version 0 to 1: initial"));
        let nothing = migrate::Report { from: 1, to: 1, applied: Vec::new() };
        assert!(migrated(&nothing).2.contains("up to date"));
    }
}
