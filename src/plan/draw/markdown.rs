//! The analysis as a Markdown page.

use super::{summary, title};
use crate::plan::{
    analyze::Analysis,
    report::remedy,
    words::{cause, files, hours, percent, worker},
};

/// The analysis as a Markdown page: the figures, the schedule, conflicts, the table over the number
/// of agents, advice.
pub fn markdown(analysis: &Analysis) -> String {
    let mut page = format!("# {}\n\n", cell(title(analysis)));
    page.push_str("| figure | value |\n| --- | --- |\n");
    for (name, value) in summary(analysis) {
        page.push_str(&format!("| {name} | {} |\n", cell(&value)));
    }
    phases(analysis, &mut page);
    schedule(analysis, &mut page);
    conflicts(analysis, &mut page);
    page.push_str("\n## Agents\n\n| agents | makespan | lower bound |\n| --- | --- | --- |\n");
    for row in &analysis.staff {
        let bound = hours(row.bound.min(row.makespan));
        page.push_str(&format!("| {} | {} | {bound} |\n", row.agents, hours(row.makespan)));
    }
    if !analysis.advice.is_empty() {
        page.push_str("\n## Advice\n\n");
        for line in &analysis.advice {
            page.push_str(&format!("- {line}\n"));
        }
    }
    page
}

fn phases(analysis: &Analysis, page: &mut String) {
    if analysis.phases.is_empty() {
        return;
    }
    page.push_str("\n## Phases as barriers\n\n| phase | sequential | makespan | saved |\n| --- | --- | --- | --- |\n");
    for phase in &analysis.phases {
        let figures = &phase.figures;
        page.push_str(&format!(
            "| {} | {} | {} | {} |\n",
            cell(&phase.title),
            hours(figures.sequential),
            hours(figures.makespan),
            percent(figures.saved_percent())
        ));
    }
}

fn schedule(analysis: &Analysis, page: &mut String) {
    page.push_str("\n## Schedule\n\n| start | finish | task | who | waits for |\n| --- | --- | --- | --- | --- |\n");
    let task = |at: usize| &analysis.plan.tasks[at];
    for (slot, wait) in analysis.schedule.slots.iter().zip(&analysis.waits) {
        let waits = wait.map_or_else(String::new, |wait| {
            format!("{} ({})", task(wait.on).id, cause(wait.cause))
        });
        page.push_str(&format!(
            "| {} | {} | {} | {} | {waits} |\n",
            hours(slot.start),
            hours(slot.finish),
            cell(&task(slot.task).title),
            worker(slot.worker),
        ));
    }
}

fn conflicts(analysis: &Analysis, page: &mut String) {
    if analysis.conflicts.is_empty() {
        return;
    }
    page.push_str("\n## File conflicts\n\n| tasks | files | remedy |\n| --- | --- | --- |\n");
    let id = |at: usize| &analysis.plan.tasks[at].id;
    for conflict in &analysis.conflicts {
        let names: Vec<String> =
            files(conflict).iter().map(|file| format!("`{}`", cell(file))).collect();
        page.push_str(&format!(
            "| {}, {} | {} | {} |\n",
            id(conflict.first),
            id(conflict.second),
            names.join(", "),
            remedy(analysis, conflict).as_str()
        ));
    }
}

/// Text that can not leave its cell or begin anything.
fn cell(text: &str) -> String {
    let flat: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    flat.replace('\\', "\\\\").replace('|', "\\|").replace('<', "&lt;").replace('`', "'")
}
