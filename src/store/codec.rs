//! Domain types as parameters and columns. A value that a type does not know is an error.

use std::{borrow::Cow, error::Error, str, time::Duration};

use bytes::{BufMut, BytesMut};
use serde::Deserialize;
use serde_json::Value;
use tokio_postgres::types::{FromSql, IsNull, Json, Kind, ToSql, Type, to_sql_checked};
use uuid::Uuid;

use crate::domain::{
    AgentName, Attempt, BatchId, EndpointName, FleetName, GroupName, HostId, PhaseName, PlanRunId,
    PlanTaskId, QueueName, ScheduleName, TaskId,
    admission::NeedKind,
    batch::BatchEnd,
    delivery::DeliveryState,
    graph::DependencyPolicy,
    schedule::{CatchUp, FiringOutcome, Origin, Overlap},
    session::{ItemName, SessionId, SessionState},
    task::{FailureClass, Outcome, TaskState},
};

type Result<T> = std::result::Result<T, Box<dyn Error + Sync + Send>>;

/// Ids are `uuid`.
macro_rules! id_columns {
    ($($name:ident),*) => {$(
        impl ToSql for $name {
            fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull> {
                self.as_uuid().to_sql(ty, out)
            }

            fn accepts(ty: &Type) -> bool {
                <Uuid as ToSql>::accepts(ty)
            }

            to_sql_checked!();
        }

        impl<'a> FromSql<'a> for $name {
            fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self> {
                Uuid::from_sql(ty, raw).map(Self::from_uuid)
            }

            fn accepts(ty: &Type) -> bool {
                <Uuid as FromSql>::accepts(ty)
            }
        }
    )*};
}
id_columns!(TaskId, HostId, BatchId, PlanRunId);

/// Names are `text`.
macro_rules! name_columns {
    ($($name:ident),*) => {$(
        impl ToSql for $name {
            fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull> {
                self.as_str().to_sql(ty, out)
            }

            fn accepts(ty: &Type) -> bool {
                <&str as ToSql>::accepts(ty)
            }

            to_sql_checked!();
        }

        impl<'a> FromSql<'a> for $name {
            fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self> {
                Ok(<&str>::from_sql(ty, raw)?.parse()?)
            }

            fn accepts(ty: &Type) -> bool {
                <&str as FromSql>::accepts(ty)
            }
        }
    )*};
}
name_columns!(
    QueueName,
    AgentName,
    FleetName,
    GroupName,
    ScheduleName,
    EndpointName,
    PlanTaskId,
    PhaseName,
    SessionId,
    ItemName
);

/// Enums are enums, with the same words.
macro_rules! enum_columns {
    ($($name:ident as $sql:literal),*) => {$(
        impl ToSql for $name {
            fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull> {
                out.extend_from_slice(self.as_str().as_bytes());
                Ok(IsNull::No)
            }

            fn accepts(ty: &Type) -> bool {
                matches!(ty.kind(), Kind::Enum(_)) && ty.name() == $sql
            }

            to_sql_checked!();
        }

        impl<'a> FromSql<'a> for $name {
            fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self> {
                let word = str::from_utf8(raw)?;
                let known = Self::ALL.into_iter().find(|known| known.as_str() == word);
                known.ok_or_else(|| concat!("no word of ", $sql).into())
            }

            fn accepts(ty: &Type) -> bool {
                <Self as ToSql>::accepts(ty)
            }
        }
    )*};
}
enum_columns!(
    TaskState as "task_state",
    DeliveryState as "delivery_state",
    DependencyPolicy as "dependency_policy",
    FailureClass as "failure_class",
    BatchEnd as "batch_end",
    OutcomeWord as "attempt_outcome",
    NeedKind as "need_kind",
    LimitScope as "limit_scope",
    Origin as "schedule_origin",
    Overlap as "schedule_overlap",
    CatchUp as "schedule_catch_up",
    FiringOutcome as "firing_outcome",
    SessionState as "session_state"
);

/// Whose limit a row of `limits` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LimitScope {
    /// That of all tasks.
    All,
    /// That of a fleet.
    Fleet,
    /// That of each key that a pattern means.
    Key,
}

impl LimitScope {
    const ALL: [Self; 3] = [Self::All, Self::Fleet, Self::Key];

    const fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Fleet => "fleet",
            Self::Key => "key",
        }
    }
}

/// The word for how an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OutcomeWord(&'static str);

impl OutcomeWord {
    /// An attempt that failed: the one whose row has a class and a message.
    pub(super) const FAILED: Self = Self("failed");
    const ALL: [Self; 5] =
        [Self("completed"), Self::FAILED, Self("released"), Self("snoozed"), Self("cancelled")];

    pub(super) const fn of(outcome: &Outcome) -> Self {
        Self(outcome.as_str())
    }

    pub(super) const fn as_str(self) -> &'static str {
        self.0
    }
}

impl ToSql for Attempt {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull> {
        int4(self.0).to_sql(ty, out)
    }

    fn accepts(ty: &Type) -> bool {
        <i32 as ToSql>::accepts(ty)
    }

    to_sql_checked!();
}

impl<'a> FromSql<'a> for Attempt {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self> {
        Ok(Self(i32::from_sql(ty, raw)?.try_into()?))
    }

    fn accepts(ty: &Type) -> bool {
        <i32 as FromSql>::accepts(ty)
    }
}

/// A JSON document as `jsonb` keeps it: it has no place for the character NUL, which becomes
/// U+FFFD here. One agent's odd output must not keep a batch from being written.
#[derive(Debug)]
pub(super) struct Document<'a>(pub(super) &'a Value);

impl ToSql for Document<'_> {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull> {
        if has_nul(self.0) {
            Json(without_nul(self.0)).to_sql(ty, out)
        } else {
            Json(self.0).to_sql(ty, out)
        }
    }

    fn accepts(ty: &Type) -> bool {
        <Json<&Value> as ToSql>::accepts(ty)
    }

    to_sql_checked!();
}

/// A JSON document that is written already, without the character NUL.
#[derive(Debug)]
pub(super) struct JsonText<'a>(pub(super) &'a str);

impl ToSql for JsonText<'_> {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull> {
        if *ty == Type::JSONB {
            // The version of its format, the only one that there is.
            out.put_u8(1);
        }
        out.put_slice(self.0.as_bytes());
        Ok(IsNull::No)
    }

    fn accepts(ty: &Type) -> bool {
        <Json<&Value> as ToSql>::accepts(ty)
    }

    to_sql_checked!();
}

/// A JSON document that something is to be done with, or why this program can't read it.
///
/// `jsonb` takes numbers of any size and any depth; whoever may submit by SQL, or writes results there,
/// can bring such a document. It must not keep those beside it from being read.
#[derive(Debug)]
pub(super) struct Read<T>(pub(super) std::result::Result<T, String>);

impl<'a, T: Deserialize<'a>> FromSql<'a> for Read<T> {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self> {
        let text = json_text(ty, raw)?;
        Ok(Self(serde_json::from_slice(text).map_err(|problem| problem.to_string())))
    }

    fn accepts(ty: &Type) -> bool {
        <Value as FromSql>::accepts(ty)
    }
}

/// A JSON document that people are shown. One that this program can't read, or that they could not,
/// inside of what it is shown in, is its text.
#[derive(Debug)]
pub(super) struct Shown(pub(super) Value);

/// The deepest document that is shown as such: readers of JSON give up at 128, ours among them.
const MAX_SHOWN: usize = 100;

impl<'a> FromSql<'a> for Shown {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self> {
        let Read(read) = Read::<Value>::from_sql(ty, raw)?;
        match read.ok().filter(|value| is_within(value, MAX_SHOWN)) {
            Some(value) => Ok(Self(value)),
            None => Ok(Self(Value::String(str::from_utf8(json_text(ty, raw)?)?.to_owned()))),
        }
    }

    fn accepts(ty: &Type) -> bool {
        <Value as FromSql>::accepts(ty)
    }
}

/// The text of a column of `json` or `jsonb`.
fn json_text<'a>(ty: &Type, raw: &'a [u8]) -> Result<&'a [u8]> {
    match raw {
        // The version of the form comes first.
        [1, text @ ..] if *ty == Type::JSONB => Ok(text),
        _ if *ty == Type::JSONB => Err("unknown form of jsonb".into()),
        text => Ok(text),
    }
}

/// Whether `value` has at most `levels` levels.
fn is_within(value: &Value, levels: usize) -> bool {
    let within = |inner: &Value| levels > 0 && is_within(inner, levels - 1);
    match value {
        Value::Array(items) => items.iter().all(within),
        Value::Object(fields) => fields.values().all(within),
        _ => true,
    }
}

/// Whether a text in `value` has a NUL.
pub(super) fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(has_nul),
        Value::Object(fields) => {
            fields.iter().any(|(name, value)| name.contains('\0') || has_nul(value))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

fn without_nul(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::String(plain_text(text).into_owned()),
        Value::Array(items) => Value::Array(items.iter().map(without_nul).collect()),
        Value::Object(fields) => Value::Object(
            fields
                .iter()
                .map(|(name, value)| (plain_text(name).into_owned(), without_nul(value)))
                .collect(),
        ),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

/// A text as `text` keeps it, with U+FFFD for every NUL.
pub(super) fn plain_text(text: &str) -> Cow<'_, str> {
    if text.contains('\0') {
        Cow::Owned(text.replace('\0', "\u{fffd}"))
    } else {
        Cow::Borrowed(text)
    }
}

/// Texts as the text of a `text[]`: the one way to give a statement an array for each of its rows.
pub(super) fn array_text(texts: &[String]) -> String {
    let mut array = String::from("{");
    for (nth, text) in texts.iter().enumerate() {
        if nth > 0 {
            array.push(',');
        }
        array.push('"');
        for character in plain_text(text).chars() {
            if matches!(character, '"' | '\\') {
                array.push('\\');
            }
            array.push(character);
        }
        array.push('"');
    }
    array.push('}');
    array
}

/// A count as `integer`; one that is too large becomes the largest.
pub(super) fn int4(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

/// A duration as `bigint` milliseconds; one that is too long becomes a hundred years, which can
/// still be added to a time.
pub(super) fn milliseconds(duration: Duration) -> i64 {
    const CENTURY: i64 = 100 * 365 * 24 * 3_600_000;
    i64::try_from(duration.as_millis()).map_or(CENTURY, |ms| ms.min(CENTURY))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_text_of_an_array_keeps_what_is_in_it() {
        let texts = ["plain", "", "null", "a,b", "{c}", "say \"hi\"", "back\\slash", "n\0l"];
        assert_eq!(
            array_text(&texts.map(str::to_owned)),
            "{\"plain\",\"\",\"null\",\"a,b\",\"{c}\",\"say \\\"hi\\\"\",\"back\\\\slash\",\"n\u{fffd}l\"}"
        );
        assert_eq!(array_text(&[]), "{}");
    }

    #[test]
    fn a_nul_is_replaced_wherever_it_stands() {
        let dirty = json!({"a\0": ["x\0y", 1, null, {"k": "\\u0000"}]});
        assert!(has_nul(&dirty));
        let clean = without_nul(&dirty);
        assert_eq!(clean, json!({"a\u{fffd}": ["x\u{fffd}y", 1, null, {"k": "\\u0000"}]}));
        assert!(!has_nul(&clean));
    }

    #[test]
    fn what_can_not_be_read_is_told_and_shown_as_its_text() {
        let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        let stored = |text: &str| [&[1], text.as_bytes()].concat();
        let read = |text: &str| Read::<Value>::from_sql(&Type::JSONB, &stored(text)).unwrap().0;
        let shown = |text: &str| Shown::from_sql(&Type::JSONB, &stored(text)).unwrap().0;
        assert_eq!(read("[1, {}]"), Ok(json!([1, {}])));
        assert_eq!(shown("[1, {}]"), json!([1, {}]));
        // The largest that is taken, as the server writes it.
        assert!(read(&format!("179{}", "0".repeat(306))).is_ok());
        let huge = format!("1{}", "0".repeat(400));
        for (text, why) in [(huge, "number out of range"), (nested(130), "recursion limit")] {
            let told = read(&text).unwrap_err();
            assert!(told.contains(why), "{told}");
            assert_eq!(shown(&text), Value::String(text));
        }
        // This can be read, but not inside of an answer.
        assert!(read(&nested(120)).is_ok());
        assert_eq!(shown(&nested(120)), Value::String(nested(120)));
        assert!(shown(&nested(MAX_SHOWN)).is_array());
        assert!(Shown::from_sql(&Type::JSONB, b"\x02[]").is_err());
        assert_eq!(Shown::from_sql(&Type::JSON, b"[]").unwrap().0, json!([]));
    }

    #[test]
    fn the_words_of_outcomes_are_those_of_the_domain() {
        let outcomes = [
            Outcome::Completed { output: Value::Null },
            Outcome::failed(FailureClass::Exit, ""),
            Outcome::Released { reason: String::new() },
            Outcome::Snoozed { wait: Duration::ZERO, reason: String::new() },
            Outcome::Cancelled,
        ];
        assert_eq!(outcomes.each_ref().map(OutcomeWord::of), OutcomeWord::ALL);
    }
}
