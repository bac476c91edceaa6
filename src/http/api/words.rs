//! The texts that fields of requests are made of, as the document of the API tells them. A form that is
//! told here is one that the server takes; it takes others beside it, such as `1 hour` for a duration.

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

/// A duration: whole numbers with units.
#[derive(Serialize, ToSchema)]
#[schema(value_type = String, pattern = "^[1-9][0-9]{0,2}(ms|s|m|h|d)( [1-9][0-9]{0,1}(ms|s|m|h))*$", examples("30s", "1h 30m"))]
pub struct Length(String);

/// A text of one line, of 1 to 255 characters.
#[derive(Serialize, ToSchema)]
#[schema(value_type = String, pattern = r"^[^\x00-\x1f\x7f-\x9f]{1,255}$")]
pub struct Line(String);

/// How many may begin within a window.
#[derive(Serialize, ToSchema)]
#[schema(value_type = String, pattern = "^[1-9][0-9]{0,4}/([1-9][0-9]{0,2})(s|m)$", examples("60/1m"))]
pub struct RateText(String);

/// A time, or a duration from now.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub enum Moment {
    /// A time.
    Time(Timestamp),
    /// So long from now.
    Length(Length),
}

/// A word that lifts a limit.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Off {
    /// There is no limit from now on.
    Off,
}

/// How many may run at once, or that there is no limit.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub enum CountOrOff {
    /// So many.
    Count(u32),
    /// As many as there are.
    Off(Off),
}

/// How many may begin within a window, or that there is no limit.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub enum RateOrOff {
    /// So many.
    Rate(RateText),
    /// As many as there are.
    Off(Off),
}

/// How many agents of a fleet: a number, or a part of it.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub enum Share {
    /// So many.
    Count(u16),
    /// A part, as `25%`.
    Part(String),
}

/// A secret to sign with, as the Standard Webhooks specification writes it: `whsec_` and 24 to 64 bytes in base64.
#[derive(Serialize, ToSchema)]
#[schema(value_type = String, pattern = "^whsec_([A-Za-z0-9+/]{4}){8,20}$")]
pub struct SecretText(String);
