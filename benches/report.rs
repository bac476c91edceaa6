//! What every benchmark leaves behind: a table for people and `target/bench/NAME.json`.

use std::{fs, io, path::PathBuf};

use serde::Serialize;

/// Which way is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Better {
    /// Less is better.
    Lower,
    /// More is better.
    #[allow(dead_code, reason = "each benchmark includes this file, and not each counts upwards")]
    Higher,
}

/// One figure, beside what it is compared with.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Row {
    /// What was measured.
    pub(crate) what: String,
    /// The figure: the median of the runs.
    pub(crate) ours: f64,
    /// Its unit.
    pub(crate) unit: &'static str,
    /// Which way is better.
    pub(crate) better: Better,
    /// The bound that the figure must keep, where one is set.
    pub(crate) limit: Option<f64>,
    /// The best figure of anybody else, measured in the same run.
    pub(crate) best_peer: Option<f64>,
    /// Whose figure that is.
    pub(crate) best_peer_name: Option<String>,
    /// The bound that was derived from the peer, where one is set.
    pub(crate) bar: Option<f64>,
    /// Whether every bound is kept.
    pub(crate) holds: bool,
}

impl Row {
    /// A figure without bounds.
    pub(crate) fn new(
        what: impl Into<String>,
        ours: f64,
        unit: &'static str,
        better: Better,
    ) -> Self {
        Self {
            what: what.into(),
            ours: round(ours),
            unit,
            better,
            limit: None,
            best_peer: None,
            best_peer_name: None,
            bar: None,
            holds: true,
        }
    }
}

/// Three significant places are all that these machines can tell.
pub(crate) fn round(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    let scale = 10_f64.powf(2.0 - value.abs().log10().floor());
    (value * scale).round() / scale
}

/// Prints `rows` and writes them to `target/bench/NAME.json` of the project.
///
/// # Errors
///
/// If the file cannot be written.
pub(crate) fn publish(name: &str, rows: &[Row]) -> io::Result<()> {
    println!("\n{:<58} {:>12} {:<12} {:>12}  {:>7}", name, "ours", "", "floor", "ratio");
    for row in rows {
        let peer = row.best_peer.map_or_else(String::new, |peer| peer.to_string());
        // Of a peer who needs nothing at all there is no part.
        let ratio = row.best_peer.filter(|peer| *peer > 0.0);
        let ratio = ratio.map_or_else(String::new, |peer| format!("{:.2}", row.ours / peer));
        println!("{:<58} {:>12} {:<12} {:>12}  {:>7}", row.what, row.ours, row.unit, peer, ratio);
    }
    write(name, rows)
}

/// Writes `what` to `target/bench/NAME.json` of the project, and says so.
///
/// # Errors
///
/// If the file cannot be written.
pub(crate) fn write(name: &str, what: &(impl Serialize + ?Sized)) -> io::Result<()> {
    let path = directory().join(format!("{name}.json"));
    fs::create_dir_all(directory())?;
    let text = serde_json::to_string_pretty(what)?;
    fs::write(&path, text + "\n")?;
    println!("\n{}", path.display());
    Ok(())
}

/// Where the figures go, wherever cargo builds.
pub(crate) fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/bench")
}
