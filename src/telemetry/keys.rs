//! The one list of the names of fields in log lines. `docs/LOGGING.md` says what each one means; a
//! test refuses a line anywhere in the source that uses another.

macro_rules! keys {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        $($(#[$doc])* pub const $name: &str = $text;)*

        /// Every name.
        pub const ALL: &[&str] = &[$($text,)*];
    };
}

keys! {
    /// The part of the program: [`Component`](crate::telemetry::Component).
    COMPONENT = "component",
    /// The id of the host.
    HOST = "host",
    /// The name of a fleet.
    FLEET = "fleet",
    /// The name of an agent.
    AGENT = "agent",
    /// The generation of an agent's process.
    GENERATION = "generation",
    /// The id of a process.
    PID = "pid",
    /// The id of a task.
    TASK = "task",
    /// The number of an attempt.
    ATTEMPT = "attempt",
    /// The name of a queue.
    QUEUE = "queue",
    /// The name of a key, or the pattern of keys, that tasks are counted by.
    KEY = "key",
    /// The name of an endpoint of webhooks.
    ENDPOINT = "endpoint",
    /// The id of the delivery of a webhook.
    DELIVERY = "delivery",
    /// The name of a schedule.
    SCHEDULE = "schedule",
    /// A run of a plan.
    PLAN_RUN = "plan_run",
    /// The number of a leadership among the hosts.
    TERM = "term",
    /// The name of a duty of the leader.
    DUTY = "duty",
    /// The state before a change.
    FROM = "from",
    /// What made the change.
    EVENT = "event",
    /// The state after a change.
    TO = "to",
    /// The class of a failure.
    CLASS = "class",
    /// Why, in words.
    REASON = "reason",
    /// The name of a signal.
    SIGNAL = "signal",
    /// How a process ended.
    EXIT = "exit",
    /// An error with its causes: [`Chain`](crate::telemetry::Chain).
    ERROR = "error",
    /// What can be done about an error.
    RECOVERY = "recovery",
    /// The name of a statement.
    STATEMENT = "statement",
    /// A field of the settings, by its dotted name.
    FIELD = "field",
    /// A file or directory.
    PATH = "path",
    /// A network address or a socket.
    ADDRESS = "address",
    /// Of which kind it is.
    KIND = "kind",
    /// What a person can do about it.
    ADVICE = "advice",
    /// How many of what the message names.
    COUNT = "count",
    /// How many bytes.
    BYTES = "bytes",
    /// How long something took, in milliseconds.
    ELAPSED_MS = "elapsed_ms",
    /// How long something will wait, in milliseconds.
    WAIT_MS = "wait_ms",
    /// How late something is, in milliseconds.
    LAG_MS = "lag_ms",
    /// A version of this program, of Postgres or of the schema.
    VERSION = "version",
    /// The id of a session.
    SESSION = "session",
    /// The command of a webhook or a path, or the tool that was called.
    COMMAND = "command",
    /// The method of an HTTP request or of a JSON-RPC call.
    METHOD = "method",
    /// The status of an HTTP response.
    STATUS = "status",
    /// Who asks: `owner`, `anybody`, `http.api_key`, `nobody`, or `key:` and the id of an API key.
    CALLER = "caller",
    /// The id of an HTTP request: its `x-request-id`.
    REQUEST = "request",
}

/// The names that every line has, and that no field may take.
pub const FIXED: [&str; 3] = ["ts", "level", "msg"];

#[cfg(test)]
mod tests {
    use std::{
        fs,
        path::{Path, PathBuf},
    };

    use super::*;

    /// The macros whose `"name" => value` pairs are fields.
    const MACROS: [&str; 10] =
        ["crit!", "error!", "warn!", "info!", "debug!", "trace!", "log!", "o!", "b!", "kv!"];

    fn rust_files(dir: &Path, files: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                rust_files(&path, files);
            } else if path.extension().is_some_and(|it| it == "rs") {
                files.push(path);
            }
        }
    }

    /// The text from `start`, where a bracket is open, to where it closes.
    fn call(text: &str, start: usize) -> &str {
        let mut depth = 0;
        let end = text[start..].char_indices().find(|(_, c)| {
            match c {
                '(' => depth += 1,
                ')' => depth -= 1,
                _ => {}
            }
            depth == 0
        });
        &text[start..end.map_or(text.len(), |(at, _)| start + at)]
    }

    /// The names of the fields in the log lines of `text`.
    fn fields(text: &str) -> Vec<&str> {
        let mut found = Vec::new();
        for name in MACROS {
            for (at, _) in text.match_indices(&format!("{name}(")) {
                let whole_word =
                    !text[..at].ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
                if !whole_word {
                    continue;
                }
                let pieces: Vec<&str> = call(text, at + name.len()).split('"').collect();
                for pair in pieces.windows(2).skip(1).step_by(2) {
                    if pair[1].trim_start().starts_with("=>") {
                        found.push(pair[0]);
                    }
                }
            }
        }
        found
    }

    #[test]
    fn the_search_finds_fields_and_nothing_else() {
        let text = r#"info!(log, "claimed"; "count" => n(), "lag_ms" => 3); o!("task" => id);
            match x { "other" => 1 } foo!("no" => 1)"#;
        assert_eq!(fields(text), ["count", "lag_ms", "task"]);
    }

    #[test]
    fn every_field_in_the_source_is_in_the_list() {
        let mut files = Vec::new();
        rust_files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
        let unknown: Vec<String> = files
            .iter()
            .filter(|path| !path.ends_with("telemetry/keys.rs"))
            .flat_map(|path| {
                let text = fs::read_to_string(path).unwrap();
                let unknown = fields(&text).into_iter().filter(|key| !ALL.contains(key));
                unknown.map(|key| format!("{}: {key}", path.display())).collect::<Vec<_>>()
            })
            .collect();
        assert!(unknown.is_empty(), "not in telemetry/keys.rs: {unknown:#?}");
    }

    #[test]
    fn every_field_is_documented() {
        let text = include_str!("../../docs/LOGGING.md");
        for key in ALL.iter().chain(&FIXED) {
            assert!(
                text.contains(&format!("| `{key}` |")),
                "docs/LOGGING.md says nothing of {key}"
            );
        }
    }
}
