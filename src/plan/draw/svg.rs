//! The schedule as an SVG picture: one lane for each worker, no script, no font of its own.

use std::collections::BTreeMap;

use super::is_critical;
use crate::{
    domain::{Millis, plan::Worker},
    plan::{
        analyze::Analysis,
        words::{hours, worker},
    },
};

/// The width of the time axis, in pixels.
const WIDTH: u64 = 960;

/// The width of the names of the lanes, in pixels.
const LEFT: u64 = 90;

/// The height of a lane, in pixels.
const LANE: u64 = 34;

/// The width of one character of a label, in pixels, about.
const CHARACTER: u64 = 7;

/// The schedule as an SVG document.
pub fn svg(analysis: &Analysis) -> String {
    let makespan = analysis.schedule.makespan.max(1);
    let x = |time: Millis| LEFT + time * WIDTH / makespan;
    let mut lanes: BTreeMap<Worker, u64> = BTreeMap::new();
    for slot in &analysis.schedule.slots {
        lanes.entry(slot.worker).or_insert(0);
    }
    for (number, lane) in lanes.values_mut().enumerate() {
        *lane = 40 + LANE * number as u64;
    }
    let height = 70 + LANE * lanes.len() as u64;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {height}\" font-family=\"sans-serif\" font-size=\"12\">\n<title>{title}</title>\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n<text x=\"10\" y=\"22\" font-size=\"15\">{title}: {}, {} agents</text>\n",
        LEFT + WIDTH + 20,
        hours(analysis.schedule.makespan),
        analysis.agents,
        title = escaped(super::title(analysis)),
    );
    for (who, y) in &lanes {
        text.push_str(&format!("<text x=\"10\" y=\"{}\">{}</text>\n", y + 20, worker(*who)));
    }
    for slot in &analysis.schedule.slots {
        let task = &analysis.plan.tasks[slot.task];
        let (from, to) = (x(slot.start), x(slot.finish));
        let width = (to - from).max(2);
        let y = lanes.get(&slot.worker).copied().unwrap_or(40);
        let fill = if is_critical(analysis, slot) { "#e4572e" } else { "#4c78a8" };
        let label: String =
            task.title.chars().take(usize::try_from(width / CHARACTER).unwrap_or(0)).collect();
        text.push_str(&format!(
            "<g><title>{}: {} to {}</title><rect x=\"{from}\" y=\"{y}\" width=\"{width}\" height=\"{}\" rx=\"3\" fill=\"{fill}\" stroke=\"#fff\"/><text x=\"{}\" y=\"{}\" fill=\"#fff\">{}</text></g>\n",
            escaped(&task.title),
            hours(slot.start),
            hours(slot.finish),
            LANE - 6,
            from + 4,
            y + 19,
            escaped(&label),
        ));
    }
    let foot = height - 12;
    text.push_str(&format!(
        "<text x=\"{LEFT}\" y=\"{foot}\">0</text><text x=\"{}\" y=\"{foot}\" text-anchor=\"end\">{}</text>\n</svg>\n",
        LEFT + WIDTH,
        hours(analysis.schedule.makespan)
    ));
    text
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}
