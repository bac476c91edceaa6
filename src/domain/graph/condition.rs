//! Whether a task is done at all: an expression over the results of what it depends on.
//!
//! It is what stands between the braces of a template of an input, and says yes if its value is
//! anything but `false`, `null`, 0, an empty text, list or object.

use serde_json::Value;

use super::{InputError, Names, Results, check, render};

/// The largest value of a condition, in bytes of JSON.
const MOST: u64 = 64 * 1024;

/// The condition as a template.
fn template(condition: &str) -> Result<Value, String> {
    if ["{{", "}}", "{%", "%}", "{#", "#}"].iter().any(|mark| condition.contains(mark)) {
        return Err("must be an expression, without braces of a template".to_owned());
    }
    Ok(Value::String(format!("{{{{ {condition} }}}}")))
}

/// Says of each name whether `condition` uses it.
///
/// # Errors
///
/// What is wrong with the condition, or which name there is not.
pub fn condition_uses(condition: &str, names: &[&str]) -> Result<Vec<bool>, String> {
    check(&template(condition)?, Names(names))
        .map_err(|wrong| wrong.into_iter().map(|unread| unread.what).collect::<Vec<_>>().join("; "))
}

/// Whether `condition` holds, by the results that there are.
///
/// # Errors
///
/// Why that can't be said.
pub fn holds(condition: &str, results: &Results) -> Result<bool, String> {
    let value = render(&template(condition)?, results, MOST).map_err(|error| match error {
        InputError::Text { what, .. } => what,
        other => other.to_string(),
    })?;
    Ok(match value {
        Value::Null => false,
        Value::Bool(value) => value,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn results(output: Value) -> Results {
        let deps = json!({"a": {"id": "x", "state": "completed", "output": output}});
        Results { deps: deps.as_object().cloned(), bytes: 1, most: 9 }
    }

    #[test]
    fn a_condition_holds_if_its_value_is_something() {
        let rows = [
            ("deps.a.output.ok", json!({"ok": true}), Ok(true)),
            ("deps.a.output.ok", json!({"ok": false}), Ok(false)),
            ("deps.a.output.n > 3 and deps.a.state == 'completed'", json!({"n": 4}), Ok(true)),
            ("deps.a.output.n > 3", json!({"n": 3}), Ok(false)),
            ("deps[\"a\"].output", json!([]), Ok(false)),
            ("deps.a.output", json!("no"), Ok(true)),
            ("deps.a.output", json!(null), Ok(false)),
            ("deps.a.output", json!(0), Ok(false)),
            ("true", json!(1), Ok(true)),
        ];
        for (condition, output, wanted) in rows {
            assert_eq!(holds(condition, &results(output)), wanted, "{condition}");
        }
        assert!(holds("deps.a.output.ok.more", &results(json!({}))).is_err());
    }

    #[test]
    fn what_is_no_condition_is_told_before_it_is_asked() {
        assert_eq!(condition_uses("deps.a.output", &["a", "b"]), Ok(vec![true, false]));
        assert_eq!(condition_uses("deps['b-c'].output", &["b-c"]), Ok(vec![true]));
        for bad in ["deps.z.output", "deps.a +", "x }} {{ y", "{% if x %}", "nothing"] {
            assert!(condition_uses(bad, &["a"]).is_err(), "{bad}");
        }
    }
}
