//! What a task asks of the mock agent. Pure.

use std::{
    path::{Component, Path, PathBuf},
    time::Duration,
};

use serde_json::{Map, Value};

use crate::settings::{parse_duration, parse_size};

/// The member of an input that holds the script.
const MEMBER: &str = "mock";

/// The error code of a failure that names none.
const FAILS_WITH: i64 = 1;

/// The error code of an input that makes no sense.
pub(super) const MISREAD: i64 = 2;

/// What the agent does, in this order.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Script {
    /// A line for the log.
    pub(super) log: Option<String>,
    /// How long it works.
    pub(super) sleep: Duration,
    /// How many times it tells how far it is.
    pub(super) progress: u32,
    /// What it writes.
    pub(super) files: Vec<File>,
    /// The trouble that it makes in this attempt.
    pub(super) trouble: Option<Trouble>,
    /// Its result.
    pub(super) output: Option<Value>,
}

/// A file to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct File {
    /// Where, below the directory of the agent.
    pub(super) path: PathBuf,
    /// What is in it.
    pub(super) text: String,
}

/// How an attempt goes wrong.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Trouble {
    /// So many bytes without the end of a line.
    Flood(u64),
    /// It never ends.
    Hang {
        /// Whether it shows life meanwhile.
        beating: bool,
    },
    /// The process ends with this status.
    Exit(i64),
    /// It says that it failed.
    Fail {
        /// Its code.
        code: i64,
        /// What happened.
        message: String,
        /// More.
        data: Option<Value>,
    },
}

impl Script {
    /// What `input` asks for in attempt number `attempt`.
    ///
    /// # Errors
    ///
    /// What is wrong, for a person.
    pub(super) fn of(input: &Value, attempt: u64) -> Result<Self, String> {
        let Some(mock) = input.get(MEMBER) else { return Ok(Self::default()) };
        let Value::Object(fields) = mock else {
            return Err(format!("`{MEMBER}` must be an object"));
        };
        let mut fields = Fields(fields.clone());
        let troubles = [
            fields.take("flood", |it| size(it).map(Trouble::Flood))?,
            fields.take("hang", hang)?,
            fields.take("exit", |it| {
                it.as_i64().map(Trouble::Exit).ok_or("must be a number".into())
            })?,
            fields.take("fail", fail)?,
        ];
        let mut troubles = troubles.into_iter().flatten();
        let trouble = troubles.next();
        if troubles.next().is_some() {
            return Err("only one of flood, hang, exit and fail can be had".to_owned());
        }
        let times = fields.take("times", count)?.unwrap_or(u64::MAX);
        let script = Self {
            log: fields.take("log", text)?,
            sleep: fields.take("sleep", |it| parse_duration(&text(it)?))?.unwrap_or_default(),
            progress: fields
                .take("progress", |it| {
                    u32::try_from(count(it)?).map_err(|error| error.to_string())
                })?
                .unwrap_or(0),
            files: fields.take("write", files)?.unwrap_or_default(),
            trouble: trouble.filter(|_| attempt <= times),
            output: fields.0.remove("output"),
        };
        match fields.0.keys().next() {
            Some(other) => Err(format!("there is no `{MEMBER}.{other}`")),
            None => Ok(script),
        }
    }
}

/// The fields of a script that are not read yet.
struct Fields(Map<String, Value>);

impl Fields {
    /// Takes a field, if it is there.
    fn take<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&Value) -> Result<T, String>,
    ) -> Result<Option<T>, String> {
        let value = self.0.remove(name);
        let read = value.as_ref().map(read).transpose();
        read.map_err(|why| format!("`{MEMBER}.{name}` {why}"))
    }
}

fn text(value: &Value) -> Result<String, String> {
    value.as_str().map(str::to_owned).ok_or_else(|| "must be a text".to_owned())
}

fn count(value: &Value) -> Result<u64, String> {
    value.as_u64().ok_or_else(|| "must be a number, 0 or more".to_owned())
}

fn size(value: &Value) -> Result<u64, String> {
    parse_size(&text(value)?)
}

fn hang(value: &Value) -> Result<Trouble, String> {
    match value.as_str() {
        Some("silent") => Ok(Trouble::Hang { beating: false }),
        Some("beating") => Ok(Trouble::Hang { beating: true }),
        _ => Err("must be `silent` or `beating`".to_owned()),
    }
}

fn fail(value: &Value) -> Result<Trouble, String> {
    match value {
        Value::String(message) => {
            Ok(Trouble::Fail { code: FAILS_WITH, message: message.clone(), data: None })
        }
        Value::Object(fields) => {
            if let Some(other) =
                fields.keys().find(|key| !["code", "message", "data"].contains(&&***key))
            {
                return Err(format!("has no field `{other}`"));
            }
            let code = match fields.get("code") {
                None => FAILS_WITH,
                Some(code) => code.as_i64().ok_or("needs a number as its `code`")?,
            };
            let message = fields.get("message").map_or(Ok("as it was told to".to_owned()), text)?;
            Ok(Trouble::Fail { code, message, data: fields.get("data").cloned() })
        }
        _ => Err("must be a text or an object".to_owned()),
    }
}

/// Files by their paths. A task must not reach what is outside the directory of its agent.
fn files(value: &Value) -> Result<Vec<File>, String> {
    let Value::Object(files) = value else {
        return Err("must be an object of paths and texts".to_owned());
    };
    let inside = |path: &Path| {
        path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
    };
    files
        .iter()
        .map(|(path, text)| match text.as_str() {
            None => Err(format!("must have a text for `{path}`")),
            Some(_) if path.is_empty() || !inside(Path::new(path)) => {
                Err(format!("can not write `{path}`: a path is below the agent's directory"))
            }
            Some(text) => Ok(File { path: path.into(), text: text.to_owned() }),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_input_without_a_script_is_done_at_once() {
        for input in [json!(null), json!("text"), json!({"prompt": "build it"})] {
            assert_eq!(Script::of(&input, 1), Ok(Script::default()));
        }
    }

    #[test]
    fn everything_is_read() {
        let input = json!({"prompt": "x", "mock": {
            "sleep": "1m 30s", "progress": 3, "log": "l", "write": {"a/b.txt": "t"}, "output": null,
            "fail": {"code": 17, "message": "m", "data": [1]}, "times": 2,
        }});
        let wanted = Script {
            log: Some("l".to_owned()),
            sleep: Duration::from_secs(90),
            progress: 3,
            files: vec![File { path: "a/b.txt".into(), text: "t".to_owned() }],
            trouble: Some(Trouble::Fail {
                code: 17,
                message: "m".to_owned(),
                data: Some(json!([1])),
            }),
            output: Some(Value::Null),
        };
        assert_eq!(Script::of(&input, 2), Ok(wanted.clone()));
        assert_eq!(Script::of(&input, 3), Ok(Script { trouble: None, ..wanted }));
        let trouble = |mock: Value| Script::of(&json!({ "mock": mock }), 1).unwrap().trouble;
        assert_eq!(trouble(json!({"flood": "1KiB"})), Some(Trouble::Flood(1024)));
        assert_eq!(trouble(json!({"hang": "beating"})), Some(Trouble::Hang { beating: true }));
        assert_eq!(trouble(json!({"exit": 3})), Some(Trouble::Exit(3)));
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        let rows = [
            (json!(7), "must be an object"),
            (json!({"slep": "1s"}), "there is no `mock.slep`"),
            (json!({"sleep": 5}), "`mock.sleep` must be a text"),
            (json!({"sleep": "5"}), "`mock.sleep` a duration needs a unit"),
            (json!({"times": -1}), "`mock.times` must be a number"),
            (json!({"hang": true}), "`mock.hang` must be `silent` or `beating`"),
            (json!({"hang": "silent", "exit": 1}), "only one of"),
            (json!({"fail": {"class": "exit"}}), "`mock.fail` has no field `class`"),
            (json!({"write": {"/etc/x": "t"}}), "below the agent's directory"),
            (json!({"write": {"a/../../x": "t"}}), "below the agent's directory"),
            (json!({"write": {"a": 1}}), "must have a text for `a`"),
        ];
        for (mock, what) in rows {
            let error = Script::of(&json!({ "mock": mock }), 1).unwrap_err();
            assert!(error.contains(what), "{mock}: {error}");
        }
    }
}
