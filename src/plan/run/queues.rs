//! Which queue a task of a plan goes to.

use super::compile::Compiler;
use crate::domain::{
    QueueName,
    plan::{Needs, PlanTask, Pool, Worker},
};

/// The word of a command that makes an agent a mock one.
const MOCK: &str = "mock-agent";

impl Compiler<'_> {
    /// The queue whose agents may take `task`; the schedule has a say where several could.
    pub(super) fn queue(&self, task: &PlanTask, of: Worker) -> Result<QueueName, String> {
        let queue = match (&self.asked.queue, &task.needs) {
            (Some(queue), _) | (None, Needs::Queue(queue)) => queue.clone(),
            (None, Needs::Fleet(fleet)) => self.queue_of_fleet(fleet.as_str())?,
            (None, Needs::Anyone | Needs::Capability(_)) => self.queue_of_pools(task, of)?,
        };
        if self.asked.hour_ms.is_some() {
            self.check_rehearsal(&queue)?;
        }
        Ok(queue)
    }

    /// The queue of a fleet that the fewest others serve.
    fn queue_of_fleet(&self, name: &str) -> Result<QueueName, String> {
        let fleet = self.crew.fleets.iter().find(|fleet| fleet.name.as_str() == name);
        let fleet = fleet.ok_or_else(|| {
            format!("is for fleet `{name}`, which this host has not; name a queue for all tasks")
        })?;
        let serving = |queue: &&QueueName| {
            self.crew.fleets.iter().filter(|fleet| fleet.queues.contains(queue)).count()
        };
        let queue = fleet.queues.iter().min_by_key(serving).cloned();
        queue.ok_or_else(|| format!("is for fleet `{name}`, which serves no queue"))
    }

    /// A queue that all pools serve that may take `task`, else one of the pool of the schedule.
    fn queue_of_pools(&self, task: &PlanTask, of: Worker) -> Result<QueueName, String> {
        let pools = &self.analysis.plan.pools;
        let met: Vec<&Pool> = pools.iter().filter(|pool| task.needs.met_by(pool)).collect();
        if met.is_empty() {
            return Ok(QueueName::default());
        }
        let queues = |pool: &Pool| match (pool.queues.as_slice(), &pool.fleet) {
            ([], Some(fleet)) => self.queue_of_fleet(fleet.as_str()).map(|queue| vec![queue]),
            ([], None) => Ok(vec![QueueName::default()]),
            (queues, _) => Ok(queues.to_vec()),
        };
        let of_all: Vec<Vec<QueueName>> =
            met.iter().map(|pool| queues(pool)).collect::<Result<_, String>>()?;
        let common = of_all[0].iter().find(|queue| of_all.iter().all(|it| it.contains(queue)));
        if let Some(queue) = common {
            return Ok(queue.clone());
        }
        let scheduled = pool_of(pools, of).filter(|pool| task.needs.met_by(pool));
        let first = queues(scheduled.unwrap_or(met[0]))?.into_iter().next();
        first.ok_or_else(|| "has no queue".to_owned())
    }

    /// A rehearsal costs nothing: only mock agents may take its tasks.
    fn check_rehearsal(&self, queue: &QueueName) -> Result<(), String> {
        let mut serving =
            self.crew.fleets.iter().filter(|fleet| fleet.queues.contains(queue)).peekable();
        if serving.peek().is_none() {
            return Err(format!("is for queue `{queue}`, which no fleet of this host serves"));
        }
        let real = serving.find(|fleet| !fleet.command.iter().any(|word| word == MOCK));
        match real {
            None => Ok(()),
            Some(fleet) => Err(format!(
                "would be done by fleet `{}`, which is no mock agent: a rehearsal needs a queue that \
                 only `hostler mock-agent` serves",
                fleet.name
            )),
        }
    }
}

/// The pool of an agent: they are counted over all pools.
fn pool_of(pools: &[Pool], worker: Worker) -> Option<&Pool> {
    let Worker::Agent(number) = worker else { return None };
    let mut last = 0;
    pools.iter().find(|pool| {
        last += pool.count;
        number <= last
    })
}
