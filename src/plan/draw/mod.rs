//! Drawings of an analysis: for a terminal, Markdown, Mermaid and SVG.

mod gantt;
mod markdown;
mod mermaid;
mod svg;
#[cfg(test)]
mod tests;

pub use gantt::gantt;
pub use markdown::markdown;
pub use mermaid::mermaid;
pub use svg::svg;

use super::{analyze::Analysis, words::hours};
use crate::domain::plan::Slot;

/// The summary in lines of a name and a value, for every drawing that has one.
pub fn summary(analysis: &Analysis) -> Vec<(&'static str, String)> {
    let figures = &analysis.figures;
    let proof = if figures.is_proven() {
        format!("{}: no schedule is shorter", hours(figures.bound))
    } else {
        format!("{}: a schedule between this and the makespan may exist", hours(figures.bound))
    };
    let mut lines = vec![
        ("agents", analysis.agents.to_string()),
        ("sequential", hours(figures.sequential)),
        ("makespan", format!("{} (by {})", hours(figures.makespan), figures.method.as_str())),
        (
            "saved",
            format!(
                "{} ({:.0} %, {:.2} times as fast)",
                hours(figures.sequential.saturating_sub(figures.makespan)),
                figures.saved_percent(),
                figures.speed_up()
            ),
        ),
        ("lower bound", proof),
        ("utilisation", format!("{:.0} %", 100.0 * analysis.utilisation)),
    ];
    if let Some(other) = &analysis.other {
        let proven = if other.is_proven() { "proven the best" } else { "not proven the best" };
        let name = if analysis.phased { "without phases" } else { "with phases" };
        lines.push((
            name,
            format!("{} ({:.0} % saved, {proven})", hours(other.makespan), other.saved_percent()),
        ));
    }
    if analysis.preparation > 0 {
        lines.push((
            "preparation",
            format!("{} before the clock starts", hours(analysis.preparation)),
        ));
    }
    if let Some(risk) = analysis.risk {
        lines.push((
            "spread",
            format!(
                "p50 {}, p80 {}, p95 {} ({} draws)",
                hours(risk.p50),
                hours(risk.p80),
                hours(risk.p95),
                risk.draws
            ),
        ));
    }
    let path: Vec<&str> =
        analysis.critical_path.iter().map(|at| analysis.plan.tasks[*at].id.as_str()).collect();
    lines.push((
        "critical path",
        format!("{} ({})", path.join(" → "), hours(analysis.times.length)),
    ));
    lines
}

/// What people call the plan.
fn title(analysis: &Analysis) -> &str {
    let title = analysis.plan.title.as_str();
    if title.is_empty() { "Plan" } else { title }
}

/// Whether the task of `slot` is on the longest chain of dependencies.
fn is_critical(analysis: &Analysis, slot: &Slot) -> bool {
    analysis.critical_path.contains(&slot.task)
}
