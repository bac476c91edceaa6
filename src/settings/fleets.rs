//! `[fleets.NAME]`, over `[fleet_defaults]`.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use config::{Map, Value, ValueKind};

use super::{
    check, command, context::Context, fleet_secrets, host, limits, policies, reader::Section,
    workspaces,
};
use crate::domain::{
    FleetName, MAX_NAME, QueueName, autoscale,
    fleet::{Fleet, OutputFormat, Protocol, StdinMode, StopSignal},
    order::{Dependency, Strategy},
    rollout::{ParseShareError, Share},
    secret::FleetSecrets,
    webhook::ShellRule,
    workspace::WorkspaceSpec,
};

/// The most agents of one fleet.
pub(super) const MAX_COUNT: u16 = 1000;

/// The most tasks that a worker has at a time: what it has is written down at every step.
const MAX_PREFETCH: u16 = 256;

/// The longest name of a fleet: with `-1000` it must still be the name of an agent.
const MAX_FLEET_NAME: usize = MAX_NAME - "-1000".len();

/// Variables that the host sets for its agents.
const RESERVED_ENV: &str = "HOSTLER_";

/// The words of `protocol`.
const PROTOCOLS: [(&str, Protocol); 3] = [
    (Protocol::Exec.as_str(), Protocol::Exec),
    (Protocol::Worker.as_str(), Protocol::Worker),
    (Protocol::Service.as_str(), Protocol::Service),
];

/// The words of `stdin`.
pub(super) const STDIN: [(&str, StdinMode); 2] =
    [("task", StdinMode::Task), ("null", StdinMode::Null)];

/// The words of `output`.
pub(super) const OUTPUTS: [(&str, OutputFormat); 3] =
    [("text", OutputFormat::Text), ("json", OutputFormat::Json), ("jsonl", OutputFormat::Jsonl)];

/// The words of `stop_signal`.
pub(super) const SIGNALS: [(&str, StopSignal); 4] = [
    ("SIGTERM", StopSignal::Sigterm),
    ("SIGINT", StopSignal::Sigint),
    ("SIGHUP", StopSignal::Sighup),
    ("SIGQUIT", StopSignal::Sigquit),
];

/// The words of `shell`.
pub(super) const SHELL: [(&str, ShellRule); 3] = [
    (ShellRule::Off.as_str(), ShellRule::Off),
    (ShellRule::Argv.as_str(), ShellRule::Argv),
    (ShellRule::Line.as_str(), ShellRule::Line),
];

/// The words of `strategy`.
pub(super) const STRATEGIES: [(&str, Strategy); 3] = [
    ("one_for_one", Strategy::OneForOne),
    ("one_for_all", Strategy::OneForAll),
    ("rest_for_one", Strategy::RestForOne),
];

/// Reads every fleet, and the defaults even where there is none; and whether all could be read.
pub(super) fn read(context: &Context<'_>, root: &Map<String, Value>) -> (Vec<Fleet>, bool) {
    if let Some(ValueKind::Table(table)) = root.get("fleet_defaults").map(|value| &value.kind) {
        let section = Section::new(context, "fleet_defaults".to_owned(), table);
        check_defaults(&section);
    }
    let named = check::named_tables(root, "fleets", "fleet_defaults");
    let count = named.len();
    let fleets: Vec<Fleet> = named
        .iter()
        .filter_map(|(name, path, value)| match &value.kind {
            ValueKind::Table(table) => fleet(name, &Section::new(context, path.clone(), table)),
            _ => None,
        })
        .collect();
    let complete = fleets.len() == count;
    if complete {
        let section = |fleet: &Fleet| {
            let found = named.iter().find(|(name, ..)| *name == fleet.name.as_str());
            found.and_then(|(_, path, value)| match &value.kind {
                ValueKind::Table(table) => Some(Section::new(context, path.clone(), table)),
                _ => None,
            })
        };
        check::dependencies(&fleets, section);
    }
    (fleets, complete)
}

/// Reads the defaults for the problems in them, which would go unseen where there is no fleet.
fn check_defaults(section: &Section<'_>) {
    fields(section, None);
    section.texts("queues");
    section.texts("command");
    if section.text("protocol").is_some_and(|text| !text.is_empty()) {
        section.word("protocol", &PROTOCOLS);
    }
}

/// The fields that can be read of a fleet and of the defaults alike.
struct Fields {
    count: Option<u16>,
    concurrency: Option<Option<u32>>,
    prefetch: Option<u16>,
    env: Option<BTreeMap<String, String>>,
    env_pass: Option<Vec<String>>,
    submit_to: Option<Vec<QueueName>>,
    shell: Option<ShellRule>,
    secrets: Option<FleetSecrets>,
    cwd: Option<Option<PathBuf>>,
    user: Option<Option<String>>,
    stdin: Option<StdinMode>,
    output: Option<OutputFormat>,
    max_output: Option<u64>,
    max_written: Option<Option<u64>>,
    task_timeout: Option<Option<Duration>>,
    start_timeout: Option<Duration>,
    start_concurrency: Option<Option<u16>>,
    linger: Option<Option<Duration>>,
    stop_signal: Option<StopSignal>,
    stop_grace: Option<Duration>,
    depends_on: Option<Vec<Dependency>>,
    strategy: Option<Strategy>,
    max_unavailable: Option<Share>,
    scale: Option<Option<autoscale::Policy>>,
    policies: Option<policies::Policies>,
    workspace: Option<Option<WorkspaceSpec>>,
}

fn fields(section: &Section<'_>, protocol: Option<Protocol>) -> Fields {
    let ms = Duration::from_millis;
    let hour = Duration::from_secs(60 * 60);
    let env = env(section);
    let policies = policies::read(section, protocol, env.as_ref());
    let secrets = fleet_secrets::read(section, env.as_ref());
    Fields {
        count: section.number("count", 1..=MAX_COUNT),
        concurrency: limits::concurrency(section, "concurrency"),
        prefetch: section.number("prefetch", 1..=MAX_PREFETCH),
        env,
        env_pass: env_pass(section),
        submit_to: submit_to(section),
        shell: section.word("shell", &SHELL),
        secrets,
        cwd: cwd(section),
        user: user(section),
        stdin: section.word("stdin", &STDIN),
        output: section.word("output", &OUTPUTS),
        max_output: section.size("max_output", 1 << 10..=256 << 20),
        max_written: section.size_or_off("max_written", 1 << 10..=1 << 50),
        task_timeout: section.duration_or_off("task_timeout", ms(100)..=hour * 24 * 365),
        start_timeout: section.duration("start_timeout", ms(10)..=hour),
        start_concurrency: host::starts(section),
        linger: section.duration_or_off("linger", ms(10)..=hour * 24),
        stop_signal: section.word("stop_signal", &SIGNALS),
        stop_grace: section.duration("stop_grace", Duration::ZERO..=hour / 6),
        depends_on: depends_on(section),
        strategy: section.word("strategy", &STRATEGIES),
        max_unavailable: share(section),
        scale: policies::scale(section),
        policies,
        workspace: workspaces::of_fleet(section),
    }
}

fn fleet(name: &str, section: &Section<'_>) -> Option<Fleet> {
    let name = fleet_name(name, section);
    let protocol = protocol(section);
    let fields = fields(section, protocol);
    let queues = queues(section, protocol);
    let command = command::read(section, protocol, fields.shell, fields.env.as_ref());
    if let Some(protocol) = protocol {
        refuse_what_does_nothing(section, protocol);
    }
    let policies = fields.policies?;
    Some(Fleet {
        name: name?,
        protocol: protocol?,
        command: command?,
        count: fields.count?,
        concurrency: fields.concurrency?,
        prefetch: fields.prefetch?,
        queues: queues?,
        cwd: fields.cwd?.unwrap_or_else(|| section.context.base(&section.origin())),
        env: fields.env?,
        env_pass: fields.env_pass?,
        secrets: fields.secrets?,
        user: fields.user?,
        limits: policies.limits,
        stdin: fields.stdin?,
        output: fields.output?,
        max_output: fields.max_output?,
        max_written: fields.max_written?,
        task_timeout: fields.task_timeout?,
        start_timeout: fields.start_timeout?,
        start_concurrency: fields.start_concurrency?,
        linger: fields.linger?,
        storm: policies.storm,
        stop_signal: fields.stop_signal?,
        stop_grace: fields.stop_grace?,
        depends_on: fields.depends_on?,
        strategy: fields.strategy?,
        max_unavailable: fields.max_unavailable?,
        scale: fields.scale?.filter(|_| protocol.is_some_and(Protocol::takes_tasks)),
        restart: policies.restart,
        heartbeat: policies.heartbeat,
        readiness: policies.readiness,
        workspace: fields.workspace?,
        submit_to: fields.submit_to?,
        shell: fields.shell?,
    })
}

fn depends_on(section: &Section<'_>) -> Option<Vec<Dependency>> {
    let texts = section.texts("depends_on")?;
    let mut all = Some(Vec::with_capacity(texts.len()));
    for (at, text) in texts.iter().enumerate() {
        match (text.parse(), &mut all) {
            (Ok(dependency), Some(all)) => all.push(dependency),
            (Ok(_), None) => {}
            (Err(wrong), _) => {
                section.wrong_item("depends_on", at, wrong);
                all = None;
            }
        }
    }
    all
}

fn share(section: &Section<'_>) -> Option<Share> {
    let text = section.text("max_unavailable")?;
    text.parse()
        .map_err(|error: ParseShareError| section.problem("max_unavailable", error.to_string()))
        .ok()
}

fn fleet_name(name: &str, section: &Section<'_>) -> Option<FleetName> {
    let parsed =
        name.parse::<FleetName>().map_err(|error| section.wrong(error.to_string())).ok()?;
    if name.len() > MAX_FLEET_NAME {
        let message = format!("is too long: use at most {MAX_FLEET_NAME} characters");
        section.wrong(message);
        return None;
    }
    let number = name.rsplit_once('-').map(|(_, number)| number);
    if number.is_some_and(|text| !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit())) {
        let message = "looks like the name of an agent: do not end it in `-` and a number";
        section.wrong(message.to_owned());
        return None;
    }
    Some(parsed)
}

fn protocol(section: &Section<'_>) -> Option<Protocol> {
    if section.text("protocol").is_some_and(|text| text.is_empty()) {
        let message = "is missing: write \"exec\", \"worker\" or \"service\"";
        if section.is_own("protocol") {
            section.problem("protocol", message.to_owned());
        } else {
            section.missing("protocol", message);
        }
        return None;
    }
    section.word("protocol", &PROTOCOLS)
}

fn queues(section: &Section<'_>, protocol: Option<Protocol>) -> Option<Vec<QueueName>> {
    let texts = section.texts("queues")?;
    if protocol == Some(Protocol::Service) {
        if section.is_own("queues") && !texts.is_empty() {
            let message = "a service takes no tasks: remove it, or choose another protocol";
            section.problem("queues", message.to_owned());
            return None;
        }
        return Some(Vec::new());
    }
    if texts.is_empty() {
        let message = "is empty: name a queue, or make the fleet a service";
        section.problem("queues", message.to_owned());
        return None;
    }
    let mut queues = Vec::with_capacity(texts.len());
    let mut sound = true;
    for (at, text) in texts.iter().enumerate() {
        let wrong = match text.parse::<QueueName>() {
            Ok(name) if queues.contains(&name) => {
                format!("\"{text}\" is named twice: remove one of them")
            }
            Ok(name) => {
                queues.push(name);
                continue;
            }
            Err(error) => error.to_string(),
        };
        sound = false;
        section.wrong_item("queues", at, wrong);
    }
    sound.then_some(queues)
}

/// A field that is set but does nothing is a misunderstanding.
fn refuse_what_does_nothing(section: &Section<'_>, protocol: Protocol) {
    let rules: [(&[&str], bool, &str); 4] = [
        (
            &["stdin", "output", "linger", "max_written"],
            protocol == Protocol::Exec,
            "an exec fleet",
        ),
        (&["prefetch"], protocol == Protocol::Worker, "a worker fleet"),
        (&["start_timeout"], protocol.is_resident(), "a fleet whose processes stay"),
        (
            &["task_timeout", "max_output", "concurrency"],
            protocol.takes_tasks(),
            "a fleet that takes tasks",
        ),
    ];
    if !protocol.takes_tasks()
        && let Some(workspace) = section.section("workspace")
        && workspace.is_own("git")
    {
        let message = "a service has no attempts to make workspaces for: remove it".to_owned();
        workspace.problem("git", message);
    }
    if !protocol.takes_tasks()
        && let Some(scale) = section.section("scale")
        && scale.is_own("max")
    {
        let message =
            "a service has no tasks to be scaled by: remove it, and set `count`".to_owned();
        scale.problem("max", message);
    }
    for (keys, applies, whose) in rules {
        for key in keys.iter().filter(|key| !applies && section.is_own(key)) {
            let message =
                format!("means something only for {whose}, and this is a {protocol}: remove it");
            section.problem(key, message);
        }
    }
}

fn cwd(section: &Section<'_>) -> Option<Option<PathBuf>> {
    let cwd = section.path_or_none("cwd")?;
    if let Some(dir) = cwd.as_deref().filter(|dir| !dir.is_dir()) {
        let message = format!("{} is not a directory: make it, or name another", dir.display());
        section.problem("cwd", message);
        return None;
    }
    Some(cwd)
}

fn user(section: &Section<'_>) -> Option<Option<String>> {
    let Some(name) = section.text_or_none("user")? else {
        return Some(None);
    };
    let message = match nix::unistd::User::from_name(&name) {
        Ok(Some(user)) if user.uid == nix::unistd::geteuid() => return Some(Some(name)),
        Ok(Some(_)) if section.context.sources.machine.is_root => return Some(Some(name)),
        Ok(Some(_)) => format!("only a host of root can run agents as `{name}`: remove it"),
        Ok(None) => format!("there is no user `{name}`: make it, or name another"),
        Err(error) => format!("cannot look up the user `{name}` ({error}): name another"),
    };
    section.problem("user", message);
    None
}

fn env(section: &Section<'_>) -> Option<BTreeMap<String, String>> {
    let env = section.named_texts("env")?;
    let names = section.section("env")?;
    let mut sound = true;
    for (name, value) in &env {
        if let Some(wrong) = wrong_variable(name) {
            names.problem(name, wrong.to_owned());
            sound = false;
        } else if value.contains('\0') {
            names.problem(name, "must not hold a NUL character: remove it".to_owned());
            sound = false;
        }
    }
    sound.then_some(env)
}

/// The names of queues. That nobody serves one here does not matter: another host may.
fn submit_to(section: &Section<'_>) -> Option<Vec<QueueName>> {
    let words = section.texts("submit_to")?;
    let mut names = Vec::with_capacity(words.len());
    for (at, word) in words.iter().enumerate() {
        match word.parse::<QueueName>() {
            Ok(name) => names.push(name),
            Err(error) => section.wrong_item("submit_to", at, error.to_string()),
        }
    }
    (names.len() == words.len()).then_some(names)
}

fn env_pass(section: &Section<'_>) -> Option<Vec<String>> {
    let names = section.texts("env_pass")?;
    let mut sound = true;
    for (at, name) in names.iter().enumerate() {
        if let Some(wrong) = wrong_variable(name) {
            section.wrong_item("env_pass", at, wrong.to_owned());
            sound = false;
        }
    }
    sound.then_some(names)
}

/// What is wrong with the name of a variable.
pub(super) fn wrong_variable(name: &str) -> Option<&'static str> {
    if name.is_empty() || name.contains(['=', '\0']) {
        return Some("is not the name of a variable: it must not be empty and hold no `=` or NUL");
    }
    name.starts_with(RESERVED_ENV)
        .then_some("names that begin with HOSTLER_ are the host's own: choose another")
}
