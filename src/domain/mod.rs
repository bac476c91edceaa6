//! Words and decisions. Everything here is pure: no clock, no chance, no process, no database.
//!
//! The words of the product, each defined once:
//!
//! | word | meaning |
//! | --- | --- |
//! | host | one running `hostler up`, renewed by its heartbeat, with a new id at each start |
//! | fleet | agents of one kind, from the config file |
//! | agent | one supervised slot of a fleet; at most one live process at a time |
//! | generation | counts the processes of an agent |
//! | task | a unit of work in a queue |
//! | attempt | one execution of a task, numbered; the number is the fencing token |
//! | lease | the right of one host to run one attempt; ends with the attempt or with the host's heartbeat |
//! | queue | a named stream of tasks; fleets say which queues they serve |
//! | group | a name under which tasks are counted together |
//! | batch | tasks that end together, and then call back |
//! | dead letter | a failed task, with why it failed and what was done about it |
//! | lock, key, limit | what a task needs for itself while it runs, and how many may run: see [`admission`] |
//! | dependency | a task that another waits for: see [`graph`] |
//! | log | where plain tasks are: appended once, claimed as ranges of a lane; see [`Entry`] |
//! | plan | a graph of tasks with durations, dependencies and files: see [`plan`] |
//! | schedule | what submits a task at each of its times: see [`schedule`] |
//! | key, scope | who may call, and what for: see [`access`] |
//! | session | what people and assistants write down about a piece of work: see [`session`] |
//! | event | an append-only fact about a task, numbered without a gap |
//!
//! What an actor decides stands here as a function of `(state, event, now)`; the actor carries the
//! effects out. `docs/LIFECYCLES.md` has the drawings; the tables in the tests are the authority.

pub mod access;
pub mod admission;
pub mod adoption;
pub mod agent;
pub mod audit;
pub mod autoscale;
pub mod batch;
pub mod bulk;
pub mod cron;
pub mod delivery;
pub mod dispatch;
mod entry;
pub mod event;
pub mod feed;
pub mod fleet;
pub mod floors;
pub mod glob;
pub mod graph;
pub mod health;
pub mod heartbeat;
pub mod history;
mod ids;
pub mod leadership;
pub mod lease;
pub mod order;
pub mod outbound;
pub mod plan;
pub mod record;
pub mod restart;
pub mod retry;
pub mod rollout;
pub mod rounds;
pub mod schedule;
pub mod secret;
pub mod session;
pub mod snooze;
pub mod storm;
pub mod task;
pub mod template;
mod text_schema;
pub mod unique;
pub mod upgrade;
pub mod webhook;
pub mod workspace;

pub use entry::{ClaimId, Entry, Lane};
pub use ids::{
    AgentName, Attempt, BatchId, Capability, EndpointName, FleetName, Generation, GroupName,
    HostId, MAX_NAME, ParseIdError, ParseNameError, PhaseName, PlanRunId, PlanTaskId, QueueName,
    ScheduleName, TaskId,
};

/// Milliseconds on a monotonic clock that begins when the host does. Actors read it from tokio's
/// clock; pure code only ever gets it as an argument.
pub type Millis = u64;

#[cfg(test)]
mod clock_tests;
