//! A part of the document, for callers that take no more than some operations.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

/// What of the document is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Part {
    /// These operations, by their ids; all where there are none.
    pub only: Vec<String>,
    /// The address of the host, for callers that read the document somewhere else.
    pub server: Option<String>,
}

/// There is no operation with this id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no operation `{0}`; `operationId` in the document names them")]
pub struct NoOperation(pub String);

impl Part {
    /// The part of `document`: the operations with all that they name, and nothing else.
    ///
    /// # Errors
    ///
    /// One of the operations is not there.
    pub fn of(&self, mut document: Value) -> Result<Value, NoOperation> {
        if let Some(server) = &self.server {
            document["servers"] = json!([{ "url": server }]);
        }
        if self.only.is_empty() {
            return Ok(document);
        }
        let mut missing: BTreeSet<&str> = self.only.iter().map(String::as_str).collect();
        let wanted = missing.clone();
        if let Some(paths) = document["paths"].as_object_mut() {
            for methods in paths.values_mut().filter_map(Value::as_object_mut) {
                methods.retain(|_, operation| {
                    let id = operation["operationId"].as_str().unwrap_or_default();
                    missing.remove(id);
                    wanted.contains(id)
                });
            }
            paths.retain(|_, methods| methods.as_object().is_some_and(|them| !them.is_empty()));
        }
        if let Some(id) = missing.first() {
            return Err(NoOperation((*id).to_owned()));
        }
        let named = named(&document);
        for kind in ["schemas", "responses"] {
            let components = &mut document["components"];
            if let Some(all) = components[kind].as_object_mut() {
                all.retain(|name, _| named.contains(&format!("#/components/{kind}/{name}")));
            }
        }
        let tags = tags(&document);
        if let Some(all) = document["tags"].as_array_mut() {
            all.retain(|tag| tag["name"].as_str().is_some_and(|name| tags.contains(name)));
        }
        Ok(document)
    }
}

/// Every place that the operations lead to.
fn named(document: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut open = vec![&document["paths"]];
    while let Some(value) = open.pop() {
        match value {
            Value::Object(fields) => {
                if let Some(place) = fields.get("$ref").and_then(Value::as_str)
                    && found.insert(place.to_owned())
                {
                    open.extend(document.pointer(place.trim_start_matches('#')));
                }
                open.extend(fields.values());
            }
            Value::Array(items) => open.extend(items),
            _ => {}
        }
    }
    found
}

fn tags(document: &Value) -> BTreeSet<String> {
    let methods = document["paths"].as_object().into_iter().flat_map(Map::values);
    let operations = methods.filter_map(Value::as_object).flat_map(Map::values);
    let words = operations.filter_map(|one| one["tags"].as_array()).flatten();
    words.filter_map(Value::as_str).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::{super::document, *};

    #[test]
    fn a_part_has_its_operations_and_all_that_they_name() {
        let only = vec!["sendCommand".to_owned(), "showTask".to_owned()];
        let part = Part { only, server: Some("https://hosts.example".to_owned()) };
        let of = part.of(document()).unwrap();
        let paths: Vec<_> = of["paths"].as_object().unwrap().keys().collect();
        assert_eq!(paths, ["/api/v1/tasks/{id}", "/webhook"]);
        assert_eq!(of["servers"], json!([{ "url": "https://hosts.example" }]));
        let schemas = of["components"]["schemas"].as_object().unwrap();
        assert!(schemas.contains_key("TaskRecord") && schemas.contains_key("Problem"));
        assert!(!schemas.contains_key("FleetRecord") && schemas.len() < 60, "{}", schemas.len());
        for place in named(&of) {
            assert!(of.pointer(place.trim_start_matches('#')).is_some(), "{place}");
        }
        assert_eq!(of["tags"].as_array().unwrap().len(), 2);
        assert_eq!(Part::default().of(document()).unwrap(), document());
        let none = Part { only: vec!["fly".to_owned()], server: None };
        assert_eq!(none.of(document()), Err(NoOperation("fly".to_owned())));
    }
}
