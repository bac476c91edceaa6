//! One operation, and how it is described.

use std::collections::BTreeMap;

use actix_web::http::Method;
use serde_json::{Map, Value, json};
use utoipa::{PartialSchema, ToSchema};

use crate::{
    domain::{BatchId, PlanRunId, TaskId, access::KeyId},
    http::{
        api::{PROBLEM_JSON, Problem},
        gate::{Needs, Subject},
    },
};

/// Schemas by their names.
type Schemas = BTreeMap<String, Value>;

/// What is said of one method of one path.
pub(super) struct Op {
    pub(super) method: Method,
    pub(super) path: &'static str,
    /// What programs call it.
    pub(super) id: &'static str,
    pub(super) tag: &'static str,
    summary: &'static str,
    /// What else is to be known.
    note: &'static str,
    parameters: Vec<Value>,
    body: Option<Value>,
    answers: Map<String, Value>,
    /// Beside those of every operation.
    errors: Vec<&'static str>,
    pub(super) schemas: Schemas,
}

/// The schema of something, with all that it is made of.
pub(super) struct Shape {
    schema: Value,
    parts: Schemas,
}

fn value(schema: &impl serde::Serialize) -> Value {
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

/// A parameter of the query.
pub(super) fn query(name: &str, schema: Value, description: &str) -> Value {
    json!({ "name": name, "in": "query", "schema": schema, "description": description })
}

/// A parameter that is a text.
pub(super) fn text(name: &str, description: &str) -> Value {
    query(name, json!({ "type": "string" }), description)
}

/// A parameter that is one of some words.
pub(super) fn word(name: &str, words: &[&str], description: &str) -> Value {
    query(name, json!({ "type": "string", "enum": words }), description)
}

/// A parameter that is a whole number.
pub(super) fn number(name: &str, (default, most): (u32, u32), description: &str) -> Value {
    let schema = json!({ "type": "integer", "minimum": 1, "maximum": most, "default": default });
    query(name, schema, description)
}

/// `?wait=`.
pub(super) fn wait() -> Value {
    let schema = json!({ "type": "string", "examples": ["30s"] });
    query("wait", schema, "Wait so long for it to end; cut to `http.max_wait`.")
}

/// The header by which a request that comes again is known.
pub(super) fn idempotency_key() -> Value {
    json!({
        "name": "Idempotency-Key", "in": "header",
        "schema": { "type": "string", "minLength": 1, "maxLength": 255 },
        "description": "A second submit with the same key is the same.",
    })
}

/// `?tail=` and `?follow=`.
pub(super) fn tail() -> [Value; 2] {
    let lines = json!({ "type": "integer", "minimum": 0, "maximum": 100_000, "default": 100 });
    [
        query("tail", lines, "Begin so many lines before the end."),
        query("follow", json!({ "type": "boolean" }), "Go on with what is written later."),
    ]
}

/// What a log is for one who asks for `text/event-stream`.
pub(super) const LOG: &str = "Its last lines; as events they are `{\"text\": …}`, or \
    `{\"base64\": …}` where they are no text";

impl Op {
    fn new(method: Method, path: &'static str, id: &'static str, summary: &'static str) -> Self {
        let tag = tag_of(path);
        let mut op = Self {
            method,
            path,
            id,
            tag,
            summary,
            note: "",
            parameters: Vec::new(),
            body: None,
            answers: Map::new(),
            errors: vec!["BadRequest"],
            schemas: Schemas::new(),
        };
        for part in path.split('/').filter_map(|part| part.strip_prefix('{')) {
            let name = part.trim_end_matches('}');
            let shape = of_part(path, name);
            op.parameters.push(json!({
                "name": name, "in": "path", "required": true, "schema": shape,
            }));
            op.errors.push("NotFound");
        }
        op.errors.dedup();
        op
    }

    /// A question.
    pub(super) fn get(path: &'static str, id: &'static str, summary: &'static str) -> Self {
        Self::new(Method::GET, path, id, summary)
    }

    /// A change. It may say that something is not in the state for it.
    pub(super) fn post(path: &'static str, id: &'static str, summary: &'static str) -> Self {
        Self::changing(Method::POST, path, id, summary)
    }

    /// A change of fields.
    pub(super) fn patch(path: &'static str, id: &'static str, summary: &'static str) -> Self {
        Self::changing(Method::PATCH, path, id, summary)
    }

    /// A thing, as it is to be.
    pub(super) fn put(path: &'static str, id: &'static str, summary: &'static str) -> Self {
        Self::changing(Method::PUT, path, id, summary)
    }

    /// The end of a thing.
    pub(super) fn delete(path: &'static str, id: &'static str, summary: &'static str) -> Self {
        Self::changing(Method::DELETE, path, id, summary)
    }

    fn changing(
        method: Method,
        path: &'static str,
        id: &'static str,
        summary: &'static str,
    ) -> Self {
        let mut op = Self::new(method, path, id, summary);
        op.errors.extend(["Conflict", "SlowBody", "TooLarge", "NotJson", "Invalid"]);
        op
    }

    /// With more to be known.
    pub(super) fn note(mut self, note: &'static str) -> Self {
        self.note = note;
        self
    }

    /// With these parameters.
    pub(super) fn asks(mut self, parameters: impl IntoIterator<Item = Value>) -> Self {
        self.parameters.extend(parameters);
        self
    }

    /// With a body like this. What the server reads of bodies it reads by name: no other field is taken.
    pub(super) fn takes(mut self, mut shape: Shape, example: Value) -> Self {
        for (name, part) in &mut shape.parts {
            if name.ends_with("Body") && part["type"] == "object" {
                part["additionalProperties"] = json!(false);
            }
        }
        self.schemas.extend(shape.parts);
        self.body = Some(json!({
            "required": true,
            "content": { "application/json": { "schema": shape.schema, "example": example } },
        }));
        self
    }

    /// With a body like this, or none.
    pub(super) fn may_take(self, shape: Shape, example: Value) -> Self {
        let mut op = self.takes(shape, example);
        if let Some(body) = &mut op.body {
            body["required"] = json!(false);
        }
        op
    }

    /// Answers 200 with this.
    pub(super) fn gives(self, shape: Shape) -> Self {
        self.answers("200", "As it is now", shape)
    }

    /// Answers so.
    pub(super) fn answers(mut self, status: &str, description: &str, shape: Shape) -> Self {
        self.schemas.extend(shape.parts);
        let content = json!({ "application/json": { "schema": shape.schema } });
        let answer = json!({ "description": description, "content": content });
        self.answers.insert(status.to_owned(), answer);
        self
    }

    /// Answers 200 with text of this type, too.
    pub(super) fn prints(mut self, kind: &str, description: &str) -> Self {
        let answer = self.answers.entry("200").or_insert_with(|| json!({ "content": {} }));
        answer["description"] = description.into();
        answer["content"][kind] = json!({ "schema": { "type": "string" } });
        self
    }

    /// Answers 204.
    pub(super) fn gives_nothing(mut self) -> Self {
        self.answers.insert("204".to_owned(), json!({ "description": "It is done" }));
        self
    }

    /// May answer with this problem, too.
    pub(super) fn fails(mut self, problem: &'static str) -> Self {
        self.errors.push(problem);
        self
    }

    /// The operation as it stands in the document.
    pub(super) fn describe(self, needs: Option<Needs>) -> Value {
        let mut answers = self.answers;
        let mut errors = self.errors;
        let open = matches!(needs, Some(Needs::Public));
        if !open {
            errors.extend(["Unauthorized", "Forbidden", "TooOften", "Internal", "Unavailable"]);
        }
        for (status, _, name, _) in PROBLEMS {
            if errors.contains(&name) && !answers.contains_key(status) {
                let reference = json!({ "$ref": format!("#/components/responses/{name}") });
                answers.insert(status.to_owned(), reference);
            }
        }
        let needs = needs.map_or_else(String::new, in_words);
        let description = [self.note, &needs].join(" ").trim().to_owned();
        let mut op = json!({
            "operationId": self.id,
            "tags": [self.tag],
            "summary": self.summary,
            "description": description,
            "responses": answers,
        });
        if open {
            op["security"] = json!([]);
        }
        if !self.parameters.is_empty() {
            op["parameters"] = self.parameters.into();
        }
        if let Some(body) = self.body {
            op["requestBody"] = body;
        }
        op
    }
}

fn in_words(needs: Needs) -> String {
    match needs {
        Needs::Public => "Needs no API key.".to_owned(),
        Needs::Caller => "Needs any API key.".to_owned(),
        Needs::Scope(scope, about) => {
            let reach = match about {
                Subject::Nothing => "",
                Subject::Host => ", and an API key that is not limited to queues or fleets",
                Subject::Task | Subject::Queue => ", for its queue",
                Subject::Fleet => ", for the fleet",
                Subject::Agent => ", for its fleet",
                Subject::OneQueue => ", for the queue that is named",
                Subject::Filtered => "; a limited API key is shown its own",
                Subject::Body => ", for each queue that is named",
            };
            format!("Needs the scope `{scope}`{reach}.")
        }
    }
}

/// What is told under which heading.
fn tag_of(path: &str) -> &'static str {
    match path.strip_prefix("/api/v1/").and_then(|rest| rest.split('/').next()) {
        Some("tasks" | "events") => "tasks",
        Some("webhooks") => "webhooks",
        Some("groups" | "batches") => "batches",
        Some("dead-letters") => "dead letters",
        Some("plans") => "plans",
        Some("sessions" | "session-imports" | "search") => "sessions",
        Some("schedules") => "schedules",
        Some("fleets" | "agents" | "reload" | "workspaces") => "agents",
        Some("queues" | "locks" | "limits" | "keys") => "limits",
        Some("api-keys") => "keys",
        _ if matches!(path, "/webhook" | "/ws" | "/llm-instructions" | "/mcp") => "sessions",
        _ => "host",
    }
}

/// The schema of a part of a path.
fn of_part(path: &str, name: &str) -> Value {
    let kinds = [
        ("/api/v1/tasks/", value(&TaskId::schema())),
        ("/api/v1/dead-letters/", value(&TaskId::schema())),
        ("/api/v1/batches/", value(&BatchId::schema())),
        ("/api/v1/plans/runs/", value(&PlanRunId::schema())),
        ("/api/v1/api-keys/", value(&KeyId::schema())),
    ];
    let found = kinds.into_iter().find(|(start, _)| name == "id" && path.starts_with(start));
    found.map_or_else(|| json!({ "type": "string", "minLength": 1 }), |(_, schema)| schema)
}

/// The problems that operations answer with: status, `type`, name here, and when.
const PROBLEMS: [(&str, &str, &str, &str); 13] = [
    ("400", "bad-query", "BadRequest", "The path, the query, a header or the JSON can't be read"),
    ("401", "no-key", "Unauthorized", "The API key is missing, not known, expired or revoked"),
    (
        "403",
        "forbidden",
        "Forbidden",
        "The API key does not allow this; `detail` says what is missing",
    ),
    ("404", "not-found", "NotFound", "There is no such thing"),
    ("408", "slow-body", "SlowBody", "The body took too long to arrive"),
    ("409", "wrong-state", "Conflict", "It is not in the state for this"),
    ("410", "feed-cut", "Gone", "What comes next was deleted"),
    ("413", "too-large", "TooLarge", "The body is larger than `http.max_body`"),
    ("415", "not-json", "NotJson", "The body is not sent as `application/json`"),
    ("422", "invalid", "Invalid", "Fields of the body are wrong; `errors` names each"),
    ("429", "too-often", "TooOften", "The API key has asked as often as it may"),
    ("500", "internal", "Internal", "A fault of Hostler; its log says why"),
    ("503", "unavailable", "Unavailable", "Postgres can't be reached just now"),
];

/// The answers that are problems, and the schemas they are made of.
pub(super) fn problems() -> (Map<String, Value>, Schemas) {
    let Shape { schema, parts } = of::<Problem>();
    let mut answers = Map::new();
    for (status, word, name, description) in PROBLEMS {
        let mut answer = json!({ "description": description, "content": { PROBLEM_JSON: {
            "schema": schema,
            "example": {
                "type": format!("urn:hostler:problem:{word}"),
                "title": description,
                "status": status.parse::<u16>().unwrap_or_default(),
                "detail": "what was wrong with this request, and what to do about it",
            },
        }}});
        if matches!(status, "429" | "503") {
            answer["headers"]["Retry-After"] = json!({
                "schema": { "type": "integer" }, "description": "When to try again, in seconds",
            });
        }
        answers.insert(name.to_owned(), answer);
    }
    (answers, parts)
}

impl Op {
    /// With a body that is a text of any length.
    pub(super) fn takes_text(mut self) -> Self {
        let content = json!({ "text/plain": { "schema": { "type": "string" } } });
        self.body = Some(json!({ "required": true, "content": content }));
        self
    }

    /// With a file that was exported, in either form.
    pub(super) fn takes_file(mut self, shape: Shape) -> Self {
        self.schemas.extend(shape.parts);
        let content = json!({
            "application/json": { "schema": shape.schema },
            "text/markdown": { "schema": { "type": "string" } },
        });
        self.body = Some(json!({ "required": true, "content": content }));
        self
    }

    /// Answers so, or, as it may be with any error, with a problem.
    pub(super) fn answers_either(self, status: &str, description: &str, shape: Shape) -> Self {
        let mut op = self.answers(status, description, shape);
        let (Shape { schema, parts }, kinds) = (of::<Problem>(), &mut op.answers);
        if let Some(answer) = kinds.get_mut(status) {
            answer["content"][PROBLEM_JSON] = json!({ "schema": schema });
        }
        op.schemas.extend(parts);
        op
    }

    /// Answers so, without a body.
    pub(super) fn answers_nothing(mut self, status: &str, description: &str) -> Self {
        self.answers.insert(status.to_owned(), json!({ "description": description }));
        self
    }
}
