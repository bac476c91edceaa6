//! The judge: CP-SAT of OR-tools, by `judge.py`.

use std::{
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use hostler::plan::solve::Problem;
use serde_json::{Value, json};

/// What the judge found of one instance.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Verdict {
    /// The shortest schedule it found.
    pub(crate) best: u64,
    /// What it proved that none can beat: the same, unless its time was up.
    pub(crate) bound: u64,
}

/// The verdicts on `problems`, if there is a judge.
pub(crate) fn optima(problems: &[Problem]) -> Option<Vec<Option<Verdict>>> {
    let python = std::env::var("BENCH_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/plan/judge.py");
    let one = |problem: &Problem| {
        let demands = problem.modes.iter().map(|modes| {
            modes[0].iter().map(|it| json!([it.resource, it.units])).collect::<Vec<_>>()
        });
        json!({
            "duration": problem.duration,
            "before": problem.graph.before,
            "demand": demands.collect::<Vec<_>>(),
            "capacity": problem.capacity,
        })
    };
    let input: Vec<Value> = problems.iter().map(one).collect();
    let mut child = Command::new(python)
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let mut stdin = child.stdin.take()?;
    let text = serde_json::to_vec(&input).ok()?;
    let writer = std::thread::spawn(move || stdin.write_all(&text));
    let output = child.wait_with_output().ok()?;
    if writer.join().ok()?.is_err() || !output.status.success() {
        return None;
    }
    let verdicts: Vec<Value> = serde_json::from_slice(&output.stdout).ok()?;
    let read =
        |value: &Value| Some(Verdict { best: value[0].as_u64()?, bound: value[1].as_u64()? });
    Some(verdicts.iter().map(read).collect())
}
