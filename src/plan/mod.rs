//! Plans: reading them, judging them, scheduling them, drawing them.
//!
//! | module | does |
//! | --- | --- |
//! | [`read`] | TOML, YAML and JSON into a [`Plan`](crate::domain::plan::Plan), every problem with its line |
//! | `write` | a plan into TOML |
//! | [`import`] | Markdown, written as people write such plans, into a plan and a list of doubts |
//! | [`analyze`] | a plan into an [`Analysis`](analyze::Analysis) |
//! | [`live`] | a plan for the fleets that a host has now |
//! | [`solve`] | the scheduler |
//! | [`run`] | what is submitted of a plan that is carried out, and how what is left goes on |
//! | [`report`] | an analysis into JSON |
//! | [`draw`] | an analysis into tables, Markdown, Mermaid and SVG |
//!
//! All of it is pure but for reading files. `docs/PLANS.md` is this for people.

pub mod analyze;
pub mod draw;
pub mod import;
pub mod live;
pub mod read;
pub mod report;
pub mod run;
pub mod solve;
pub mod words;
pub mod write;
