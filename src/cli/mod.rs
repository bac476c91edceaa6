//! The command line: one file per family of commands.
//!
//! Commands that speak with a host do so by its API, as every other program does; `client` is
//! the client. `up`, `demo` and `db` are the host itself. `docs/CLI.md` has the exit codes.

mod address;
mod agent;
mod artifact;
mod audit;
mod batch;
mod bulk;
mod client;
mod command_agent;
mod completions;
mod config;
mod db;
mod dead;
mod doctor;
mod download;
mod events;
mod exit;
mod fleet;
mod global;
mod group;
mod host;
mod hosts;
#[cfg(not(fuzzing))]
mod import_json;
#[cfg(fuzzing)]
pub mod import_json;
mod key;
mod limit;
mod lock;
mod mcp;
mod memory;
mod mock;
mod openapi;
mod output;
mod plan;
mod queue;
mod reload;
mod schedule;
mod session;
mod task;
mod upgrade;
mod webhook;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use exit::{CliError, Exit, Outcome};
use global::Global;
use output::Output;

use crate::process;

/// Keeps fleets of agent processes working: starts them, hands them tasks from Postgres, restarts
/// what crashes or hangs, and keeps every result
#[derive(Debug, Parser)]
#[command(name = "hostler", version, about, propagate_version = true, max_term_width = 100)]
#[command(after_help = "Examples:\n  hostler demo\n  hostler up -c fleets.toml\n  \
    hostler task submit --kind echo --input '{\"say\": \"hello\"}' --wait\n  hostler agent list\n\n\
    Exit codes: 0 done, 1 failed, 2 wrong usage or input, 3 no host answers, 4 not found,\n\
    5 not in this state, 6 not allowed, 124 not in time.")]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Up(host::Up),
    Demo(host::Demo),
    Reload(reload::Reload),
    Upgrade(upgrade::Upgrade),
    Doctor(doctor::Doctor),
    #[command(subcommand)]
    Config(config::Config),
    #[command(subcommand)]
    Host(hosts::Hosts),
    #[command(subcommand)]
    Fleet(fleet::Fleet),
    #[command(subcommand)]
    Agent(agent::Agent),
    #[command(subcommand)]
    Task(task::Task),
    #[command(subcommand)]
    Batch(batch::Batch),
    #[command(subcommand)]
    Group(group::Group),
    #[command(subcommand)]
    Dead(dead::Dead),
    #[command(subcommand)]
    Queue(queue::Queue),
    #[command(subcommand)]
    Key(key::Key),
    #[command(subcommand)]
    Audit(audit::Audit),
    #[command(subcommand)]
    Limit(limit::Limit),
    #[command(subcommand)]
    Lock(lock::Lock),
    #[command(subcommand)]
    Schedule(schedule::Schedule),
    #[command(subcommand)]
    Plan(plan::Plan),
    #[command(subcommand)]
    Session(session::Session),
    #[command(subcommand)]
    Memory(memory::Memory),
    #[command(subcommand)]
    Artifact(artifact::Artifact),
    ImportJson(import_json::ImportJson),
    MockAgent(mock::MockAgent),
    CommandAgent(command_agent::CommandAgent),
    #[command(subcommand)]
    Workspace(workspace::Workspace),
    Mcp(mcp::Mcp),
    #[command(subcommand)]
    Webhook(webhook::Webhook),
    #[command(subcommand)]
    Db(db::Db),
    #[command(subcommand)]
    Events(events::Events),
    #[command(name = "openapi")]
    OpenApi(openapi::OpenApi),
    Completions(completions::Completions),
}

/// Runs the command line of this process.
pub fn run() -> ExitCode {
    // `hostler keeper` is for the host alone, and comes first of all: a process that forks must not
    // have a second thread, nor anything else that is set up below.
    let mut words = std::env::args_os().skip(1);
    if words.next().is_some_and(|word| word == "keeper") {
        return process::keeper::main(words);
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    if cli.global.no_color {
        anstream::ColorChoice::Never.write_global();
    }
    match cli.command.run(&cli.global) {
        Ok(code) => code,
        // The reader of the output has had enough.
        Err(error) if error.exit == Exit::Done => ExitCode::SUCCESS,
        Err(error) => {
            error.tell(cli.global.json);
            error.exit.into()
        }
    }
}

/// Shows what clap says: help and versions on stdout, mistakes on stderr.
fn usage(error: &clap::Error) -> ExitCode {
    if error.use_stderr() && std::env::args_os().any(|word| word == "--json") {
        let text = error.render().to_string();
        let mut lines = text.trim().splitn(2, "\n\n");
        let what = lines.next().unwrap_or_default().trim_start_matches("error: ");
        let mut wrong = CliError::new(Exit::Usage, what);
        if let Some(rest) = lines.next() {
            wrong = wrong.help(rest);
        }
        wrong.tell(true);
        return Exit::Usage.into();
    }
    // There is nobody to tell if that can't be printed.
    drop(error.print());
    if error.use_stderr() { Exit::Usage.into() } else { ExitCode::SUCCESS }
}

impl Command {
    fn run(self, global: &Global) -> Outcome<ExitCode> {
        let exit = match self {
            Self::Up(up) => return up.run(global),
            Self::Demo(demo) => return demo.run(global),
            Self::Upgrade(upgrade) => asked(upgrade.run(global)),
            Self::Reload(reload) => asked(reload.run(global)),
            Self::Doctor(doctor) => doctor.run(global),
            Self::Config(config) => config.run(global),
            Self::Host(hosts) => asked(hosts.run(global)),
            Self::Fleet(fleet) => asked(fleet.run(global)),
            Self::Agent(agent) => asked(agent.run(global)),
            Self::Task(task) => asked(task.run(global)),
            Self::Batch(batch) => asked(batch.run(global)),
            Self::Group(group) => asked(group.run(global)),
            Self::Dead(dead) => asked(dead.run(global)),
            Self::Queue(queue) => asked(queue.run(global)),
            Self::Key(key) => asked(key.run(global)),
            Self::Audit(audit) => asked(audit.run(global)),
            Self::Limit(limit) => asked(limit.run(global)),
            Self::Lock(lock) => asked(lock.run(global)),
            Self::Schedule(schedule) => asked(schedule.run(global)),
            Self::Plan(plan) => plan.run(global),
            Self::Session(session) => asked(session.run(global)),
            Self::Memory(memory) => asked(memory.run(global)),
            Self::Artifact(artifact) => asked(artifact.run(global)),
            Self::ImportJson(import) => asked(import.run(global)),
            Self::MockAgent(agent) => return agent.run(),
            Self::CommandAgent(agent) => return agent.run(),
            Self::Workspace(workspace) => asked(workspace.run(global)),
            Self::Mcp(mcp) => asked(mcp.run(global)),
            Self::Webhook(webhook) => asked(webhook.run(global)),
            Self::Db(db) => asked(db.run(global)),
            Self::Events(events) => asked(events.run(global)),
            Self::OpenApi(openapi) => openapi.run(Output { json: global.json }),
            Self::Completions(completions) => completions.run(),
        };
        exit.map(ExitCode::from)
    }
}

/// Runs what a command asks of a host, on this thread.
fn asked<T>(question: impl Future<Output = Outcome<T>>) -> Outcome<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| CliError::new(Exit::Failed, format!("cannot start: {error}")))?;
    let answer = runtime.block_on(question);
    // A name that is still being looked up must not keep the command from ending.
    runtime.shutdown_background();
    answer
}

#[cfg(test)]
mod tests;
