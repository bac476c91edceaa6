//! `db prune`.

use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Map, json};

use super::Told;
use crate::{
    cli::{
        exit::{CliError, Exit, Outcome},
        output::{Table, Tone},
    },
    domain::history::{Counts, Kind},
    history::retention::{Retention, RetentionError, Right, Step},
    settings,
    store::Store,
    telemetry::Chain,
};

#[derive(Debug, Args)]
pub(in crate::cli) struct Prune {
    /// Only count what would be deleted
    #[arg(long)]
    dry_run: bool,
}

impl Prune {
    /// Whether something is deleted, and not only counted.
    pub(super) const fn deletes(&self) -> bool {
        !self.dry_run
    }

    pub(super) async fn run(self, store: &Store, history: &settings::History) -> Outcome<Told> {
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {pos} tasks {msg} {per_sec}") {
            bar.set_style(style);
        }
        bar.set_message(if self.dry_run { "found" } else { "deleted" });
        bar.enable_steady_tick(Duration::from_millis(200));
        let swept = self.sweep(store, history, &bar).await;
        bar.finish_and_clear();
        Ok(self.told(&swept.map_err(|error| failed(&error))?, history))
    }

    async fn sweep(
        &self,
        store: &Store,
        history: &settings::History,
        bar: &ProgressBar,
    ) -> Result<Counts, RetentionError> {
        let retention = Retention::new(store.clone(), history);
        let right = if self.dry_run { Right::Nobody } else { Right::Hand };
        let (mut sweep, mut all) = (retention.sweep().await?, Counts::default());
        while let Step::Went(counts) = retention.step(&mut sweep, right).await? {
            all.add(&counts);
            bar.set_position(all.tasks());
        }
        Ok(all)
    }

    fn told(&self, counts: &Counts, history: &settings::History) -> Told {
        let mut list = Table::new(&["WHAT", "COUNT"]);
        let mut json = Map::new();
        for kind in Kind::ALL.into_iter().filter(|kind| !self.dry_run || *kind != Kind::Feed) {
            json.insert(kind.as_str().to_owned(), json!(counts.get(kind)));
            list.row(Tone::Plain, [kind.as_str().to_owned(), counts.get(kind).to_string()]);
        }
        let tasks = counts.tasks();
        let what = match (self.dry_run, &history.archive) {
            (true, _) => format!("{tasks} tasks would be deleted"),
            (false, None) => format!("{tasks} tasks deleted"),
            (false, Some(dir)) => format!("{tasks} tasks deleted, archived in {}", dir.display()),
        };
        let json = json!({ "dry_run": self.dry_run, "tasks": tasks, "deleted": json });
        (Exit::Done, json, format!("{}\n{what}\n", list.render("nothing")))
    }
}

fn failed(error: &RetentionError) -> CliError {
    match error {
        RetentionError::Archive(error) => {
            CliError::new(Exit::Failed, Chain(error).to_string()).help(error.advice())
        }
        RetentionError::Store(error) => super::failed(error),
    }
}
