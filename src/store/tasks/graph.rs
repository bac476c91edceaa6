//! New tasks that depend on others, and what is told of them.

use std::{borrow::Cow, collections::HashMap};

use deadpool_postgres::GenericClient;

use crate::{
    domain::{
        QueueName, TaskId,
        graph::{Dependency, DependencyPolicy, in_order},
        plan::Graph,
        record::{GraphEdge, GraphExtent, GraphNode, GraphRecord, Submitted},
        task::{NewTask, TaskState},
    },
    store::{
        StoreError, log,
        statement::{Sql, sql},
    },
};

const BY_KEY: Sql = sql!("tasks/by_key");
const PENDING_QUEUES: Sql = sql!("tasks/pending_queues");
const INSERT_DEPENDENTS: Sql = sql!("dependents/insert");
const INSERT_DEPENDENCIES: Sql = sql!("dependencies/insert");
const WIRE: Sql = sql!("dependents/wire");
const RELEASE: Sql = sql!("dependents/release");
const WOKEN_QUEUES: Sql = sql!("dependents/pending_queues");
const REACH: Sql = sql!("dependencies/reach");
const NEAR: Sql = sql!("dependencies/near");
const AMONG: Sql = sql!("dependencies/among");
const NODES: Sql = sql!("dependents/nodes");

/// The most rows in one statement.
const SLICE: usize = 20_000;

/// What a batch of tasks is to be, before it is inserted. Places are those among the tasks that are
/// sent, of which each key has one.
pub(super) struct Batch {
    /// The ids, each larger than those of what the task depends on.
    ids: Vec<TaskId>,
    nodes: Vec<Node>,
}

/// What one task depends on.
struct Node {
    /// The place of the task in the batch of the caller.
    position: usize,
    policy: DependencyPolicy,
    template: bool,
    edges: Vec<Edge>,
}

struct Edge {
    on: On,
    name: String,
    used: bool,
}

#[derive(Clone, Copy)]
enum On {
    /// A task of the batch, by its place.
    Here(usize),
    /// A task that should be there.
    There(TaskId),
}

impl Batch {
    /// Makes a batch; looks up which keys are taken, because their tasks are older.
    pub(super) async fn new(
        db: &impl GenericClient,
        tasks: &[NewTask],
        places: &[usize],
        sent: &[&NewTask],
    ) -> Result<Self, StoreError> {
        let here: HashMap<TaskId, usize> =
            tasks.iter().zip(places).map(|(task, place)| (task.id, *place)).collect();
        let mut positions = vec![usize::MAX; sent.len()];
        for (position, place) in places.iter().enumerate().rev() {
            positions[*place] = position;
        }
        let nodes: Vec<Node> = sent
            .iter()
            .zip(positions)
            .map(|(task, position)| Node::new(task, position, &here))
            .collect();
        let before = |node: &Node| node.edges.iter().filter_map(|edge| edge.on.here()).collect();
        let graph = Graph::from_before(nodes.iter().map(before).collect());
        let after = taken(db, sent)
            .await?
            .into_iter()
            .chain(nodes.iter().flat_map(|node| &node.edges).filter_map(|edge| edge.on.there()));
        let ids: Vec<_> = sent.iter().map(|task| task.id).collect();
        let ids = in_order(&ids, &graph, after.max()).ok_or_else(|| {
            // Only keys can make a circle of what was none: two tasks with one key are one.
            let position = graph.circle().map_or(0, |circle| nodes[circle[0]].position);
            let problem = "makes a circle, because two tasks have the same idempotency key";
            StoreError::Unstorable { position, field: "depends_on", problem }
        })?;
        Ok(Self { ids, nodes })
    }

    /// The tasks under the ids that they are to have.
    pub(super) fn renamed<'a>(&self, sent: &[&'a NewTask]) -> Vec<Cow<'a, NewTask>> {
        let renamed = |(task, id): (&&'a NewTask, &TaskId)| {
            if task.id == *id {
                Cow::Borrowed(*task)
            } else {
                Cow::Owned(NewTask { id: *id, ..(*task).clone() })
            }
        };
        sent.iter().zip(&self.ids).map(renamed).collect()
    }

    /// Writes down what the new tasks depend on, and counts what of that has ended already. `made`
    /// is what the insert answered, and is brought up to date.
    ///
    /// # Errors
    ///
    /// [`StoreError::UnknownDependency`]; [`StoreError::Overtaken`] where a key was taken meanwhile
    /// by a task with a larger id.
    pub(super) async fn connect(
        &self,
        db: &impl GenericClient,
        made: &mut [Submitted],
    ) -> Result<(), StoreError> {
        let waits = |at: &usize| made[*at].created && !self.nodes[*at].edges.is_empty();
        let new: Vec<usize> = (0..made.len()).filter(waits).collect();
        let mut rows = Vec::new();
        for at in &new {
            for (place, edge) in self.nodes[*at].edges.iter().enumerate() {
                let on = match edge.on {
                    On::Here(place) => made[place].id,
                    On::There(task) => task,
                };
                if on >= made[*at].id {
                    return Err(StoreError::Overtaken);
                }
                rows.push(Row { task: made[*at].id, place, on, edge });
            }
        }
        insert_dependents(db, self, made, &new).await?;
        insert_dependencies(db, &rows).await?;
        // Those that wait only for what is new too have been counted right: nobody sees them yet.
        let is_old = |edge: &Edge| edge.on.here().is_none_or(|place| !made[place].created);
        let old: Vec<usize> =
            new.into_iter().filter(|at| self.nodes[*at].edges.iter().any(is_old)).collect();
        if old.is_empty() {
            return Ok(());
        }
        // As late as can be: no plain task of their lanes is claimed before this commits.
        let there = old.iter().flat_map(|at| &self.nodes[*at].edges).filter_map(|e| e.on.there());
        let there: Vec<_> = there.map(|task| (task, None)).collect();
        if !there.is_empty() {
            log::track(db, &there).await?;
        }
        wire(db, self, made, &old).await
    }
}

impl Node {
    fn new(task: &NewTask, position: usize, here: &HashMap<TaskId, usize>) -> Self {
        let node = &task.terms.graph;
        let edge = |one: &Dependency| Edge {
            on: here.get(&one.task).map_or(On::There(one.task), |place| On::Here(*place)),
            name: one.name.clone(),
            used: one.used,
        };
        Self {
            position,
            policy: node.policy,
            template: node.template,
            edges: node.depends_on.iter().map(edge).collect(),
        }
    }
}

impl On {
    const fn here(self) -> Option<usize> {
        match self {
            Self::Here(place) => Some(place),
            Self::There(_) => None,
        }
    }

    const fn there(self) -> Option<TaskId> {
        match self {
            Self::Here(_) => None,
            Self::There(task) => Some(task),
        }
    }
}

/// The tasks that have a key of these already, of either kind.
async fn taken(db: &impl GenericClient, sent: &[&NewTask]) -> Result<Vec<TaskId>, StoreError> {
    let keys: Vec<_> = sent.iter().filter_map(|task| task.idempotency_key.as_deref()).collect();
    let unique = || sent.iter().filter_map(|task| Some((task, task.terms.unique.as_ref()?)));
    let queues: Vec<_> = unique().map(|(task, _)| &task.queue).collect();
    let uniques: Vec<_> = unique().map(|(_, unique)| &*unique.key).collect();
    if keys.is_empty() && queues.is_empty() {
        return Ok(Vec::new());
    }
    let rows = BY_KEY.query(db, &[&keys, &queues, &uniques]).await?;
    rows.iter().map(|row| BY_KEY.fields(row).get("id")).collect()
}

/// One row of `dependencies`.
struct Row<'a> {
    task: TaskId,
    place: usize,
    on: TaskId,
    edge: &'a Edge,
}

async fn insert_dependents(
    db: &impl GenericClient,
    batch: &Batch,
    made: &[Submitted],
    new: &[usize],
) -> Result<(), StoreError> {
    for slice in new.chunks(SLICE) {
        let nodes = || slice.iter().map(|at| &batch.nodes[*at]);
        let ids: Vec<_> = slice.iter().map(|at| made[*at].id).collect();
        let policies: Vec<_> = nodes().map(|node| node.policy).collect();
        let open: Vec<_> = nodes().map(|node| count(node.edges.len())).collect();
        let templates: Vec<_> = nodes().map(|node| node.template).collect();
        INSERT_DEPENDENTS.query(db, &[&ids, &policies, &open, &templates]).await?;
    }
    Ok(())
}

async fn insert_dependencies(db: &impl GenericClient, rows: &[Row<'_>]) -> Result<(), StoreError> {
    for slice in rows.chunks(SLICE) {
        let tasks: Vec<_> = slice.iter().map(|row| row.task).collect();
        let places: Vec<_> = slice.iter().map(|row| count(row.place)).collect();
        let on: Vec<_> = slice.iter().map(|row| row.on).collect();
        let names: Vec<_> = slice.iter().map(|row| &*row.edge.name).collect();
        let used: Vec<_> = slice.iter().map(|row| row.edge.used).collect();
        INSERT_DEPENDENCIES.query(db, &[&tasks, &places, &on, &names, &used]).await?;
    }
    Ok(())
}

fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

async fn wire(
    db: &impl GenericClient,
    batch: &Batch,
    made: &mut [Submitted],
    old: &[usize],
) -> Result<(), StoreError> {
    let ids: Vec<_> = old.iter().map(|at| made[*at].id).collect();
    let places: HashMap<TaskId, usize> =
        made.iter().enumerate().map(|(at, one)| (one.id, at)).collect();
    for row in WIRE.query(db, &[&ids]).await? {
        let fields = WIRE.fields(&row);
        let Some(at) = places.get(&fields.get("task_id")?).copied() else { continue };
        if let Some(task) = fields.get::<Option<TaskId>>("missing")? {
            let node = &batch.nodes[at];
            let nth = node.edges.iter().position(|edge| edge.on.there() == Some(task));
            let (position, nth) = (node.position, nth.unwrap_or_default());
            return Err(StoreError::UnknownDependency { position, nth, task });
        }
        made[at].state = fields.get("state")?;
    }
    Ok(())
}

/// What came of letting a blocked task go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReleaseAnswer {
    /// It goes on without what ended badly; it may still wait for others.
    Released {
        /// Where it is now.
        state: TaskState,
        /// Its queue.
        queue: QueueName,
    },
    /// It waits for this many tasks, of which none has ended badly.
    Waits(u32),
    /// It is not blocked, and stays as it is.
    Refused(TaskState),
    /// There is no such task.
    Unknown,
}

/// Lets a blocked task go on without the dependencies that ended badly.
pub async fn release(db: &impl GenericClient, task: TaskId) -> Result<ReleaseAnswer, StoreError> {
    let Some(row) = RELEASE.query_opt(db, &[&task]).await? else {
        return Ok(ReleaseAnswer::Unknown);
    };
    let fields = RELEASE.fields(&row);
    let (was, state) = (fields.get("was")?, fields.get("state")?);
    Ok(if was != TaskState::Blocked {
        ReleaseAnswer::Refused(was)
    } else if state == was && fields.count::<u32>("waived")? == 0 {
        ReleaseAnswer::Waits(fields.count("open")?)
    } else {
        ReleaseAnswer::Released { state, queue: fields.get("queue")? }
    })
}

/// The queues of pending tasks that depend on one of these: those that may have got work by its end.
pub async fn woken_queues(
    db: &impl GenericClient,
    ended: &[TaskId],
) -> Result<Vec<QueueName>, StoreError> {
    let rows = WOKEN_QUEUES.query(db, &[&ended]).await?;
    rows.iter().map(|row| WOKEN_QUEUES.fields(row).get("queue")).collect()
}

/// The queues of those of these tasks that are pending. Whoever locked such a task for a moment, as a
/// submit does with what its tasks depend on, may have hidden it from a claim.
pub async fn pending_queues(
    db: &impl GenericClient,
    tasks: &[TaskId],
) -> Result<Vec<QueueName>, StoreError> {
    let rows = PENDING_QUEUES.query(db, &[&tasks]).await?;
    rows.iter().map(|row| PENDING_QUEUES.fields(row).get("queue")).collect()
}

/// The graph that a task is part of; none if there is no such task.
pub async fn graph(
    db: &impl GenericClient,
    task: TaskId,
    extent: GraphExtent,
) -> Result<Option<GraphRecord>, StoreError> {
    // One more is asked for, to know whether there are more.
    let (statement, most) = match extent {
        GraphExtent::Near(most) => (&NEAR, most),
        GraphExtent::All(most) => (&REACH, most),
    };
    let rows = statement.query(db, &[&task, &(i64::from(most) + 1)]).await?;
    let found = rows.iter().map(|row| statement.fields(row).get("id"));
    let mut ids = found.collect::<Result<Vec<TaskId>, _>>()?;
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let truncated = match extent {
        GraphExtent::All(_) => {
            let more = ids.len() > most;
            ids.truncate(most);
            more
        }
        GraphExtent::Near(_) => {
            let side = |older: bool| ids.iter().filter(|id| (**id < task) == older).count();
            // The task itself is on the side of those that are not older.
            side(true) > most || side(false) > most + 1
        }
    };
    ids.sort_unstable();
    let nodes = nodes(db, &ids).await?;
    if nodes.iter().all(|node| node.id != task) {
        return Ok(None);
    }
    let edges = edges(db, &ids).await?;
    Ok(Some(GraphRecord { task, nodes, edges, truncated }))
}

async fn nodes(db: &impl GenericClient, ids: &[TaskId]) -> Result<Vec<GraphNode>, StoreError> {
    let rows = NODES.query(db, &[&ids]).await?;
    rows.iter()
        .map(|row| {
            let fields = NODES.fields(row);
            Ok(GraphNode {
                id: fields.get("id")?,
                queue: fields.get("queue")?,
                kind: fields.get("kind")?,
                state: fields.get("state")?,
                on_dependency_failure: fields.get("policy")?,
                open: fields.count_opt("open")?,
                stopped_by: fields.get("stopped_by")?,
            })
        })
        .collect()
}

async fn edges(db: &impl GenericClient, ids: &[TaskId]) -> Result<Vec<GraphEdge>, StoreError> {
    let rows = AMONG.query(db, &[&ids]).await?;
    rows.iter()
        .map(|row| {
            let fields = AMONG.fields(row);
            Ok(GraphEdge {
                from: fields.get("depends_on")?,
                to: fields.get("task_id")?,
                name: fields.get("name")?,
                waived: fields.get("waived")?,
            })
        })
        .collect()
}
