//! `hostler plan analyze`: what is true of a plan.

use std::{path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::{
    super::{
        asked,
        exit::{CliError, Exit, Outcome},
        global::Global,
        output::{Table, Tone, card},
    },
    load,
};
use crate::{
    domain::{
        QueueName,
        plan::{Learned, Plan},
        record::FleetRecord,
    },
    http::api::Listing,
    plan::{
        analyze::{Analysis, Options, analyze, backward},
        draw, live,
        report::{remedy, to_json},
        solve::Budget,
        words::{cause, files, hours, in_hours, percent, worker},
    },
    settings::parse_duration,
};

/// The most schedules that one search makes, so that small plans are judged the same everywhere.
const SCHEDULES: u64 = 20_000;

/// The most steps of one exact search.
const NODES: u64 = 400_000;

/// How many times durations are drawn.
const DRAWS: u32 = 2_000;

/// The width of the chart, in characters.
const WIDTH: usize = 100;

/// The most rows of a table on a terminal.
const MAX_ROWS: usize = 40;

/// How the analysis is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Tables and a chart of bars
    Table,
    /// JSON; `--json` says the same
    Json,
    /// A Markdown page
    Markdown,
    /// A Mermaid Gantt chart
    Mermaid,
    /// An SVG picture
    Svg,
}

/// Find out how long a plan takes with N agents, what bounds it, and the best schedule
#[derive(Debug, Args)]
#[command(
    after_help = "The figures count from the start of the plan: what its preparation phases \
    take is said apart.\n\nExamples:\n  hostler plan analyze plan.toml --agents 3\n  \
    hostler plan analyze plan.toml --agents 3 --phased --json\n  \
    hostler plan analyze plan.toml --live\n  \
    hostler plan analyze plan.toml --format svg > plan.svg"
)]
pub(in crate::cli) struct Analyze {
    /// The plan file
    file: PathBuf,
    /// How many agents; else those of the plan (or of the live fleets), else the fewest that reach the best
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    agents: Option<u32>,
    /// Take the fleets that the host has now, with as many agents as they have; asks a host
    #[arg(long)]
    live: bool,
    /// Put all that agents do into this queue, as `plan run --queue` does
    #[arg(long, value_name = "QUEUE", requires = "live")]
    queue: Option<QueueName>,
    /// Begin no phase before the one in front of it is done
    #[arg(long)]
    phased: bool,
    /// Replace tasks by their parts (`split_of`) where that is faster
    #[arg(long)]
    split: bool,
    /// Take the durations of earlier runs where there were any; asks a host
    #[arg(long)]
    from_history: bool,
    /// How to print it
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
    /// What chance begins with: the same seed gives the same answer
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How long to look for better schedules, at the most
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = parse_duration)]
    budget: Duration,
}

impl Analyze {
    pub(super) fn run(self, global: &Global) -> Outcome {
        let planned = load(&self.file)?;
        let learned = if self.from_history { learned(global, &planned)? } else { Vec::new() };
        let plan = planned.clone().with_history(&learned);
        let plan = if self.live { self.of_fleets(global, plan)? } else { plan };
        if let Some((task, earlier)) = backward(&plan).filter(|_| self.phased) {
            let (task, earlier) = (&plan.tasks[task].id, &plan.tasks[earlier].id);
            let what = format!("`{task}` waits for `{earlier}`, which is in a later phase");
            return Err(CliError::new(Exit::Usage, what)
                .help("phases can not be barriers then: leave --phased out, or mend the phases"));
        }
        let begin = tokio::time::Instant::now();
        let elapsed = || begin.elapsed();
        let budget =
            Budget { schedules: SCHEDULES, nodes: NODES, time: self.budget, elapsed: &elapsed };
        let options = Options {
            agents: self.agents,
            phased: self.phased,
            split: self.split,
            seed: self.seed,
            draws: DRAWS,
            budget,
        };
        let analysis = analyze(&plan, &options);
        let output = global.output();
        let format = if global.json { Format::Json } else { self.format };
        match format {
            Format::Json => {
                let mut report = to_json(&analysis);
                if self.from_history {
                    report["learned"] = json!(learned.iter().map(in_report).collect::<Vec<_>>());
                }
                super::super::output::Output { json: true }.show(&report, |_| String::new())?;
            }
            Format::Table => {
                let history =
                    if self.from_history { history(&planned, &learned) } else { String::new() };
                output.text(&format!("{}{history}", tables(&analysis)))?;
            }
            Format::Markdown => output.text(&draw::markdown(&analysis))?,
            Format::Mermaid => output.text(&draw::mermaid(&analysis))?,
            Format::Svg => output.text(&draw::svg(&analysis))?,
        }
        Ok(Exit::Done)
    }
}

impl Analyze {
    /// The plan for the fleets of the host, as they are now.
    fn of_fleets(&self, global: &Global, plan: Plan) -> Outcome<Plan> {
        let client = global.client()?;
        let fleets: Listing<FleetRecord> = asked(client.get("/api/v1/fleets"))?;
        live::with_fleets(plan, &fleets.items, self.queue.as_ref()).map_err(|unmet| {
            let lines: String =
                unmet.iter().map(|it| format!("\n  task `{}` {}", it.task, it.what)).collect();
            let what = format!("the live fleets can't carry the plan out:{lines}");
            CliError::new(Exit::Usage, what)
                .help("`hostler fleet list` shows what they serve; --queue takes one queue for all")
        })
    }
}

/// What earlier runs say of the tasks of `plan`.
fn learned(global: &Global, plan: &Plan) -> Outcome<Vec<Learned>> {
    let names: Vec<_> = plan.tasks.iter().map(|task| &task.id).collect();
    let client = global.client()?;
    let found: Listing<Learned> = asked(async {
        client.post("/api/v1/plans/history", &json!({ "tasks": names })).await?.json()
    })?;
    Ok(found.items)
}

/// What was learned of a task, in the words of the report.
fn in_report(learned: &Learned) -> Value {
    json!({
        "task": learned.id,
        "runs": learned.runs,
        "low_h": in_hours(learned.low_ms),
        "median_h": in_hours(learned.median_ms),
        "high_h": in_hours(learned.high_ms),
        "last_at": learned.last_at,
    })
}

/// What was learned beside what the plan says.
fn history(plan: &Plan, learned: &[Learned]) -> String {
    let mut table = Table::new(&["LEARNED", "RUNS", "PLANNED", "MEDIAN", "NINE OF TEN WITHIN"]);
    for one in learned.iter().take(MAX_ROWS) {
        let planned = plan.tasks.iter().find(|task| task.id == one.id);
        let cells = [
            one.id.to_string(),
            one.runs.to_string(),
            planned.map_or_else(String::new, |task| hours(task.estimate.expected())),
            hours(one.median_ms),
            hours(one.high_ms),
        ];
        table.row(Tone::Plain, cells);
    }
    format!("\n{}", table.render("no task of this plan was completed in a run before"))
}

/// All that fits on a terminal.
fn tables(analysis: &Analysis) -> String {
    let mut text = String::new();
    if !analysis.plan.title.is_empty() {
        text.push_str(&card(&[("plan", analysis.plan.title.clone())]));
    }
    text.push_str(&card(&draw::summary(analysis)));
    text.push('\n');
    text.push_str(&draw::gantt(analysis, WIDTH));
    text.push('\n');
    text.push_str(&schedule(analysis));
    if !analysis.phases.is_empty() {
        text.push('\n');
        text.push_str(&phases(analysis));
    }
    if !analysis.conflicts.is_empty() {
        text.push('\n');
        text.push_str(&conflicts(analysis));
    }
    text.push('\n');
    text.push_str(&staff(analysis));
    for line in &analysis.advice {
        text.push_str(&format!("\n{} {line}", Tone::Good.paint("→")));
    }
    text.push('\n');
    text
}

fn schedule(analysis: &Analysis) -> String {
    let mut table = Table::new(&["TASK", "START", "FINISH", "SLACK", "WHO", "WAITS FOR"]);
    let task = |at: usize| &analysis.plan.tasks[at];
    for (slot, wait) in analysis.schedule.slots.iter().zip(&analysis.waits).take(MAX_ROWS) {
        let at = analysis.places.iter().position(|place| *place == slot.task);
        let slack = at.map_or(0, |at| analysis.times.latest[at] - analysis.times.earliest[at]);
        let is_critical = analysis.critical_path.contains(&slot.task);
        let waits = wait.map(|wait| format!("{} ({})", task(wait.on).id, cause(wait.cause)));
        table.row(
            if is_critical { Tone::Warn } else { Tone::Plain },
            [
                task(slot.task).id.to_string(),
                hours(slot.start),
                hours(slot.finish),
                hours(slack),
                worker(slot.worker),
                waits.unwrap_or_else(|| "-".to_owned()),
            ],
        );
    }
    table.render("no tasks")
}

fn phases(analysis: &Analysis) -> String {
    let mut table = Table::new(&["PHASE AS A BARRIER", "SEQUENTIAL", "MAKESPAN", "SAVED"]);
    for phase in &analysis.phases {
        let figures = &phase.figures;
        let cells = [
            phase.title.clone(),
            hours(figures.sequential),
            hours(figures.makespan),
            percent(figures.saved_percent()),
        ];
        table.row(Tone::Plain, cells);
    }
    table.render("no phases")
}

fn conflicts(analysis: &Analysis) -> String {
    let mut table = Table::new(&["FILE CONFLICT", "FILES", "REMEDY"]);
    let id = |at: usize| &analysis.plan.tasks[at].id;
    for conflict in analysis.conflicts.iter().take(MAX_ROWS) {
        let cells = [
            format!("{}, {}", id(conflict.first), id(conflict.second)),
            files(conflict).join(", "),
            remedy(analysis, conflict).as_str().to_owned(),
        ];
        table.row(Tone::Plain, cells);
    }
    let mut text = table.render("no conflicts");
    if analysis.conflicts.len() > MAX_ROWS {
        text.push_str(&format!(
            "and {} more; --json has them all\n",
            analysis.conflicts.len() - MAX_ROWS
        ));
    }
    text
}

fn staff(analysis: &Analysis) -> String {
    let mut table = Table::new(&["AGENTS", "MAKESPAN", "LOWER BOUND", ""]);
    for row in &analysis.staff {
        let note = match row.agents {
            agents if agents == analysis.best_agents => "the fewest that reach the best",
            _ => "",
        };
        let tone = if row.agents == analysis.agents { Tone::Good } else { Tone::Plain };
        let cells = [
            row.agents.to_string(),
            hours(row.makespan),
            hours(row.bound.min(row.makespan)),
            note.to_owned(),
        ];
        table.row(tone, cells);
    }
    table.render("no agents")
}
