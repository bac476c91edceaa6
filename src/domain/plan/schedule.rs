//! Who does which task when.

use super::{Graph, Millis};

/// Who runs a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Worker {
    /// The agent with this number, counted from 1 over all pools.
    Agent(u32),
    /// The person with this number, counted from 1.
    Person(u32),
}

/// When a task runs, and who runs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// The place of the task in the plan.
    pub task: usize,
    /// When it starts.
    pub start: Millis,
    /// When it is done.
    pub finish: Millis,
    /// Who runs it.
    pub worker: Worker,
}

/// A time and a worker for each task.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Schedule {
    /// In the order of their starts.
    pub slots: Vec<Slot>,
    /// When the last task is done.
    pub makespan: Millis,
}

/// Why a task starts no earlier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// It depends on the other.
    Dependency,
    /// The other holds files that it needs.
    Files,
    /// Its worker is busy with the other.
    Worker,
    /// The other belongs to the phase before.
    Phase,
}

/// What a task waits for in a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wait {
    /// The task that ends when this one can start.
    pub on: usize,
    /// Why it must.
    pub cause: Cause,
}

impl Schedule {
    /// The slots in the order of their starts, and the end of the last.
    pub fn new(mut slots: Vec<Slot>) -> Self {
        slots.sort_by_key(|slot| (slot.start, slot.finish, slot.task));
        let makespan = slots.iter().map(|slot| slot.finish).max().unwrap_or(0);
        Self { slots, makespan }
    }

    /// What is wrong with the schedule: a dependency that is not kept, two tasks of one worker at
    /// once, or two of which `excludes` says that they must not be. For tests and for callers that
    /// trust no scheduler.
    pub fn breach(&self, graph: &Graph, excludes: impl Fn(usize, usize) -> bool) -> Option<String> {
        let mut slot_of = vec![None; graph.len()];
        for slot in &self.slots {
            slot_of[slot.task] = Some(slot);
        }
        for slot in &self.slots {
            for earlier in &graph.before[slot.task] {
                if slot_of[*earlier].is_some_and(|earlier| earlier.finish > slot.start) {
                    return Some(format!("{} starts before {earlier} is done", slot.task));
                }
            }
        }
        for (at, one) in self.slots.iter().enumerate() {
            let later = self.slots[at + 1..].iter().take_while(|other| other.start < one.finish);
            // A task of no duration takes nobody's time, and excludes nobody.
            for other in later.filter(|other| other.start.max(one.start) < other.finish) {
                if one.worker == other.worker {
                    return Some(format!("{} and {} have one worker", one.task, other.task));
                }
                if excludes(one.task, other.task) {
                    return Some(format!("{} and {} exclude each other", one.task, other.task));
                }
            }
        }
        None
    }
}
