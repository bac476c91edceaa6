//! The tools, as a client is told of them, and the scope that a key needs for each.

mod sessions;

use crate::domain::access::Scope;

/// One tool.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tool {
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    pub(super) what: &'static str,
    /// The properties of its arguments, as JSON.
    pub(super) arguments: &'static str,
    pub(super) required: &'static [&'static str],
    /// What a key must be allowed to do; about what, its handler looks.
    pub(super) scope: Scope,
    /// Whether it changes nothing.
    pub(super) reads: bool,
    /// Whether it may be a task of MCP.
    pub(super) long: bool,
    /// The command of the contract that it is, where it is one on a session.
    pub(super) word: Option<&'static str>,
}

impl Tool {
    /// A tool without arguments.
    const fn new(
        name: &'static str,
        scope: Scope,
        title: &'static str,
        what: &'static str,
    ) -> Self {
        let reads = matches!(scope, Scope::Read);
        Self {
            name,
            title,
            what,
            arguments: "{}",
            required: &[],
            scope,
            reads,
            long: false,
            word: None,
        }
    }

    /// With these arguments, some of which must be there.
    const fn takes(self, arguments: &'static str, required: &'static [&'static str]) -> Self {
        Self { arguments, required, ..self }
    }

    /// It may be a task of MCP.
    const fn is_long(self) -> Self {
        Self { long: true, ..self }
    }

    /// It is this command of the contract.
    const fn is(self, word: &'static str) -> Self {
        Self { word: Some(word), ..self }
    }
}

const TASK: &str = r#"{"task": {"type": "string", "description": "The id, tsk_…"}}"#;
const RUN: &str = r#"{"run": {"type": "string", "description": "The id of the run"}}"#;
const PLAN: &str = r#"{
    "plan": {"description": "The plan: an object with version 1 and tasks (id, title, duration, depends_on), or the text of a plan file", "type": ["object", "string"]},
    "format": {"type": "string", "enum": ["toml", "yaml", "json"], "description": "Of a text; toml where absent"},
    "agents": {"type": "integer", "minimum": 1, "description": "How many agents at most"},
    "queue": {"type": "string"}, "phased": {"type": "boolean"}, "split": {"type": "boolean"},
    "speed": {"type": "string", "description": "A rehearsal, such as 1h=1s"},
    "from_history": {"type": "boolean", "description": "Take the durations of earlier runs where there were any"},
    "git": {"type": "string", "description": "A repository, by its absolute path: each agent's task gets a worktree of it"},
    "base": {"type": "string", "description": "What the work in `git` begins at; main where absent"},
    "dir": {"type": "string", "description": "The absolute path that relative ones in the plan begin at"},
    "idempotency_key": {"type": "string", "description": "A second run with it is the same run"}
}"#;

/// Every tool.
pub(super) fn all() -> impl Iterator<Item = &'static Tool> {
    sessions::TOOLS.iter().chain(HOST)
}

/// The tool of this name.
pub(super) fn find(name: &str) -> Option<&'static Tool> {
    all().find(|tool| tool.name == name)
}

/// The tools for tasks, fleets and plans.
const HOST: &[Tool] = &[
    Tool::new(
        "delegate_task",
        Scope::Submit,
        "Delegate a task",
        "Gives a task to the agents of a queue. Returns its id at once, or its result if `wait` seconds \
         are enough. It goes on when this conversation ends.",
    )
    .takes(
        r#"{
            "queue": {"type": "string", "description": "As list_fleets shows; `default` where absent"},
            "kind": {"type": "string", "description": "What kind of task, in the words of its agents"},
            "input": {"description": "What the agent gets, any JSON"},
            "priority": {"type": "integer"}, "timeout": {"type": "string", "description": "Such as 30m"},
            "max_attempts": {"type": "integer", "minimum": 1},
            "depends_on": {"type": "array", "items": {"type": "string"}},
            "group": {"type": "string"}, "callback_url": {"type": "string"},
            "idempotency_key": {"type": "string", "description": "A second call with it is the same task"},
            "wait": {"type": "integer", "minimum": 0, "maximum": 600, "description": "Seconds"}
        }"#,
        &[],
    )
    .is_long(),
    Tool::new(
        "wait_task",
        Scope::Read,
        "Wait for a task",
        "Waits until a task has ended, for up to `seconds`, and returns it with its output.",
    )
    .takes(
        r#"{
            "task": {"type": "string", "description": "The id, tsk_…"},
            "seconds": {"type": "integer", "minimum": 1, "maximum": 600, "description": "30 where absent"}
        }"#,
        &["task"],
    ),
    Tool::new(
        "task_status",
        Scope::Read,
        "Look at a task",
        "A task as it is now: its state, its output or error, what it waits for.",
    )
    .takes(TASK, &["task"]),
    Tool::new(
        "cancel_task",
        Scope::Control,
        "Call a task off",
        "Calls a task off: at once if it does not run, else by asking its agent.",
    )
    .takes(TASK, &["task"]),
    Tool::new(
        "retry_task",
        Scope::Control,
        "Try a task again",
        "Gives a failed or cancelled task all its attempts again.",
    )
    .takes(TASK, &["task"]),
    Tool::new("list_tasks", Scope::Read, "List tasks", "Tasks, newest first, by state and queue.")
        .takes(
            r#"{
                "state": {"type": "array", "items": {"type": "string"}}, "queue": {"type": "string"},
                "limit": {"type": "integer", "minimum": 1, "maximum": 200}
            }"#,
            &[],
        ),
    Tool::new(
        "list_fleets",
        Scope::Read,
        "List fleets",
        "The fleets of this host: their agents, their queues, what they run.",
    ),
    Tool::new(
        "restart_fleet",
        Scope::Control,
        "Restart a fleet",
        "Restarts the agents of a fleet a few at a time, each once it has done its task.",
    )
    .takes(
        r#"{
            "fleet": {"type": "string", "description": "As list_fleets shows"},
            "max_unavailable": {"type": "string", "description": "How many at a time, such as 1 or 25%"}
        }"#,
        &["fleet"],
    ),
    Tool::new(
        "list_agents",
        Scope::Read,
        "List agents",
        "The agents of this host, with their states and what they are at.",
    ),
    Tool::new(
        "restart_agent",
        Scope::Control,
        "Restart an agent",
        "Restarts an agent. A task that it is at is given to another.",
    )
    .takes(
        r#"{"agent": {"type": "string", "description": "As list_agents shows, such as claude-1"}}"#,
        &["agent"],
    ),
    Tool::new(
        "list_queues",
        Scope::Read,
        "List queues",
        "The queues, with how many tasks of each state they have, and whether they are paused.",
    ),
    Tool::new(
        "check_plan",
        Scope::Read,
        "Check a plan",
        "Reads a plan, and says every mistake with its place, or that it is sound.",
    )
    .takes(PLAN, &["plan"]),
    Tool {
        reads: true,
        ..Tool::new(
            "analyze_plan",
            Scope::Submit,
            "Schedule a plan",
            "Schedules a plan on the fleets of this host and says which task would go where and when. \
             Submits nothing.",
        )
        .takes(PLAN, &["plan"])
    },
    Tool::new(
        "run_plan",
        Scope::Submit,
        "Carry a plan out",
        "Submits a plan to the fleets of this host; returns the run at once. Follow it with plan_status.",
    )
    .takes(PLAN, &["plan"]),
    Tool::new("list_plans", Scope::Read, "List runs of plans", "Runs of plans, newest first.").takes(
        r#"{"limit": {"type": "integer", "minimum": 1, "maximum": 200}}"#,
        &[],
    ),
    Tool::new(
        "plan_status",
        Scope::Read,
        "Look at a run of a plan",
        "A run of a plan and its tasks as they are now.",
    )
    .takes(RUN, &["run"]),
    Tool::new(
        "pause_plan",
        Scope::Control,
        "Pause a run of a plan",
        "Lets what runs go on, and starts nothing more of a run until resume_plan.",
    )
    .takes(
        r#"{
            "run": {"type": "string", "description": "The id of the run"},
            "reason": {"type": "string", "description": "Shown to whoever asks why"}
        }"#,
        &["run"],
    ),
    Tool::new(
        "resume_plan",
        Scope::Control,
        "Resume a run of a plan",
        "Goes on with a run that was paused.",
    )
    .takes(RUN, &["run"]),
    Tool::new(
        "retry_plan",
        Scope::Control,
        "Try a run of a plan again",
        "Tries what failed of a run again, or one task of it and what waits for that.",
    )
    .takes(
        r#"{
            "run": {"type": "string", "description": "The id of the run"},
            "task": {"type": "string", "description": "The id of a task within the plan"}
        }"#,
        &["run"],
    ),
    Tool::new(
        "do_plan_task",
        Scope::Control,
        "Do a person's part of a plan",
        "What a person decides of one task of a run: `approve` what waits for an approval, say that a person's \
         task is `done` or that it `fail`ed, or `skip` one, and what waits for it goes on. Only when the \
         person said so.",
    )
    .takes(
        r#"{
            "run": {"type": "string", "description": "The id of the run"},
            "task": {"type": "string", "description": "The id of a task within the plan"},
            "deed": {"type": "string", "enum": ["approve", "done", "fail", "skip"]},
            "output": {"description": "With `done`: its result, any JSON"},
            "message": {"type": "string", "description": "With `fail`: why"}
        }"#,
        &["run", "task", "deed"],
    ),
    Tool::new(
        "cancel_plan",
        Scope::Control,
        "Call a run of a plan off",
        "Calls off what is left of a run of a plan.",
    )
    .takes(RUN, &["run"]),
];

/// Whether a tool is about sessions.
pub(super) fn is_of_sessions(tool: &Tool) -> bool {
    sessions::TOOLS.iter().any(|other| other.name == tool.name)
}
