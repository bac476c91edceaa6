//! The environment of an agent's process: made from nothing, by an allow-list.

use std::{collections::BTreeMap, time::Duration};

use crate::domain::{AgentName, Attempt, Generation, TaskId, access::AttemptKey, fleet::Fleet};

/// What every agent gets of the host's own environment; `LC_*` too.
///
/// Anything else of it stays out unless the fleet's `env_pass` or `env` names it: the host's
/// secrets above all, and the marks of a coding agent that the host itself may run in
/// (`CLAUDECODE`, `CLAUDE_CODE_*`).
pub const INHERITED: [&str; 9] =
    ["PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR"];

/// Of these, what is about the user. Another user's process does not get it.
const PERSONAL: [&str; 5] = ["HOME", "USER", "LOGNAME", "SHELL", "TMPDIR"];

/// Where programs are looked for if the host itself was started without a `PATH`.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// Whose process it is.
#[derive(Debug, Clone, Copy)]
pub struct Process<'a> {
    /// The agent.
    pub agent: &'a AgentName,
    /// Which of its processes.
    pub generation: Generation,
    /// The attempt it is for; `None` for a process that stays.
    pub attempt: Option<(TaskId, Attempt)>,
    /// Where the API is, and the token by which an agent at work may call it.
    pub api: Api<'a>,
    /// The abstract name of the socket on which it may tell of itself, if it has one.
    pub notify: Option<&'a str>,
    /// How long it may be silent.
    pub stale_after: Option<Duration>,
}

/// Where the API is.
#[derive(Debug, Clone, Copy, Default)]
pub struct Api<'a> {
    /// Its address over TCP, if it is served there.
    pub url: Option<&'a str>,
    /// Its unix socket.
    pub socket: Option<&'a str>,
    /// The key by which tokens of attempts are made.
    pub attempts: Option<&'a AttemptKey>,
}

/// The whole environment of a process of `fleet`, later ones win: [`INHERITED`] from `host`; what
/// `env_pass` names from `host`; `env`; the secrets; and what Hostler tells, which nothing can replace.
///
/// With a `user` of its own, the fleet gets neither `HOME`, `SHELL` nor `TMPDIR` of the host, and
/// `USER` and `LOGNAME` are that user; whoever looks the user up adds its `HOME`, if `env` has none.
pub fn environment(
    host: &BTreeMap<String, String>,
    fleet: &Fleet,
    process: &Process<'_>,
) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::from([("PATH".to_owned(), PATH.to_owned())]);
    let inherited = |name: &str| {
        (INHERITED.contains(&name) || name.starts_with("LC_"))
            && !(fleet.user.is_some() && PERSONAL.contains(&name))
    };
    let passed = |name: &String| inherited(name) || fleet.env_pass.contains(name);
    if let Some(user) = &fleet.user {
        variables.insert("USER".to_owned(), user.clone());
        variables.insert("LOGNAME".to_owned(), user.clone());
    }
    variables.extend(
        host.iter()
            .filter(|(name, _)| passed(name))
            .map(|(name, value)| (name.clone(), value.clone())),
    );
    variables.extend(fleet.env.iter().map(|(name, value)| (name.clone(), value.clone())));
    let secrets = fleet.secrets.iter().filter_map(|(name, secret)| {
        Some((name.clone(), secret.value.as_ref()?.reveal().to_owned()))
    });
    variables.extend(secrets);
    let token = process.attempt.zip(process.api.attempts);
    let told = [
        ("HOSTLER_AGENT", Some(process.agent.to_string())),
        ("HOSTLER_FLEET", Some(fleet.name.to_string())),
        ("HOSTLER_GENERATION", Some(process.generation.to_string())),
        ("HOSTLER_TASK_ID", process.attempt.map(|(task, _)| task.to_string())),
        ("HOSTLER_ATTEMPT", process.attempt.map(|(_, attempt)| attempt.to_string())),
        ("HOSTLER_URL", process.api.url.map(str::to_owned)),
        ("HOSTLER_SOCKET", process.api.socket.map(str::to_owned)),
        ("HOSTLER_TOKEN", token.map(|((task, attempt), key)| key.token(task, attempt))),
    ];
    if let Some(name) = process.notify {
        variables.insert("NOTIFY_SOCKET".to_owned(), format!("@{name}"));
        if let Some(limit) = process.stale_after {
            variables.insert("WATCHDOG_USEC".to_owned(), limit.as_micros().to_string());
        }
    }
    for (name, value) in told {
        match value {
            Some(value) => variables.insert(name.to_owned(), value),
            None => variables.remove(name),
        };
    }
    variables
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::domain::{
        fleet::{Limits, OutputFormat, Protocol, StdinMode, StopSignal},
        health, heartbeat, restart,
        secret::{FleetSecret, Secret, Source},
        storm,
    };

    fn fleet() -> Fleet {
        Fleet {
            name: "claude".parse().unwrap(),
            protocol: Protocol::Exec,
            command: vec!["agent".into()],
            count: 1,
            concurrency: None,
            prefetch: 1,
            queues: vec![],
            cwd: ".".into(),
            env: BTreeMap::new(),
            env_pass: vec![],
            submit_to: Vec::new(),
            shell: crate::domain::webhook::ShellRule::Off,
            secrets: BTreeMap::new(),
            user: None,
            limits: Limits::default(),
            stdin: StdinMode::Task,
            output: OutputFormat::Text,
            max_output: 1000,
            max_written: None,
            task_timeout: None,
            start_timeout: Duration::from_secs(1),
            stop_signal: StopSignal::Sigterm,
            workspace: None,
            depends_on: Vec::new(),
            strategy: crate::domain::order::Strategy::OneForOne,
            max_unavailable: crate::domain::rollout::Share::Percent(25),
            scale: None,
            stop_grace: Duration::from_secs(1),
            start_concurrency: None,
            linger: None,
            storm: storm::Intensity::default(),
            restart: restart::Policy {
                when: restart::When::Always,
                backoff_min: Duration::from_secs(1),
                backoff_max: Duration::from_secs(1),
                max_restarts: 1,
                window: Duration::from_secs(1),
                stable_after: Duration::from_secs(1),
            },
            heartbeat: heartbeat::Limits {
                every: Duration::from_secs(1),
                stale_after: None,
                ..heartbeat::Limits::default()
            },
            readiness: health::Readiness::default(),
        }
    }

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn made(host: &[(&str, &str)], fleet: &Fleet, with_task: bool) -> BTreeMap<String, String> {
        let attempt = with_task.then_some((TaskId::from_uuid(Uuid::from_u128(7)), Attempt(2)));
        let agent = "claude-3".parse().unwrap();
        let (generation, api) = (Generation(4), Api::default());
        let process =
            Process { agent: &agent, generation, attempt, api, notify: None, stale_after: None };
        environment(&map(host), fleet, &process)
    }

    const TOLD: [(&str, &str); 3] =
        [("HOSTLER_AGENT", "claude-3"), ("HOSTLER_FLEET", "claude"), ("HOSTLER_GENERATION", "4")];

    #[test]
    fn only_what_is_allowed_gets_through() {
        let host = [
            ("PATH", "/opt/bin"),
            ("HOME", "/home/ann"),
            ("LC_TIME", "C"),
            ("CLAUDECODE", "1"),
            ("CLAUDE_CODE_ENTRYPOINT", "cli"),
            ("HOSTLER__DATABASE__URL", "postgres://secret"),
            ("HOSTLER_TASK_ID", "of the host itself"),
            ("API_KEY", "secret"),
        ];
        let mut expected = map(&TOLD);
        expected.extend(map(&[("PATH", "/opt/bin"), ("HOME", "/home/ann"), ("LC_TIME", "C")]));
        assert_eq!(made(&host, &fleet(), false), expected);
    }

    #[test]
    fn a_fleet_names_what_else_it_needs() {
        let host = [("API_KEY", "k"), ("CLAUDE_CODE_X", "1"), ("LANG", "C")];
        let fleet = Fleet {
            env_pass: vec!["API_KEY".into(), "CLAUDE_CODE_X".into(), "ABSENT".into()],
            env: map(&[
                ("LANG", "de"),
                ("CLAUDECODE", "0"),
                ("HOSTLER_AGENT", "liar"),
                ("EFFECTS_FILE", "f"),
            ]),
            ..fleet()
        };
        let mut expected = map(&TOLD);
        expected.extend(map(&[
            ("PATH", PATH),
            ("API_KEY", "k"),
            ("CLAUDE_CODE_X", "1"),
            ("LANG", "de"),
            ("CLAUDECODE", "0"),
            ("EFFECTS_FILE", "f"),
            ("HOSTLER_TASK_ID", "tsk_00000000000000000000000000000007"),
            ("HOSTLER_ATTEMPT", "2"),
        ]));
        assert_eq!(made(&host, &fleet, true), expected);
    }

    #[test]
    fn a_process_is_told_where_it_may_tell_of_itself() {
        let agent = "claude-3".parse().unwrap();
        let notify = Some("hostler/1/claude-3");
        let stale_after = Some(Duration::from_secs(2));
        let (generation, attempt, api) = (Generation(4), None, Api::default());
        let process = Process { agent: &agent, generation, attempt, api, notify, stale_after };
        let made = environment(&map(&[("NOTIFY_SOCKET", "/of/the/host")]), &fleet(), &process);
        assert_eq!(made["NOTIFY_SOCKET"], "@hostler/1/claude-3");
        assert_eq!(made["WATCHDOG_USEC"], "2000000");
    }

    #[test]
    fn secrets_are_among_it_once_they_are_known() {
        let secret = |value: Option<&str>| FleetSecret {
            source: Source::Env("X".to_owned()),
            value: value.map(|text| Secret::new(text.to_owned())),
        };
        let secrets = [("API_KEY", secret(Some("s3cret"))), ("LATER", secret(None))];
        let secrets = secrets.map(|(name, secret)| (name.to_owned(), secret)).into();
        let made = made(&[], &Fleet { secrets, ..fleet() }, false);
        assert_eq!(made["API_KEY"], "s3cret");
        assert!(!made.contains_key("LATER"));
    }

    #[test]
    fn another_user_does_not_get_the_hosts_home() {
        let host = [("HOME", "/root"), ("USER", "root"), ("SHELL", "/bin/sh"), ("TZ", "UTC")];
        let fleet = Fleet { user: Some("bob".into()), ..fleet() };
        let mut expected = map(&TOLD);
        expected.extend(map(&[("PATH", PATH), ("USER", "bob"), ("LOGNAME", "bob"), ("TZ", "UTC")]));
        assert_eq!(made(&host, &fleet, false), expected);
    }
}
