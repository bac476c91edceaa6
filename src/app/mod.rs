//! The composition root: the only place that knows everyone. Builds a host from the bottom up, and
//! takes it down from the top.

mod adopt;
mod attempts;
mod autoscale;
mod demo;
mod duties;
mod housekeeping;
mod merges;
mod parts;
mod reload;
mod start;
mod stop;
mod systemd;
mod telling;
mod up;
mod upgrade;
mod workspaces;

pub use demo::{DemoOptions, demo};
pub use reload::LoadSettings;
use start::start;
pub use start::{Running, StartError};
pub use stop::Stop;
pub use up::{UpError, up};
pub use upgrade::{not_started, traits};

use crate::protocol::exec::Template;

/// Checks the templates of an argv, for whoever reads settings.
///
/// # Errors
///
/// A sentence that names the word.
pub fn check_template(argv: &[String]) -> Result<(), String> {
    Template::parse(argv).map(drop).map_err(|error| error.to_string())
}
