//! What is said of single values. Pure.

use serde_json::Value;

use super::MAX_DEPTH;

/// Whether `text` has 1 to `max` characters, none of them a control character.
pub(in crate::http) fn check_text(text: &str, max: usize) -> Result<(), String> {
    let count = text.chars().count();
    if count == 0 {
        return Err("must not be empty".to_owned());
    }
    if count > max {
        return Err(format!("has {count} characters; at most {max} are taken"));
    }
    match text.chars().find(|c| c.is_control()) {
        Some(control) => {
            Err(format!("must not have control characters, as U+{:04X} is", u32::from(control)))
        }
        None => Ok(()),
    }
}

/// The JSON type of a value, in words.
pub(in crate::http) const fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// What is said of a U+0000.
const NO_NUL: &str = "has the character U+0000, which Postgres can't store";

/// Whether Postgres can store the value: it has no U+0000, and is not nested too deep. If not, the place within
/// the value, as `.name[3]`, and what is wrong there.
pub(super) fn storable(value: &Value, depth: usize) -> Result<(), (String, String)> {
    let inside = match value {
        Value::Array(_) | Value::Object(_) => depth
            .checked_sub(1)
            .ok_or_else(|| (String::new(), format!("is nested deeper than {MAX_DEPTH} levels")))?,
        _ => depth,
    };
    match value {
        Value::String(text) if text.contains('\0') => Err((String::new(), NO_NUL.to_owned())),
        Value::Array(items) => items.iter().enumerate().try_for_each(|(nth, item)| {
            storable(item, inside).map_err(|(at, detail)| (format!("[{nth}]{at}"), detail))
        }),
        Value::Object(fields) => fields.iter().try_for_each(|(name, field)| {
            if name.contains('\0') {
                return Err((String::new(), format!("has a field whose name {NO_NUL}")));
            }
            storable(field, inside).map_err(|(at, detail)| (format!(".{name}{at}"), detail))
        }),
        _ => Ok(()),
    }
}

/// How long the value is as compact JSON.
pub(super) fn json_size(value: &Value) -> u64 {
    struct Count(u64);
    impl std::io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len() as u64;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    match serde_json::to_writer(&mut count, value) {
        Ok(()) => count.0,
        Err(_) => u64::MAX,
    }
}
