//! The schedule as a Mermaid Gantt chart, one section for each worker.

use std::collections::BTreeMap;

use super::{is_critical, title};
use crate::plan::{analyze::Analysis, words::worker};

/// What stands for the start of the plan: Mermaid knows dates only.
const DAY: &str = "2000-01-01 00:00:00";

/// The schedule as a Mermaid `gantt` block.
pub fn mermaid(analysis: &Analysis) -> String {
    let mut text = format!(
        "gantt\n    title {}\n    dateFormat YYYY-MM-DD HH:mm:ss\n    axisFormat %H:%M\n",
        plain(title(analysis))
    );
    let mut sections: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for slot in &analysis.schedule.slots {
        sections.entry(slot.worker).or_default().push(slot);
    }
    let start = jiff::civil::date(2000, 1, 1).at(0, 0, 0, 0);
    for (who, slots) in sections {
        text.push_str(&format!("    section {}\n", worker(who)));
        for slot in slots {
            let task = &analysis.plan.tasks[slot.task];
            let seconds = i64::try_from(slot.start / 1_000).unwrap_or(0);
            let at = start.checked_add(jiff::SignedDuration::from_secs(seconds));
            let at = at
                .map_or_else(|_| DAY.to_owned(), |at| at.strftime("%Y-%m-%d %H:%M:%S").to_string());
            let mark = if is_critical(analysis, slot) { "crit, " } else { "" };
            let length = (slot.finish - slot.start).div_ceil(1_000);
            text.push_str(&format!(
                "    {} :{mark}{}, {at}, {length}s\n",
                plain(&task.title),
                task.id
            ));
        }
    }
    text
}

/// Text without what Mermaid would read as more than text.
fn plain(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() || matches!(c, ':' | ';' | '#' | ',') { ' ' } else { c })
        .collect()
}
