//! Schemas, from the types that go over the wire.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use utoipa::ToSchema;

/// Schemas by their names.
pub(super) type Schemas = BTreeMap<String, Value>;

/// The schema of something, with all that it is made of.
pub(super) struct Shape {
    pub(super) schema: Value,
    pub(super) parts: Schemas,
}

pub(super) fn value(schema: &impl serde::Serialize) -> Value {
    serde_json::to_value(schema).unwrap_or_default()
}

/// The schema of a type, by its name.
pub(super) fn of<T: ToSchema>() -> Shape {
    let mut found = Vec::new();
    T::schemas(&mut found);
    let mut parts: Schemas = found.iter().map(|(name, it)| (name.clone(), value(it))).collect();
    parts.insert(T::name().into_owned(), value(&T::schema()));
    Shape { schema: json!({ "$ref": format!("#/components/schemas/{}", T::name()) }), parts }
}

/// An object with any fields.
pub(super) fn object() -> Shape {
    Shape { schema: json!({ "type": "object" }), parts: Schemas::new() }
}

/// The schema of `T` with the fields of `Base` beside its own.
pub(super) fn beside<Base: ToSchema, T: ToSchema>() -> Shape {
    let Shape { schema, mut parts } = of::<T>();
    let base = of::<Base>();
    let of_base = &base.parts[&*Base::name()];
    if let Some(whole) = parts.get_mut(&*T::name()) {
        let own = whole["properties"].as_object().cloned().unwrap_or_default();
        let others = of_base["properties"].as_object().cloned().unwrap_or_default();
        whole["properties"] = others.into_iter().chain(own).collect();
        let needed = [of_base, &*whole].map(|one| one["required"].as_array().cloned());
        whole["required"] = needed.into_iter().flatten().flatten().collect();
    }
    let others = base.parts.into_iter().filter(|(name, _)| *name != Base::name());
    parts.extend(others);
    Shape { schema, parts }
}

/// Makes of the schema of a body what the server reads: no field that is not known; and one that may be
/// left out may be `null` as well.
pub(super) fn as_it_is_read(body: &mut Value) {
    if body["type"] != "object" {
        return;
    }
    body["additionalProperties"] = json!(false);
    let required: Vec<Value> = body["required"].as_array().cloned().unwrap_or_default();
    for (name, field) in body["properties"].as_object_mut().into_iter().flatten() {
        if required.iter().any(|one| one == name) {
            continue;
        }
        if field["type"].is_string() {
            field["type"] = json!([field["type"], "null"]);
        } else if field.get("$ref").is_some() {
            *field = json!({ "oneOf": [{ "type": "null" }, field] });
        }
    }
}

/// A listing that fits into one answer.
pub(super) fn listing<T: ToSchema>() -> Shape {
    let Shape { schema, parts } = of::<T>();
    let items = json!({ "type": "array", "items": schema });
    let schema =
        json!({ "type": "object", "properties": { "items": items }, "required": ["items"] });
    Shape { schema, parts }
}

/// A page of a listing.
pub(super) fn page<T: ToSchema>() -> Shape {
    let mut shape = listing::<T>();
    shape.schema["properties"]["next_cursor"] = json!({
        "type": ["string", "null"],
        "description": "Ask with this as `cursor` for the next page; null on the last.",
    });
    shape
}

/// Either of two.
pub(super) fn either(one: Shape, other: Shape) -> Shape {
    let mut parts = one.parts;
    parts.extend(other.parts);
    Shape { schema: json!({ "anyOf": [one.schema, other.schema] }), parts }
}
