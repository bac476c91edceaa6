//! One operation, and how it is described.

use actix_web::http::Method;
use serde_json::{Map, Value, json};
use utoipa::PartialSchema;

use super::{
    problem::PROBLEMS,
    shape::{Schemas, Shape, as_it_is_read, of, value},
};
use crate::{
    domain::{
        AgentName, BatchId, EndpointName, FleetName, GroupName, PlanRunId, PlanTaskId, QueueName,
        ScheduleName, TaskId,
        access::KeyId,
        session::{ItemName, SessionId},
    },
    http::{
        api::{PROBLEM_JSON, Problem},
        gate::{Needs, Subject},
    },
};

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
    /// What some readers of the document know, and the specification does not.
    extra: Option<(&'static str, Value)>,
    body: Option<Value>,
    answers: Map<String, Value>,
    /// Beside those of every operation.
    errors: Vec<&'static str>,
    pub(super) schemas: Schemas,
}

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
            extra: None,
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

    /// With something that the specification does not know.
    pub(super) fn with(mut self, name: &'static str, value: Value) -> Self {
        self.extra = Some((name, value));
        self
    }

    /// With these parameters.
    pub(super) fn asks(mut self, parameters: impl IntoIterator<Item = Value>) -> Self {
        self.parameters.extend(parameters);
        self
    }

    /// With a body like this. What the server reads of bodies it reads by name: no other field is taken.
    pub(super) fn takes(mut self, mut shape: Shape, example: Value) -> Self {
        let bodies = shape.parts.iter_mut().filter(|(name, _)| name.ends_with("Body"));
        bodies.for_each(|(_, part)| as_it_is_read(part));
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
        if let Some((name, value)) = self.extra {
            op[name] = value;
        }
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
                Subject::Body => ", for each queue that it is about",
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
        Some("api-keys" | "audit") => "keys",
        _ if matches!(path, "/webhook" | "/ws" | "/llm-instructions" | "/mcp") => "sessions",
        _ => "host",
    }
}

/// The schema of a part of a path.
fn of_part(path: &str, name: &str) -> Value {
    let kinds = [
        ("/api/v1/tasks/", "id", value(&TaskId::schema())),
        ("/api/v1/dead-letters/", "id", value(&TaskId::schema())),
        ("/api/v1/workspaces/", "task", value(&TaskId::schema())),
        ("/api/v1/batches/", "id", value(&BatchId::schema())),
        ("/api/v1/groups/", "name", value(&GroupName::schema())),
        ("/api/v1/plans/runs/", "id", value(&PlanRunId::schema())),
        ("/api/v1/plans/runs/", "task", value(&PlanTaskId::schema())),
        ("/api/v1/schedules/", "name", value(&ScheduleName::schema())),
        ("/api/v1/api-keys/", "id", value(&KeyId::schema())),
        ("/api/v1/fleets/", "name", value(&FleetName::schema())),
        ("/api/v1/agents/", "name", value(&AgentName::schema())),
        ("/api/v1/queues/", "name", value(&QueueName::schema())),
        ("/api/v1/webhooks/endpoints/", "name", value(&EndpointName::schema())),
        ("/api/v1/webhooks/deliveries/", "id", json!({ "type": "string", "pattern": MESSAGE })),
        ("/api/v1/sessions/", "id", value(&SessionId::schema())),
        ("/api/v1/sessions/", "item", value(&ItemName::schema())),
    ];
    let found = kinds.into_iter().find(|(start, part, _)| *part == name && path.starts_with(start));
    found.map_or_else(|| json!({ "type": "string", "minLength": 1 }), |(_, _, schema)| schema)
}

/// The id of a delivery.
const MESSAGE: &str = "^msg_[0-9a-f]{32}$";
