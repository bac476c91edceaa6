//! The schedule as bars of characters.

use super::is_critical;
use crate::{
    domain::Millis,
    plan::{
        analyze::Analysis,
        words::{hours, worker},
    },
};

/// The most bars; beyond, the rest is counted.
const MAX_BARS: usize = 60;

/// The longest name of a task in front of its bar, in characters.
const MAX_NAME: usize = 28;

/// The schedule as one bar a line, at most `width` characters wide; full bars are the critical
/// path.
pub fn gantt(analysis: &Analysis, width: usize) -> String {
    let slots = &analysis.schedule.slots;
    let name = |at: usize| short(analysis.plan.tasks[at].id.as_str());
    let shown = &slots[..slots.len().min(MAX_BARS)];
    let names = shown.iter().map(|slot| name(slot.task).chars().count()).max().unwrap_or(0);
    let people = shown.iter().map(|slot| worker(slot.worker).len()).max().unwrap_or(0);
    let columns = width.saturating_sub(names + people + 20).clamp(10, 80);
    let makespan = analysis.schedule.makespan.max(1);
    let column = |time: Millis| {
        let exact = u128::from(time) * columns as u128 / u128::from(makespan);
        usize::try_from(exact).unwrap_or(columns).min(columns)
    };
    let mut text = String::new();
    for slot in shown {
        let from = column(slot.start);
        let to = column(slot.finish).max(from + 1).min(columns.max(from + 1));
        let fill = if is_critical(analysis, slot) { "█" } else { "▒" };
        let bar = format!("{}{}", " ".repeat(from), fill.repeat(to - from));
        text.push_str(&format!(
            "{:<names$}  {:<people$}  {bar:<columns$}  {}\n",
            name(slot.task),
            worker(slot.worker),
            hours(slot.finish - slot.start),
        ));
    }
    if slots.len() > MAX_BARS {
        text.push_str(&format!("and {} tasks more; --json has them all\n", slots.len() - MAX_BARS));
    }
    let end = hours(analysis.schedule.makespan);
    let gap = names + people + 4;
    text.push_str(&format!("{:gap$}0{end:>width$}\n", "", width = columns.saturating_sub(1)));
    text
}

fn short(name: &str) -> String {
    if name.chars().count() <= MAX_NAME {
        return name.to_owned();
    }
    name.chars().take(MAX_NAME - 1).chain(['…']).collect()
}
