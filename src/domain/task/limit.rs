//! How long an attempt may run.

use std::time::Duration;

use super::Assignment;

/// How long an attempt may still run, and what it is that ends then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeLeft {
    /// How long.
    pub limit: Duration,
    /// Whether it is the task's deadline, and not the limit of the attempt.
    pub is_deadline: bool,
}

impl Assignment {
    /// How long the attempt may still run when it has run for `ran` and was claimed `ago`, on an
    /// agent whose fleet allows `of_fleet`; for ever where nobody set a limit.
    pub fn time_left(
        &self,
        of_fleet: Option<Duration>,
        ran: Duration,
        ago: Duration,
    ) -> Option<TimeLeft> {
        let limit = self.timeout.or(of_fleet).map(|limit| limit.saturating_sub(ran));
        let deadline = self.terms.deadline_in.map(|deadline| deadline.saturating_sub(ago));
        match (limit, deadline) {
            (None, None) => None,
            (Some(limit), deadline) if deadline.is_none_or(|deadline| limit < deadline) => {
                Some(TimeLeft { limit, is_deadline: false })
            }
            (_, deadline) => deadline.map(|limit| TimeLeft { limit, is_deadline: true }),
        }
    }
}
