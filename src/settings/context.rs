//! What the readers of all sections share.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use config::{Map, Value};

use super::{
    layers::{Merged, Spot},
    problem::{Origin, Problem},
    sources::Sources,
};

/// What all sections share: where values are written, and what was found wrong.
pub(super) struct Context<'a> {
    /// The sources that are read.
    pub(super) sources: &'a Sources,
    /// Where values are written.
    pub(super) spots: Vec<Spot>,
    /// Where tables of the user begin.
    pub(super) tables: BTreeMap<String, usize>,
    /// What was found wrong.
    pub(super) problems: RefCell<Vec<Problem>>,
    /// Where each field came from.
    pub(super) provenance: RefCell<BTreeMap<String, Origin>>,
}

impl<'a> Context<'a> {
    /// Takes over what merging found; the tree itself is given back.
    pub(super) fn new(sources: &'a Sources, merged: Merged) -> (Self, Map<String, Value>) {
        let context = Self {
            sources,
            spots: merged.spots,
            tables: merged.tables,
            problems: RefCell::new(merged.problems),
            provenance: RefCell::default(),
        };
        (context, merged.root)
    }

    /// Everything found wrong, in the order of sources and lines; and where each field came from.
    pub(super) fn into_findings(self) -> (Vec<Problem>, BTreeMap<String, Origin>) {
        let files = &self.sources.files;
        let rank = |origin: &Origin| match origin {
            Origin::BuiltIn => 0,
            Origin::File { path, .. } => {
                1 + files.iter().position(|file| file == path).unwrap_or(0)
            }
            Origin::Env(_) => files.len() + 1,
            Origin::Flag(_) => files.len() + 2,
        };
        let mut problems = self.problems.into_inner();
        problems.sort_by_cached_key(|problem| (rank(&problem.origin), problem.clone()));
        (problems, self.provenance.into_inner())
    }

    /// The directory that relative paths written at `origin` begin at.
    pub(super) fn base(&self, origin: &Origin) -> PathBuf {
        let cwd = &self.sources.machine.cwd;
        match origin {
            Origin::File { path, .. } => cwd.join(path.parent().unwrap_or(Path::new(""))),
            _ => cwd.clone(),
        }
    }
}
