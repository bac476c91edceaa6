//! The tools, as a client is told of them.

/// One tool.
pub(super) struct Tool {
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    pub(super) what: &'static str,
    /// The properties of its arguments, as JSON.
    pub(super) arguments: &'static str,
    pub(super) required: &'static [&'static str],
    /// Whether it changes nothing.
    pub(super) reads: bool,
    /// Whether it may be a task of MCP.
    pub(super) long: bool,
}

const TASK: &str = r#"{"task": {"type": "string", "description": "The id, tsk_…"}}"#;
const RUN: &str = r#"{"run": {"type": "string", "description": "The id of the run"}}"#;
const PLAN: &str = r#"{
    "plan": {"description": "The plan: an object with version 1 and tasks (id, title, duration, depends_on), or the text of a plan file", "type": ["object", "string"]},
    "format": {"type": "string", "enum": ["toml", "yaml", "json"], "description": "Of a text; toml where absent"},
    "agents": {"type": "integer", "minimum": 1, "description": "How many agents at most"},
    "queue": {"type": "string"}, "phased": {"type": "boolean"}, "split": {"type": "boolean"},
    "speed": {"type": "string", "description": "A rehearsal, such as 1h=1s"}
}"#;

/// Every tool.
pub(super) const TOOLS: &[Tool] = &[
    Tool {
        name: "delegate_task",
        title: "Delegate a task",
        what: "Gives a task to the agents of a queue. Returns its id at once, or its result if `wait` seconds \
            are enough. It goes on when this conversation ends.",
        arguments: r#"{
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
        required: &[],
        reads: false,
        long: true,
    },
    Tool {
        name: "wait_task",
        title: "Wait for a task",
        what: "Waits until a task has ended, for up to `seconds`, and returns it with its output.",
        arguments: r#"{
            "task": {"type": "string", "description": "The id, tsk_…"},
            "seconds": {"type": "integer", "minimum": 1, "maximum": 600, "description": "30 where absent"}
        }"#,
        required: &["task"],
        reads: true,
        long: false,
    },
    Tool {
        name: "task_status",
        title: "Look at a task",
        what: "A task as it is now: its state, its output or error, what it waits for.",
        arguments: TASK,
        required: &["task"],
        reads: true,
        long: false,
    },
    Tool {
        name: "cancel_task",
        title: "Call a task off",
        what: "Calls a task off: at once if it does not run, else by asking its agent.",
        arguments: TASK,
        required: &["task"],
        reads: false,
        long: false,
    },
    Tool {
        name: "retry_task",
        title: "Try a task again",
        what: "Gives a failed or cancelled task all its attempts again.",
        arguments: TASK,
        required: &["task"],
        reads: false,
        long: false,
    },
    Tool {
        name: "list_tasks",
        title: "List tasks",
        what: "Tasks, newest first, by state and queue.",
        arguments: r#"{
            "state": {"type": "array", "items": {"type": "string"}}, "queue": {"type": "string"},
            "limit": {"type": "integer", "minimum": 1, "maximum": 200}
        }"#,
        required: &[],
        reads: true,
        long: false,
    },
    Tool {
        name: "list_fleets",
        title: "List fleets",
        what: "The fleets of this host: their agents, their queues, what they run.",
        arguments: "{}",
        required: &[],
        reads: true,
        long: false,
    },
    Tool {
        name: "list_agents",
        title: "List agents",
        what: "The agents of this host, with their states and what they are at.",
        arguments: "{}",
        required: &[],
        reads: true,
        long: false,
    },
    Tool {
        name: "restart_agent",
        title: "Restart an agent",
        what: "Restarts an agent. A task that it is at is given to another.",
        arguments: r#"{"agent": {"type": "string", "description": "As list_agents shows, such as claude-1"}}"#,
        required: &["agent"],
        reads: false,
        long: false,
    },
    Tool {
        name: "list_queues",
        title: "List queues",
        what: "The queues, with how many tasks of each state they have, and whether they are paused.",
        arguments: "{}",
        required: &[],
        reads: true,
        long: false,
    },
    Tool {
        name: "check_plan",
        title: "Check a plan",
        what: "Reads a plan, and says every mistake with its place, or that it is sound.",
        arguments: PLAN,
        required: &["plan"],
        reads: true,
        long: false,
    },
    Tool {
        name: "analyze_plan",
        title: "Schedule a plan",
        what: "Schedules a plan on the fleets of this host and says which task would go where and when. \
            Submits nothing.",
        arguments: PLAN,
        required: &["plan"],
        reads: true,
        long: false,
    },
    Tool {
        name: "run_plan",
        title: "Carry a plan out",
        what: "Submits a plan to the fleets of this host; returns the run at once. Follow it with plan_status.",
        arguments: PLAN,
        required: &["plan"],
        reads: false,
        long: false,
    },
    Tool {
        name: "plan_status",
        title: "Look at a run of a plan",
        what: "A run of a plan and its tasks as they are now.",
        arguments: RUN,
        required: &["run"],
        reads: true,
        long: false,
    },
    Tool {
        name: "cancel_plan",
        title: "Call a run of a plan off",
        what: "Calls off what is left of a run of a plan.",
        arguments: RUN,
        required: &["run"],
        reads: false,
        long: false,
    },
];
