//! `hostler task logs`.

use clap::{Args, ValueEnum};

use crate::{
    cli::{
        address::with_query,
        client::Client,
        download,
        exit::{Exit, Outcome},
    },
    domain::TaskId,
};

/// Which of an attempt's outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Stream {
    /// What its own process wrote to stdout
    Stdout,
    /// And to stderr
    Stderr,
    /// What a worker wrote while it was at it
    Log,
}

/// Show what an attempt of a task wrote, as its agent wrote it
#[derive(Debug, Args)]
#[command(
    after_help = "The host that ran the attempt must be the one that is asked.\n\nExamples:\n  \
    hostler task logs tsk_0198c1d2… -f\n  hostler task logs tsk_0198c1d2… --attempt 1 --stream stderr"
)]
pub(in crate::cli) struct Logs {
    /// The task
    task: TaskId,
    /// The attempt by its number; the newest if it is left out
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    attempt: Option<u32>,
    /// Which output; a worker's log or a process's stdout if it is left out
    #[arg(long)]
    stream: Option<Stream>,
    /// Go on with what is written later, until the attempt is over
    #[arg(short, long)]
    follow: bool,
    /// Begin so many lines before the end
    #[arg(long, value_name = "N", default_value_t = 100)]
    tail: u32,
}

impl Logs {
    pub(in crate::cli) async fn run(self, client: &Client) -> Outcome {
        let stream = self.stream.and_then(|stream| stream.to_possible_value());
        let pairs = [
            ("attempt", self.attempt.map(|attempt| attempt.to_string())),
            ("stream", stream.map(|word| word.get_name().to_owned())),
            ("follow", self.follow.then(|| "true".to_owned())),
            ("tail", Some(self.tail.to_string())),
        ];
        let path = with_query(&format!("/api/v1/tasks/{}/logs", self.task), &pairs);
        download::print(client, &path).await?;
        Ok(Exit::Done)
    }
}
