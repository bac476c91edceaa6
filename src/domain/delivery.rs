//! Telling the world outside by webhooks: what is sent, how it is signed, and what becomes of it.
//!
//! After the Standard Webhooks specification: the id of a message stays the same whenever it is
//! sent again, 2xx alone is success, nothing is followed, 410 ends the endpoint, and a message that
//! nobody took within about three days is dead, and kept.

pub mod signature;
pub mod target;

use std::time::Duration;

use jiff::{Timestamp, fmt::rfc2822};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    EndpointName, TaskId,
    event::{EventFilter, HostEvent, TaskEvent},
    schedule::Origin,
    task::FailureClass,
};
use target::Target;

/// How long to wait after each failure before the next try: the schedule of the specification.
pub const WAITS: [Duration; 9] = [
    Duration::from_secs(5),
    Duration::from_secs(5 * 60),
    Duration::from_secs(30 * 60),
    Duration::from_secs(2 * 3600),
    Duration::from_secs(5 * 3600),
    Duration::from_secs(10 * 3600),
    Duration::from_secs(14 * 3600),
    Duration::from_secs(20 * 3600),
    Duration::from_secs(24 * 3600),
];

/// By what part a wait may be longer, so that what failed together does not come back together.
const JITTER: f64 = 0.1;

/// The longest wait that a receiver may ask for.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(24 * 3600);

/// The endpoint that callbacks of single tasks go by: its secret signs them.
pub const CALLBACKS: &str = "callbacks";

/// The largest result that a payload has in it, in bytes of JSON; a larger one is named by its path.
pub const MAX_RESULT: usize = 64 * 1024;

/// Who is told of events, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct EndpointSpec {
    /// Where they are sent; `null` for callbacks, of which each has its own.
    pub url: Option<Target>,
    /// What it is for, for people.
    pub description: String,
    /// Which events.
    pub filter: EventFilter,
    /// How many are sent at once at most.
    pub concurrency: u16,
    /// One after another, in the order of what happened; one that fails holds up those behind it.
    pub ordered: bool,
    /// How long an answer may take, in milliseconds.
    pub timeout_ms: u32,
}

/// An endpoint, as it is told. Its secret is not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct EndpointRecord {
    /// Its name.
    pub name: EndpointName,
    /// What it is.
    #[serde(flatten)]
    pub spec: EndpointSpec,
    /// Who made it.
    pub origin: Origin,
    /// Whether it is sent anything.
    pub enabled: bool,
    /// Why not.
    pub disabled_reason: Option<String>,
    /// Nothing is sent before this time, because it asked for less.
    pub not_before: Option<Timestamp>,
    /// Until when a second, older secret signs, too.
    pub old_secret_until: Option<Timestamp>,
    /// When it was made: it is told of what happens from then on.
    pub created_at: Timestamp,
    /// How many deliveries wait to be sent.
    pub pending: u64,
    /// How many nobody took.
    pub dead: u64,
}

/// Where a delivery is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// It is sent, or will be.
    Pending,
    /// It was taken.
    Delivered,
    /// Nobody took it. It can be sent again by hand.
    Dead,
}

impl DeliveryState {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Pending, Self::Delivered, Self::Dead];

    /// The word of the API and the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Dead => "dead",
        }
    }
}

/// One event for one endpoint, as it is told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct DeliveryRecord {
    /// The `webhook-id` of it.
    pub id: String,
    /// Its place among all deliveries, newest highest: the cursor of listings.
    pub number: i64,
    /// The endpoint.
    pub endpoint: EndpointName,
    /// Where a callback is sent.
    pub url: Option<String>,
    /// The type of the event.
    #[serde(rename = "type")]
    pub word: String,
    /// The task that it is about; `null` for a test.
    pub task: Option<TaskId>,
    /// Where it is.
    pub state: DeliveryState,
    /// How often it failed.
    pub failures: u32,
    /// When it is sent next.
    pub due_at: Option<Timestamp>,
    /// The status of the newest answer.
    pub status: Option<u16>,
    /// Why the newest try failed.
    pub problem: Option<String>,
    /// When the event was told to the outbox.
    pub created_at: Timestamp,
    /// When it was taken or given up.
    pub ended_at: Option<Timestamp>,
}

/// What came of sending a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The receiver answered.
    Status {
        /// With this status.
        status: u16,
        /// And asked not to be asked before that has passed.
        retry_after: Option<Duration>,
    },
    /// It could not be reached, or did not answer in time: why, for people.
    Nothing(String),
}

/// What becomes of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It was taken.
    Delivered,
    /// It is sent again after this wait.
    Again {
        /// How long.
        wait: Duration,
        /// Nothing at all is sent to the endpoint for so long, because it has too much to do.
        hold: Option<Duration>,
    },
    /// Nobody takes it.
    Dead,
    /// The receiver wants nothing any more: the delivery is dead, and its endpoint is disabled.
    Gone,
}

/// Decides what becomes of a delivery that failed `failures` times before this answer. `chance` is
/// between 0 and 1.
pub fn judge(answer: &Answer, failures: u32, chance: f64) -> Verdict {
    let (status, retry_after) = match answer {
        Answer::Status { status, retry_after } => (*status, *retry_after),
        Answer::Nothing(_) => (0, None),
    };
    match status {
        200..=299 => return Verdict::Delivered,
        410 => return Verdict::Gone,
        _ => {}
    }
    let wait = usize::try_from(failures).ok().and_then(|failures| WAITS.get(failures));
    let Some(wait) = wait else { return Verdict::Dead };
    let wait = wait.mul_f64(1.0 + JITTER * chance.clamp(0.0, 1.0));
    let asked = retry_after.unwrap_or_default().min(MAX_RETRY_AFTER);
    let throttled = matches!(status, 429 | 502 | 504) || (status == 503 && retry_after.is_some());
    let hold = throttled.then_some(if retry_after.is_some() { asked } else { WAITS[0] });
    Verdict::Again { wait: wait.max(asked), hold }
}

/// Reads `Retry-After`: seconds, or a date.
pub fn retry_after(text: &str, now: Timestamp) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let date = rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
    Some(Duration::try_from(date.duration_since(now)).unwrap_or(Duration::ZERO))
}

/// The `webhook-id` of a delivery.
pub fn message_id(id: Uuid) -> String {
    format!("msg_{}", id.simple())
}

/// Reads a `webhook-id`.
pub fn parse_message_id(text: &str) -> Option<Uuid> {
    let hex = text.strip_prefix("msg_").filter(|hex| hex.len() == 32)?;
    Uuid::try_parse(hex).ok()
}

/// How a task ended, for the payload of its event.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Ending {
    /// The result.
    pub output: Option<Value>,
    /// The failure.
    pub failure: Option<(FailureClass, String)>,
}

/// The body that is sent: `{"type", "timestamp", "data"}`. The data of an end has the result, or
/// where it is if that is large.
pub fn payload(event: &TaskEvent, ending: Option<Ending>) -> String {
    let mut data = serde_json::to_value(event).unwrap_or_default();
    if let Some(fields) = data.as_object_mut() {
        // They stand beside the data.
        fields.remove("type");
        fields.remove("at");
    }
    if let (Some(fields), Some(ending)) = (data.as_object_mut(), ending) {
        let (mut output, path) = (ending.output, format!("/api/v1/tasks/{}", event.step.task));
        let size = output.as_ref().map_or(0, |output| output.to_string().len());
        fields.insert("output_bytes".to_owned(), json!(size));
        if size > MAX_RESULT {
            output = None;
        }
        fields.insert("output".to_owned(), json!(output));
        fields.insert("result_path".to_owned(), json!(path));
        let error = ending
            .failure
            .map(|(class, message)| json!({ "class": class.as_str(), "message": message }));
        fields.insert("error".to_owned(), json!(error));
    }
    json!({ "type": event.word, "timestamp": event.step.at, "data": data }).to_string()
}

/// The body that tells of a host.
pub fn host_payload(event: &HostEvent) -> String {
    let mut data = serde_json::to_value(event).unwrap_or_default();
    if let Some(fields) = data.as_object_mut() {
        fields.remove("type");
        fields.remove("at");
    }
    json!({ "type": event.word, "timestamp": event.at, "data": data }).to_string()
}

/// The body of a test.
pub fn test_payload(endpoint: &str, at: Timestamp) -> String {
    json!({ "type": TEST, "timestamp": at, "data": { "endpoint": endpoint } }).to_string()
}

/// The type of a test.
pub const TEST: &str = "hostler.test";

#[cfg(test)]
mod tests;
