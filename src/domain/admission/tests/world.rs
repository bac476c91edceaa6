//! A world in which tasks come, begin and end, as the store keeps it; with an eye on every rule.

use std::collections::{BTreeMap, BTreeSet};

use proptest::{prelude::*, sample::Index, test_runner::TestCaseError};

use super::*;

/// How long a task is passed over before what it needs is kept for it, in milliseconds.
pub(super) const PATIENCE: i64 = 1_000;

#[derive(Debug, Clone)]
pub(super) struct Job {
    pub(super) needs: Needs,
    pub(super) queue: QueueName,
    pub(super) priority: i16,
}

#[derive(Debug, Clone)]
pub(super) enum Step {
    Submit(Job),
    /// Agents ask, who could take so many tasks together; some of what they are given is gone already.
    Claim(usize, Index),
    End(Index),
    Pass(i64),
}

pub(super) struct World {
    rules: Rules,
    now: i64,
    next: u128,
    waiting: BTreeMap<u128, Job>,
    running: BTreeMap<u128, (Job, i64, AgentName)>,
    /// Every start there ever was.
    begun: Vec<(u128, Job, i64)>,
    passed: BTreeMap<u128, i64>,
    turns: Turns,
}

impl World {
    pub(super) fn new(rules: Rules) -> Self {
        Self {
            rules,
            now: 1_000_000,
            next: 1,
            waiting: BTreeMap::new(),
            running: BTreeMap::new(),
            begun: Vec::new(),
            passed: BTreeMap::new(),
            turns: Turns::default(),
        }
    }

    pub(super) fn now(&self) -> i64 {
        self.now
    }

    pub(super) fn step(&mut self, step: Step) {
        match step {
            Step::Submit(job) => _ = self.submit(job),
            Step::Claim(agents, cut) => {
                let choice = self.choose(agents);
                // The store may find that a task it was to begin is gone.
                let keep = cut.index(choice.take.len() + 1);
                self.begin(&choice, keep.max(choice.take.len().saturating_sub(1)));
            }
            Step::End(which) => {
                if !self.running.is_empty() {
                    let task = *self.running.keys().nth(which.index(self.running.len())).unwrap();
                    self.running.remove(&task);
                }
            }
            Step::Pass(ms) => self.now += ms,
        }
    }

    pub(super) fn submit(&mut self, job: Job) -> u128 {
        self.waiting.insert(self.next, job);
        self.next += 1;
        self.next - 1
    }

    pub(super) fn claim(&mut self, agents: usize) -> Choice {
        let choice = self.choose(agents);
        self.begin(&choice, choice.take.len());
        choice
    }

    pub(super) fn has_begun(&self, task: u128) -> bool {
        self.begun.iter().any(|(begun, ..)| *begun == task)
    }

    pub(super) fn end_older_than(&mut self, ms: i64) {
        self.running.retain(|_, (_, since, _)| self.now - *since < ms);
    }

    /// Calls off all but the oldest that wait, so that the world stays small.
    pub(super) fn forget_but(&mut self, task: u128, most: usize) {
        while self.waiting.len() > most {
            let youngest = *self.waiting.keys().rfind(|waits| **waits != task).unwrap();
            self.waiting.remove(&youngest);
        }
    }

    fn begin(&mut self, choice: &Choice, keep: usize) {
        for (task, agent) in choice.take.iter().take(keep) {
            let task = number(task);
            let job = self.waiting.remove(&task).expect("what is chosen waits");
            self.passed.remove(&task);
            self.begun.push((task, job.clone(), self.now));
            let running = (job, self.now, agent.clone());
            assert!(self.running.insert(task, running).is_none());
        }
        for task in &choice.passed {
            self.passed.entry(number(task)).or_insert(self.now);
        }
    }

    fn situation(&self) -> Situation {
        let at_host = |agent: &AgentName| AgentAt { host: host(), agent: agent.clone() };
        let held = self.running.iter().map(|(number, (job, since, agent))| Held {
            task: task(*number),
            queue: job.queue.clone(),
            agent: Some(at_host(agent)),
            needs: job.needs.clone(),
            since: at(*since),
        });
        let running = self.running.values().map(|(job, _, agent)| Running {
            queue: job.queue.clone(),
            agent: Some(at_host(agent)),
            tasks: 1,
        });
        let starts = self.begun.iter().flat_map(|(_, job, began)| {
            let fleet = fleet();
            let scopes = self.rules.scopes(Some(&fleet), &job.queue, job.needs.keys());
            let starts = scopes.map(|(scope, _)| Start { scope, at: at(*began), count: 1 });
            starts.collect::<Vec<_>>()
        });
        let aged = self.passed.iter().filter(|(_, since)| self.now - **since >= PATIENCE);
        let waiters = aged.filter_map(|(number, since)| {
            let job = self.waiting.get(number)?;
            Some(Waiter {
                task: task(*number),
                queue: job.queue.clone(),
                priority: job.priority,
                needs: job.needs.clone(),
                since: at(*since),
            })
        });
        Situation {
            now: at(self.now),
            rules: self.rules.clone(),
            held: held.collect(),
            running: running.collect(),
            starts: starts.collect(),
            waiters: waiters.collect(),
        }
    }

    fn choose(&mut self, agents: usize) -> Choice {
        let candidates: Vec<_> = self
            .waiting
            .iter()
            .map(|(number, job)| Candidate {
                task: task(*number),
                queue: job.queue.clone(),
                priority: job.priority,
                needs: job.needs.clone(),
            })
            .collect();
        let queues: Vec<QueueName> = (0..3).map(|n| format!("q{n}").parse().unwrap()).collect();
        let situation = self.situation();
        let fleet = fleet();
        // Three who could take several each, in turns.
        let agents: Vec<_> = agents_of(3).into_iter().cycle().take(agents).collect();
        let (queues, candidates) = (&queues, &candidates);
        let ask = Ask { host: host(), fleet: &fleet, queues, agents: &agents, candidates };
        choose(&situation, &ask, &mut self.turns)
    }

    /// Looks at everything that runs, and at every start there ever was. Written without the code
    /// that is tested, as far as that goes.
    pub(super) fn check(&self) -> Result<(), TestCaseError> {
        let running: Vec<_> = self.running.iter().collect();
        for (at, (one, (a, ..))) in running.iter().enumerate() {
            for (other, (b, ..)) in &running[at + 1..] {
                prop_assert!(!collide(&a.needs, &b.needs), "{one} {:?} and {other} {:?}", a, b);
            }
        }
        let mut counts: BTreeMap<Scope, (BTreeSet<&AgentName>, Limit)> = BTreeMap::new();
        let fleet = fleet();
        for (job, _, agent) in self.running.values() {
            for (scope, limit) in self.rules.scopes(Some(&fleet), &job.queue, job.needs.keys()) {
                counts.entry(scope).or_insert((BTreeSet::new(), limit)).0.insert(agent);
            }
        }
        for (scope, (agents, limit)) in &counts {
            let most = limit.concurrency.unwrap_or(u32::MAX);
            prop_assert!(agents.len() <= most as usize, "{agents:?} run under {scope}");
        }
        // A window that ends with the newest start is as full as any that is new.
        let mut windows: BTreeMap<Scope, (u32, Rate)> = BTreeMap::new();
        let newest = self.begun.last().map_or(0, |(.., began)| *began);
        for (_, job, began) in &self.begun {
            for (scope, limit) in self.rules.scopes(Some(&fleet), &job.queue, job.needs.keys()) {
                let Some(rate) = limit.rate else { continue };
                if *began > newest - i64::try_from(rate.per.as_millis()).unwrap() {
                    windows.entry(scope).or_insert((0, rate)).0 += 1;
                }
            }
        }
        for (scope, (count, rate)) in windows {
            prop_assert!(count <= rate.count, "{count} began under {scope}");
        }
        Ok(())
    }

    /// Ends what runs and lets time pass until nothing waits.
    pub(super) fn drain(&mut self) -> Result<(), TestCaseError> {
        for _ in 0..self.waiting.len() * 4 + 10 {
            if self.waiting.is_empty() {
                return Ok(());
            }
            self.running.clear();
            self.now += 500;
            let choice = self.claim(4);
            self.check()?;
            prop_assert!(!choice.take.is_empty() || self.waiting.is_empty(), "stuck");
        }
        prop_assert!(self.waiting.is_empty(), "{} wait for ever", self.waiting.len());
        Ok(())
    }
}

fn collide(a: &Needs, b: &Needs) -> bool {
    let locks = a.rows().any(|(kind, name)| {
        b.rows().any(|(other, same)| {
            let alone = NeedKind::Exclusive;
            let is_lock = |kind| matches!(kind, NeedKind::Exclusive | NeedKind::Shared);
            is_lock(kind) && is_lock(other) && (kind == alone || other == alone) && name == same
        })
    });
    let paths = a.paths().iter().any(|one| {
        b.paths().iter().any(|other| {
            (one.mode == Access::Write || other.mode == Access::Write)
                && one.glob.overlaps(&other.glob)
        })
    });
    locks || paths
}
