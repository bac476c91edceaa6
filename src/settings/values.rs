//! Values of the merged tree as a whole.

use config::{Value, ValueKind};

/// A value as JSON has it; nothing where it is a number that is none.
pub(super) fn as_json(value: &Value) -> Option<serde_json::Value> {
    Some(match &value.kind {
        ValueKind::Boolean(value) => (*value).into(),
        ValueKind::I64(number) => (*number).into(),
        ValueKind::Float(number) => serde_json::Number::from_f64(*number)?.into(),
        ValueKind::String(text) => text.clone().into(),
        ValueKind::Array(items) => {
            serde_json::Value::Array(items.iter().map(as_json).collect::<Option<_>>()?)
        }
        ValueKind::Table(fields) => {
            let fields = fields.iter().map(|(name, field)| Some((name.clone(), as_json(field)?)));
            serde_json::Value::Object(fields.collect::<Option<_>>()?)
        }
        _ => serde_json::Value::Null,
    })
}

/// `top` over `base`, table by table.
pub(super) fn overlay(base: &Value, top: &Value) -> Value {
    let (ValueKind::Table(base), ValueKind::Table(over)) = (&base.kind, &top.kind) else {
        return top.clone();
    };
    let mut merged = base.clone();
    for (key, value) in over {
        let value = match base.get(key) {
            Some(below) => overlay(below, value),
            None => value.clone(),
        };
        merged.insert(key.clone(), value);
    }
    Value::new(None, merged)
}
