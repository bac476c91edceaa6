//! Drawings hold the schedule and nothing that breaks their format.

use std::{path::Path, time::Duration};

use super::*;
use crate::plan::{
    analyze::{Options, analyze},
    read::{Format, parse},
    solve::Budget,
};

fn analysis() -> Analysis {
    let text = "version: 1\ntitle: 'A <b> | \"c\": d'\ntasks:\n  - {id: a, title: '<script>|`x`', duration: 2h, files: 'x/**'}\n  - {id: b, duration: 1h, depends_on: a}\n  - {id: c, duration: 1h, files: x/y}\n";
    let plan = parse(text, Format::Yaml, Path::new("p")).unwrap();
    let budget =
        Budget { schedules: 100, nodes: 1_000, time: Duration::MAX, elapsed: &|| Duration::ZERO };
    let options =
        Options { agents: Some(2), phased: false, split: false, seed: 1, draws: 10, budget };
    analyze(&plan, &options)
}

#[test]
fn bars_show_who_does_what_when() {
    let drawn = gantt(&analysis(), 60);
    let lines: Vec<&str> = drawn.lines().collect();
    assert_eq!(lines.len(), 4, "{drawn}");
    assert!(lines[0].starts_with("a  agent 1  ████"), "{drawn}");
    assert!(drawn.contains("c  agent "), "{drawn}");
}

#[test]
fn markup_of_a_plan_stays_text() {
    let analysis = analysis();
    let (svg, page) = (svg(&analysis), markdown(&analysis));
    assert!(!svg.contains("<script") && svg.contains("&lt;script&gt;"), "{svg}");
    assert!(svg.trim_end().ends_with("</svg>") && svg.matches("<g>").count() == 3);
    assert!(!page.contains("<script") && page.contains("\\|"), "{page}");
    assert!(page.contains("| a, c | `x/** / x/y` |"), "{page}");
}

#[test]
fn mermaid_has_a_section_for_each_worker() {
    let chart = mermaid(&analysis());
    assert!(chart.starts_with("gantt\n"), "{chart}");
    assert!(chart.contains("section agent 1") && chart.contains("section agent 2"), "{chart}");
    assert!(chart.contains("crit, a, 2000-01-01 00:00:00, 7200s"), "{chart}");
}

#[test]
fn a_plan_without_a_title_is_called_a_plan() {
    let mut analysis = analysis();
    analysis.plan.title.clear();
    assert!(markdown(&analysis).starts_with("# Plan\n"));
    assert!(mermaid(&analysis).starts_with("gantt\n    title Plan\n"));
    assert!(svg(&analysis).contains("<title>Plan</title>"));
}
