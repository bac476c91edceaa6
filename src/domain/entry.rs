//! Where a plain task stands in the log.

use uuid::Uuid;

/// A stream of plain tasks: those of one queue from one data directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lane(pub i32);

/// A range of a lane that one host runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClaimId(pub Uuid);

/// The place of a plain task, and the claim that it is run under. Its key there is the fence: of two
/// ends of one place, the first counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Entry {
    /// The stream.
    pub lane: Lane,
    /// Its number there, 1 for the first.
    pub number: i64,
    /// What it is run under.
    pub claim: ClaimId,
}
