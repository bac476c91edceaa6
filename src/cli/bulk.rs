//! What many commands have in common that do something to many tasks.

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;

use super::{
    client::Client,
    exit::{CliError, Exit, Outcome},
    output::Output,
};
use crate::{
    domain::{
        BatchId, GroupName, QueueName, TaskId,
        bulk::BulkRecord,
        task::{FailureClass, TaskState},
    },
    http::api::BulkBody,
};

/// Which tasks are meant, by what they are.
#[derive(Debug, Clone, Default, Args)]
#[group(skip)]
pub(super) struct Which {
    /// In this queue
    #[arg(short, long)]
    pub(super) queue: Option<QueueName>,
    /// Of this kind
    #[arg(short, long)]
    pub(super) kind: Option<String>,
    /// In this group
    #[arg(long)]
    pub(super) group: Option<GroupName>,
    /// Of this batch
    #[arg(long)]
    pub(super) batch: Option<BatchId>,
    /// Whose newest failure is of this class: exit, task, timeout, stale, …
    #[arg(long)]
    pub(super) class: Option<FailureClass>,
    /// Submitted at this time or later, as in 2030-01-31T08:00:00Z
    #[arg(long, value_name = "TIME")]
    pub(super) created_after: Option<Timestamp>,
    /// Submitted before this time
    #[arg(long, value_name = "TIME")]
    pub(super) created_before: Option<Timestamp>,
}

impl Which {
    /// What a listing is asked for.
    pub(super) fn pairs(&self) -> Vec<(&'static str, Option<String>)> {
        vec![
            ("queue", self.queue.as_ref().map(ToString::to_string)),
            ("kind", self.kind.clone()),
            ("group", self.group.as_ref().map(ToString::to_string)),
            ("batch", self.batch.map(|batch| batch.to_string())),
            ("class", self.class.map(|class| class.to_string())),
            ("created_after", self.created_after.map(|at| at.to_string())),
            ("created_before", self.created_before.map(|at| at.to_string())),
        ]
    }

    fn is_empty(&self) -> bool {
        self.queue.is_none()
            && self.kind.is_none()
            && self.group.is_none()
            && self.batch.is_none()
            && self.class.is_none()
            && self.created_after.is_none()
            && self.created_before.is_none()
    }
}

/// Which tasks, how many of them, and whether for real.
#[derive(Debug, Clone, Default, Args)]
#[group(skip)]
pub(super) struct Selection {
    #[command(flatten)]
    pub(super) which: Which,
    /// In one of these states; with commas, or given several times
    #[arg(long, value_delimiter = ',')]
    pub(super) state: Vec<TaskState>,
    /// All that there are
    #[arg(long)]
    pub(super) all: bool,
    /// At most so many
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) limit: Option<u64>,
    /// Only count them
    #[arg(long)]
    pub(super) dry_run: bool,
}

impl Selection {
    /// Whether it says anything at all.
    pub(super) fn is_empty(&self) -> bool {
        self.which.is_empty()
            && self.state.is_empty()
            && !self.all
            && self.limit.is_none()
            && !self.dry_run
    }

    /// What the API is told, of these tasks if any are named.
    ///
    /// # Errors
    ///
    /// Where nothing says which tasks are meant.
    pub(super) fn body(&self, tasks: &[TaskId]) -> Outcome<BulkBody> {
        let which = &self.which;
        if which.is_empty() && self.state.is_empty() && tasks.is_empty() && !self.all {
            let what = "nothing says which tasks are meant";
            return Err(CliError::new(Exit::Usage, what).help(
                "name them, or say what they are by --queue, --kind, --state, --group, --batch, \
                 --class, --created-after or --created-before, or give --all",
            ));
        }
        Ok(BulkBody {
            tasks: tasks.to_vec(),
            queue: which.queue.clone(),
            kind: which.kind.clone(),
            states: self.state.clone(),
            group: which.group.clone(),
            batch: which.batch,
            class: which.class,
            created_after: which.created_after,
            created_before: which.created_before,
            all: self.all,
            limit: self.limit,
            dry_run: self.dry_run,
            ..BulkBody::default()
        })
    }
}

/// Has it done, request after request, and shows how far it is.
pub(super) async fn carry_out(
    client: &Client,
    output: Output,
    path: &str,
    mut body: BulkBody,
) -> Outcome<BulkRecord> {
    let bar = if output.json { ProgressBar::hidden() } else { ProgressBar::new_spinner() };
    let style = ProgressStyle::with_template("{spinner} {pos} tasks, {per_sec}");
    let bar = match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    };
    let mut whole = BulkRecord { dry_run: body.dry_run, ..BulkRecord::default() };
    loop {
        let part: BulkRecord = match client.post(path, &body).await {
            Ok(reply) => reply.json()?,
            Err(mut error) => {
                bar.finish_and_clear();
                if whole.changed + whole.requested > 0 {
                    error.what.push_str(&format!("\n  before that, {}", told(&whole, "changed")));
                }
                return Err(error);
            }
        };
        whole.matched += part.matched;
        whole.changed += part.changed;
        whole.requested += part.requested;
        bar.set_position(whole.matched);
        body.limit = body.limit.map(|limit| limit.saturating_sub(part.matched));
        body.cursor = part.next_cursor;
        if body.cursor.is_none() || body.limit == Some(0) {
            bar.finish_and_clear();
            whole.next_cursor = body.cursor;
            return Ok(whole);
        }
    }
}

/// What was done, in words; `done` is the word for it.
pub(super) fn told(record: &BulkRecord, done: &str) -> String {
    let count = |number: u64| format!("{number} task{}", if number == 1 { "" } else { "s" });
    if record.dry_run {
        let meant = count(record.matched);
        return format!("{meant} would be {done}; nothing was changed");
    }
    let mut text = format!("{} {done}", count(record.changed));
    if record.requested > 0 {
        text.push_str(&format!("; {} that run are asked to stop", record.requested));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_done_is_told() {
        let record = BulkRecord { matched: 4, changed: 1, requested: 3, ..BulkRecord::default() };
        assert_eq!(told(&record, "cancelled"), "1 task cancelled; 3 that run are asked to stop");
        let dry = BulkRecord { dry_run: true, ..record };
        assert_eq!(told(&dry, "retried"), "4 tasks would be retried; nothing was changed");
    }

    #[test]
    fn nothing_is_not_everything() {
        let nothing = Selection { dry_run: true, ..Selection::default() };
        let error = nothing.body(&[]).unwrap_err();
        assert_eq!(error.exit, Exit::Usage);
        assert!(error.help.unwrap().contains("--all"));
        let all = Selection { all: true, ..Selection::default() };
        let body = serde_json::to_value(all.body(&[]).unwrap()).unwrap();
        assert_eq!(body, serde_json::json!({"all": true}));
    }
}
