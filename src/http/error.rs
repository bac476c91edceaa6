//! The only map from our errors to a status, a public text and a private cause.
//!
//! The public text says what is wrong and what to do. The cause goes to the log, never to the
//! caller; `super::layers` writes it there with the request's id.

use std::{error::Error as StdError, fmt};

use actix_web::{
    HttpResponse, ResponseError,
    http::{StatusCode, header},
};

use super::{
    api::{FieldError, PROBLEM_JSON, Problem},
    guard::Refusal,
};
use crate::{
    access::{AccessError, Refused},
    audit::AuditError,
    domain::access::{Denied, Wait},
    queue::QueueError,
    sessions::SessionError,
    supervisor::SupervisorError,
    telemetry::Chain,
};

/// The kinds of error; the word of each is the end of its `type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    BadJson,
    BadQuery,
    BadPath,
    BadHeader,
    BadField,
    NoKey,
    Forbidden,
    CrossSite,
    SocketOnly,
    TooOften,
    NotAllowed,
    BadSignature,
    NotFound,
    NoRoute,
    NoMethod,
    SlowBody,
    WrongState,
    NotUnique,
    Exists,
    FeedCut,
    TooLarge,
    NotJson,
    Invalid,
    Internal,
    Unavailable,
}

impl Kind {
    #[cfg(test)]
    pub(super) const ALL: [Self; 25] = [
        Self::BadJson,
        Self::BadQuery,
        Self::BadPath,
        Self::BadHeader,
        Self::BadField,
        Self::NoKey,
        Self::Forbidden,
        Self::CrossSite,
        Self::SocketOnly,
        Self::TooOften,
        Self::NotAllowed,
        Self::BadSignature,
        Self::NotFound,
        Self::NoRoute,
        Self::NoMethod,
        Self::SlowBody,
        Self::WrongState,
        Self::NotUnique,
        Self::Exists,
        Self::FeedCut,
        Self::TooLarge,
        Self::NotJson,
        Self::Invalid,
        Self::Internal,
        Self::Unavailable,
    ];

    /// The status, the word and the title.
    const fn row(self) -> (StatusCode, &'static str, &'static str) {
        use StatusCode as S;
        match self {
            Self::BadJson => (S::BAD_REQUEST, "bad-json", "The body can't be read"),
            Self::BadQuery => (S::BAD_REQUEST, "bad-query", "The query is not valid"),
            Self::BadPath => (S::BAD_REQUEST, "bad-path", "The path is not valid"),
            Self::BadHeader => (S::BAD_REQUEST, "bad-header", "A header is not valid"),
            Self::BadField => (S::BAD_REQUEST, "bad-field", "A field is not as it must be"),
            Self::NoKey => (S::UNAUTHORIZED, "no-key", "The API key is missing or wrong"),
            Self::Forbidden => (S::FORBIDDEN, "forbidden", "The API key does not allow this"),
            Self::TooOften => (S::TOO_MANY_REQUESTS, "too-often", "The API key asks too often"),
            Self::CrossSite => (S::FORBIDDEN, "cross-site", "Requests of other sites are refused"),
            Self::SocketOnly => (S::FORBIDDEN, "socket-only", "Only over the socket"),
            Self::NotAllowed => (S::FORBIDDEN, "not-allowed", "The operator does not allow that"),
            Self::BadSignature => (S::FORBIDDEN, "bad-signature", "The signature is not right"),
            Self::NotFound => (S::NOT_FOUND, "not-found", "There is no such thing"),
            Self::NoRoute => (S::NOT_FOUND, "no-route", "There is no such path"),
            Self::NoMethod => (S::METHOD_NOT_ALLOWED, "no-method", "The path has no such method"),
            Self::SlowBody => (S::REQUEST_TIMEOUT, "slow-body", "The body came too slowly"),
            Self::WrongState => (S::CONFLICT, "wrong-state", "Not in this state"),
            Self::NotUnique => (S::CONFLICT, "not-unique", "There is such a task already"),
            Self::Exists => (S::CONFLICT, "exists", "There is one already"),
            Self::FeedCut => (S::GONE, "feed-cut", "What comes next was deleted"),
            Self::TooLarge => (S::PAYLOAD_TOO_LARGE, "too-large", "The body is too large"),
            Self::NotJson => (S::UNSUPPORTED_MEDIA_TYPE, "not-json", "The body must be JSON"),
            Self::Invalid => (S::UNPROCESSABLE_ENTITY, "invalid", "The input is not valid"),
            Self::Internal => (S::INTERNAL_SERVER_ERROR, "internal", "A fault of Hostler"),
            Self::Unavailable => (S::SERVICE_UNAVAILABLE, "unavailable", "Try again soon"),
        }
    }
}

/// An answer that is an error.
#[derive(Debug)]
pub(super) struct ApiError {
    kind: Kind,
    detail: String,
    errors: Vec<FieldError>,
    allow: Option<String>,
    retry_after: Option<u64>,
    cause: Option<String>,
}

impl ApiError {
    /// An error of `kind`; `detail` is shown to the caller.
    pub(super) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        let (detail, errors) = (detail.into(), Vec::new());
        Self { kind, detail, errors, allow: None, retry_after: None, cause: None }
    }

    /// The input has these mistakes.
    pub(super) fn invalid(errors: Vec<FieldError>) -> Self {
        Self::fields(Kind::Invalid, errors)
    }

    /// These mistakes are the reason for an error of `kind`.
    pub(super) fn fields(kind: Kind, errors: Vec<FieldError>) -> Self {
        let detail = match errors.as_slice() {
            [one] => format!("{}: {}", one.field, one.detail),
            many => format!("{} fields are not valid; `errors` names each", many.len()),
        };
        Self { errors, ..Self::new(kind, detail) }
    }

    /// This one field is the reason for an error of `kind`.
    pub(super) fn of_field(kind: Kind, field: String, detail: String) -> Self {
        let said = format!("{field}: {detail}");
        Self { errors: vec![FieldError { field, detail }], ..Self::new(kind, said) }
    }

    /// The path is there, the method is not; `allow` are those that are.
    pub(super) fn no_method(method: &str, allow: &str) -> Self {
        let detail = format!("this path has no {method}; it has {allow}");
        Self { allow: Some(allow.to_owned()), ..Self::new(Kind::NoMethod, detail) }
    }

    /// A fault of our own: the caller learns nothing of `cause`.
    pub(super) fn fault(cause: impl Into<String>) -> Self {
        let detail = "the host could not answer; its log says why, under this request's id";
        Self { cause: Some(cause.into()), ..Self::new(Kind::Internal, detail) }
    }

    pub(super) fn internal(cause: &(dyn StdError + 'static)) -> Self {
        Self::fault(Chain(cause).to_string())
    }

    fn unavailable(cause: &(dyn StdError + 'static)) -> Self {
        let detail = "the database does not answer just now; whether anything was changed is not \
            known: try again, a submit with the same idempotency key";
        Self { cause: Some(Chain(cause).to_string()), ..Self::new(Kind::Unavailable, detail) }
    }

    /// The same, with what is behind it for the log.
    pub(super) fn caused_by(self, cause: String) -> Self {
        Self { cause: Some(cause), ..self }
    }

    /// What went wrong behind the public text, for the log.
    pub(super) fn cause(&self) -> Option<&str> {
        self.cause.as_deref()
    }

    /// The body of the answer.
    pub(super) fn problem(&self) -> Problem {
        let (status, word, title) = self.kind.row();
        Problem {
            kind: format!("urn:hostler:problem:{word}"),
            title: title.to_owned(),
            status: status.as_u16(),
            detail: self.detail.clone(),
            errors: self.errors.clone(),
        }
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        self.kind.row().0
    }

    fn error_response(&self) -> HttpResponse {
        let mut answer = HttpResponse::build(self.status_code());
        answer.content_type(PROBLEM_JSON);
        match self.kind {
            Kind::NoKey => answer.insert_header((header::WWW_AUTHENTICATE, "Bearer")),
            Kind::Unavailable => answer.insert_header((header::RETRY_AFTER, "1")),
            _ => &mut answer,
        };
        if let Some(seconds) = self.retry_after {
            answer.insert_header((header::RETRY_AFTER, seconds));
        }
        if let Some(allow) = &self.allow {
            answer.insert_header((header::ALLOW, allow.as_str()));
        }
        match serde_json::to_vec(&self.problem()) {
            Ok(body) => answer.body(body),
            Err(_) => answer.finish(),
        }
    }
}

impl From<QueueError> for ApiError {
    fn from(error: QueueError) -> Self {
        match &error {
            QueueError::UnknownDependency { .. } | QueueError::Unstorable { .. } => {
                Self::new(Kind::Invalid, error.to_string())
            }
            QueueError::UnknownTask { .. }
            | QueueError::UnknownQueue { .. }
            | QueueError::UnknownKey { .. }
            | QueueError::UnknownSchedule { .. }
            | QueueError::UnknownBatch { .. }
            | QueueError::UnknownGroup { .. }
            | QueueError::UnknownRun { .. }
            | QueueError::UnknownPlanTask { .. }
            | QueueError::UnknownEndpoint { .. }
            | QueueError::UnknownDelivery { .. }
            | QueueError::NotDead { .. } => Self::new(Kind::NotFound, error.to_string()),
            QueueError::WrongState { .. }
            | QueueError::WrongMoment { .. }
            | QueueError::BatchClosed { .. } => Self::new(Kind::WrongState, error.to_string()),
            QueueError::NotUnique { .. } => Self::new(Kind::NotUnique, error.to_string()),
            QueueError::FeedCut => {
                Self::of_field(Kind::FeedCut, "after".to_owned(), error.to_string())
            }
            QueueError::Unavailable { .. } => Self::unavailable(&error),
            QueueError::Internal { .. } => Self::internal(&error),
        }
    }
}

impl From<SessionError> for ApiError {
    fn from(error: SessionError) -> Self {
        let said = error.to_string();
        match error {
            SessionError::UnknownSession { .. } | SessionError::Unknown { .. } => {
                Self::new(Kind::NotFound, said)
            }
            SessionError::Exists { .. } => Self::new(Kind::Exists, said),
            SessionError::Illegal { .. }
            | SessionError::Completed { .. }
            | SessionError::NotEmpty { .. }
            | SessionError::WrongState { .. } => Self::new(Kind::WrongState, said),
            SessionError::Invalid { field, detail } => Self::of_field(Kind::Invalid, field, detail),
            SessionError::NotAllowed { field, detail } => {
                Self::of_field(Kind::NotAllowed, field.to_owned(), detail)
            }
            SessionError::Denied(denied) => denied.into(),
            SessionError::Queue(error) => error.into(),
            SessionError::Fault(what) => Self::fault(what),
        }
    }
}

impl From<SupervisorError> for ApiError {
    fn from(error: SupervisorError) -> Self {
        match &error {
            SupervisorError::UnknownAgent { .. } | SupervisorError::UnknownFleet { .. } => {
                Self::new(Kind::NotFound, error.to_string())
            }
            SupervisorError::WrongMoment { .. } => Self::new(Kind::WrongState, error.to_string()),
            SupervisorError::OutOfBounds { .. } => {
                Self::of_field(Kind::Invalid, "count".to_owned(), error.to_string())
            }
            SupervisorError::NotKept { .. } => Self::fault(error.to_string()),
            SupervisorError::Unreachable { .. } | SupervisorError::Ending => {
                Self::new(Kind::Unavailable, error.to_string())
            }
        }
    }
}

impl From<Denied> for ApiError {
    fn from(denied: Denied) -> Self {
        Self::new(Kind::Forbidden, denied.to_string())
    }
}

impl From<Refused> for ApiError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Unknown | Refused::Expired | Refused::Revoked => {
                Self::new(Kind::NoKey, refused.to_string())
            }
            Refused::TooOften(Wait(wait)) => {
                // Whole seconds are all that the header has: late is better than too early.
                let seconds = wait.as_millis().div_ceil(1000);
                let detail = format!("{refused}: ask again in {seconds} s");
                let retry_after = u64::try_from(seconds).ok();
                Self { retry_after, ..Self::new(Kind::TooOften, detail) }
            }
        }
    }
}

impl From<AccessError> for ApiError {
    fn from(error: AccessError) -> Self {
        match &error {
            AccessError::UnknownKey { .. } => Self::new(Kind::NotFound, error.to_string()),
            AccessError::Unavailable { .. } => Self::unavailable(&error),
            AccessError::Internal { .. } => Self::internal(&error),
        }
    }
}

impl From<AuditError> for ApiError {
    fn from(error: AuditError) -> Self {
        match &error {
            AuditError::Unavailable { .. } => Self::unavailable(&error),
            AuditError::Internal { .. } => Self::internal(&error),
        }
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        let kind = match refusal {
            Refusal::NoKey => Kind::NoKey,
            Refusal::ForeignHost | Refusal::CrossSite => Kind::CrossSite,
        };
        Self::new(kind, refusal.to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::domain::{TaskId, task::TaskState};

    #[test]
    fn every_kind_has_its_own_word_and_an_error_status() {
        let words: BTreeSet<_> = Kind::ALL.iter().map(|kind| kind.row().1).collect();
        assert_eq!(words.len(), Kind::ALL.len());
        for kind in Kind::ALL {
            let (status, word, title) = kind.row();
            assert!(status.is_client_error() || status.is_server_error(), "{word}");
            assert!(!title.is_empty());
        }
    }

    #[test]
    fn errors_of_the_queue_have_their_status_and_text() {
        let task = TaskId::from_uuid(uuid::Uuid::from_u128(1));
        let queue = "gpu".parse().unwrap();
        let state = TaskState::Completed;
        let rows = [
            (QueueError::UnknownTask { task }, 404, "tsk_0000"),
            (QueueError::UnknownQueue { queue }, 404, "gpu"),
            (QueueError::WrongState { task, state, what: "cancelled" }, 409, "completed"),
            (QueueError::FeedCut, 410, "latest"),
        ];
        for (error, status, part) in rows {
            let problem = ApiError::from(error).problem();
            assert_eq!(problem.status, status);
            assert!(problem.detail.contains(part), "{}", problem.detail);
        }
    }

    #[test]
    fn a_cause_is_for_the_log_and_never_for_the_caller() {
        #[derive(Debug, thiserror::Error)]
        #[error("statement `claim` failed")]
        struct Outer(#[source] std::io::Error);
        let error = Outer(std::io::Error::other("password of db.internal is hunter2"));
        for hidden in [ApiError::internal(&error), ApiError::unavailable(&error)] {
            assert_eq!(
                hidden.cause(),
                Some("statement `claim` failed: password of db.internal is hunter2")
            );
            let shown = serde_json::to_string(&hidden.problem()).unwrap();
            assert!(!shown.contains("claim") && !shown.contains("hunter2"), "{shown}");
        }
    }

    #[test]
    fn answers_are_problem_json_with_the_headers_of_their_kind() {
        let wait = std::time::Duration::from_millis(1001);
        let rows = [
            (ApiError::new(Kind::NoKey, "no key"), "www-authenticate", "Bearer"),
            (ApiError::new(Kind::Unavailable, "away"), "retry-after", "1"),
            (ApiError::from(Refused::TooOften(Wait(wait))), "retry-after", "2"),
            (ApiError::no_method("PUT", "GET, POST"), "allow", "GET, POST"),
        ];
        for (error, name, value) in rows {
            let answer = error.error_response();
            assert_eq!(answer.headers().get(name).unwrap(), value);
            assert_eq!(answer.headers().get("content-type").unwrap(), PROBLEM_JSON);
        }
    }

    #[test]
    fn one_mistake_is_the_detail_and_several_are_counted() {
        let error = |field: &str| FieldError { field: field.into(), detail: "is odd".into() };
        assert_eq!(ApiError::invalid(vec![error("kind")]).problem().detail, "kind: is odd");
        let two = ApiError::invalid(vec![error("kind"), error("queue")]).problem();
        assert!(two.detail.starts_with("2 fields"), "{}", two.detail);
        assert_eq!(two.errors.len(), 2);
    }
}
