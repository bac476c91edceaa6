//! Where the demo plays: a directory, a config file, agents, tasks.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::{Value, json};
use uuid::Uuid;

use crate::domain::{
    TaskId,
    task::{NewTask, Terms},
};

/// How many tasks there are.
pub(super) const TASKS: usize = 500;
/// How many are submitted at once.
const GROUP: usize = 10;
/// The time between two groups.
pub(super) const PACE: Duration = Duration::from_millis(100);

/// The agents, as they stand in `examples/agents`.
const AGENTS: [(&str, &str); 4] = [
    ("worker.py", include_str!("../../../examples/agents/worker.py")),
    ("worker.sh", include_str!("../../../examples/agents/worker.sh")),
    ("flaky.sh", include_str!("../../../examples/agents/flaky.sh")),
    ("exec_flaky.sh", include_str!("../../../examples/agents/exec_flaky.sh")),
];

/// Why there is no stage.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StageError {
    #[error(
        "no temporary directory can be made in {dir}: {source}; set TMPDIR to one that you can write to"
    )]
    Directory {
        dir: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the demo's own config is refused: {0}")]
    Config(String),
}

/// The directory of the demo; removed when dropped.
pub(super) struct Stage {
    dir: PathBuf,
}

impl Stage {
    pub(super) fn set(env: &BTreeMap<String, String>) -> Result<Self, StageError> {
        let parent = env.get("TMPDIR").map_or_else(|| PathBuf::from("/tmp"), PathBuf::from);
        let dir = parent.join(format!("hostler-demo-{}", Uuid::new_v4().simple()));
        let stage = Self { dir };
        stage.fill(env).map_err(|source| StageError::Directory { dir: parent, source })?;
        Ok(stage)
    }

    fn fill(&self, env: &BTreeMap<String, String>) -> io::Result<()> {
        fs::create_dir_all(self.dir.join("agents"))?;
        // The private Postgres of a root host runs as another user, who must get through.
        fs::set_permissions(&self.dir, fs::Permissions::from_mode(0o711))?;
        for (name, text) in AGENTS {
            fs::write(self.dir.join("agents").join(name), text)?;
        }
        fs::write(self.config_file(), self.config(has_python(env)))
    }

    pub(super) fn data_dir(&self) -> PathBuf {
        self.dir.join("data")
    }

    pub(super) fn config_file(&self) -> PathBuf {
        self.dir.join("demo.toml")
    }

    fn effects_file(&self) -> PathBuf {
        self.dir.join("effects")
    }

    /// The tasks that agents themselves say they finished.
    pub(super) fn effects(&self) -> BTreeSet<TaskId> {
        let text = fs::read_to_string(self.effects_file()).unwrap_or_default();
        text.lines().filter_map(|line| line.split(' ').next()?.parse().ok()).collect()
    }

    fn config(&self, python: bool) -> String {
        let first = if python { r#"["python3", "worker.py"]"# } else { r#"["sh", "worker.sh"]"# };
        let effects = self.effects_file();
        let fleet = |name: &str, command: &str, queue: &str, more: &str| {
            format!(
                "[fleets.{name}]\ncommand = {command}\ncwd = \"agents\"\nqueues = [\"{queue}\"]\n\
                 env = {{ EFFECTS_FILE = \"{}\" }}\n{more}\n",
                effects.display()
            )
        };
        let worker = "protocol = \"worker\"\n\
            heartbeat = { every = \"300ms\", stale_after = \"1500ms\" }\n\
            restart = { backoff_min = \"50ms\" }\nstop_grace = \"500ms\"";
        let exec = "protocol = \"exec\"\ncount = 2\noutput = \"json\"";
        [
            "[tasks]\nmax_attempts = 5\nretry = { backoff_min = \"50ms\" }\n".to_owned(),
            "[http]\nbind = \"off\"\n".to_owned(),
            fleet("steady", first, "steady", &format!("count = 2\n{worker}")),
            fleet("flaky", r#"["sh", "flaky.sh"]"#, "simple", worker),
            fleet("once", r#"["sh", "exec_flaky.sh", "{{ input.fail_times }}"]"#, "once", exec),
        ]
        .join("\n")
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.dir) {
            eprintln!("{} stays: {error}", self.dir.display());
        }
    }
}

fn has_python(env: &BTreeMap<String, String>) -> bool {
    let path = env.get("PATH").map_or("", String::as_str);
    path.split(':').any(|dir| Path::new(dir).join("python3").is_file())
}

/// All tasks, in the groups that they are submitted in.
pub(super) fn tasks() -> Vec<Vec<NewTask>> {
    let mut all = (0..TASKS).map(task);
    let mut groups = Vec::new();
    loop {
        let group: Vec<_> = all.by_ref().take(GROUP).collect();
        if group.is_empty() {
            return groups;
        }
        groups.push(group);
    }
}

/// Three kinds: to sleep a little, to say something back, and to run a program. One of the last
/// kind fails twice before it succeeds.
fn task(number: usize) -> NewTask {
    let (queue, kind, input): (&str, &str, Value) = match number % 5 {
        0 => ("steady", "sleep", json!({"op": "sleep", "ms": 20})),
        1 | 2 => ("simple", "echo", json!({"op": "echo", "value": number})),
        3 => ("steady", "echo", json!({"op": "echo", "value": number})),
        _ => {
            let fail_times = if number == 104 { 2 } else { 0 };
            ("once", "program", json!({"fail_times": fail_times, "value": number}))
        }
    };
    NewTask {
        id: TaskId::from_uuid(Uuid::now_v7()),
        queue: name(queue),
        kind: kind.to_owned(),
        input,
        priority: 0,
        run_at: None,
        max_attempts: 5,
        timeout: None,
        idempotency_key: None,
        terms: Terms::default(),
    }
}

/// A name that stands in this file.
pub(super) fn name<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().expect("the demo's names are plain")
}
