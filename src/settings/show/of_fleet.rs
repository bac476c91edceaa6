//! What is shown of a fleet.

use serde_json::{Map, Value, json};

use super::{count_or_off, duration_or_off, path, size_or_off, starts_or_off, word};
use crate::{
    domain::{
        autoscale,
        fleet::Fleet,
        health::{Check, Readiness},
        heartbeat::Evidence,
        secret::Source,
    },
    settings::{
        fleets, mask,
        policies::{CHECKS, CheckKind, THEN, WHEN},
        reader::OFF,
        units::{format_duration, format_size},
    },
};

pub(super) fn fleet(fleet: &Fleet) -> Value {
    let env = fleet.env.iter().map(|(name, value)| {
        let shown = if mask::is_secret_name(name) { mask::MASK.into() } else { mask::urls(value) };
        (name.clone(), json!(shown))
    });
    let mut shown = json!({
        "protocol": fleet.protocol.as_str(),
        "command": fleet.command.iter().map(|word| mask::urls(word)).collect::<Vec<_>>(),
        "count": fleet.count,
        "queues": fleet.queues,
        "cwd": path(&fleet.cwd),
        "env": env.collect::<Map<_, _>>(),
        "env_pass": fleet.env_pass,
        "submit_to": fleet.submit_to,
        "shell": fleet.shell.as_str(),
        "secrets": fleet.secrets.iter().map(|(name, one)| (name.clone(), source(&one.source))).collect::<Map<_, _>>(),
        "user": fleet.user.as_deref().unwrap_or_default(),
        "stop_signal": word(&fleets::SIGNALS, &fleet.stop_signal),
        "stop_grace": format_duration(fleet.stop_grace),
        "start_concurrency": starts_or_off(fleet.start_concurrency),
        "depends_on": fleet.depends_on.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "strategy": word(&fleets::STRATEGIES, &fleet.strategy),
        "max_unavailable": fleet.max_unavailable.to_string(),
    });
    for (name, value) in policies(fleet).into_iter().chain(of_protocol(fleet)) {
        shown[name] = value;
    }
    shown
}

/// Where a secret comes from: never what it is.
fn source(source: &Source) -> Value {
    match source {
        Source::File(file) => json!({ "file": path(file) }),
        Source::Env(name) => json!({ "env": name }),
        Source::Command { argv, .. } => {
            json!({ "command": argv.iter().map(|word| mask::urls(word)).collect::<Vec<_>>() })
        }
    }
}

/// The fields that mean something only to some protocols.
fn of_protocol(fleet: &Fleet) -> Vec<(&'static str, Value)> {
    let mut fields = Vec::new();
    if fleet.protocol.takes_tasks() {
        fields.push(("max_output", json!(format_size(fleet.max_output))));
        fields.push(("task_timeout", duration_or_off(fleet.task_timeout)));
        fields.push(("concurrency", count_or_off(fleet.concurrency)));
        fields.push(("scale", scale(fleet.scale)));
    }
    match fleet.protocol {
        crate::domain::fleet::Protocol::Exec => {
            fields.push(("stdin", word(&fleets::STDIN, &fleet.stdin)));
            fields.push(("output", word(&fleets::OUTPUTS, &fleet.output)));
            fields.push(("linger", duration_or_off(fleet.linger)));
            fields.push(("max_written", json!(size_or_off(fleet.max_written))));
        }
        crate::domain::fleet::Protocol::Worker | crate::domain::fleet::Protocol::Service => {
            fields.push(("start_timeout", json!(format_duration(fleet.start_timeout))));
        }
    }
    fields
}

/// As the config says it where it is off.
fn scale(policy: Option<autoscale::Policy>) -> Value {
    let Some(policy) = policy else { return json!({ "max": OFF }) };
    json!({
        "min": policy.min,
        "max": policy.max,
        "up_after": format_duration(policy.up_after),
        "down_after": format_duration(policy.down_after),
        "cooldown": format_duration(policy.cooldown),
    })
}

fn policies(fleet: &Fleet) -> Vec<(&'static str, Value)> {
    let (limits, restart, heartbeat) = (&fleet.limits, &fleet.restart, &fleet.heartbeat);
    let number_or_off =
        |number: Option<u64>| number.map_or_else(|| json!(OFF), |number| json!(number));
    let limits = json!({
        "memory": size_or_off(limits.memory),
        "open_files": number_or_off(limits.open_files),
        "processes": number_or_off(limits.processes),
        "cpu": duration_or_off(limits.cpu),
        "file_size": size_or_off(limits.file_size),
        "group_memory": size_or_off(limits.group_memory),
        "group_processes": number_or_off(limits.group_processes),
        "cpu_weight": number_or_off(limits.cpu_weight),
    });
    let restart = json!({
        "when": word(&WHEN, &restart.when),
        "backoff_min": format_duration(restart.backoff_min),
        "backoff_max": format_duration(restart.backoff_max),
        "max_restarts": restart.max_restarts,
        "window": format_duration(restart.window),
        "stable_after": format_duration(restart.stable_after),
        "fleet_max_restarts": count_or_off(fleet.storm.max_restarts),
        "fleet_then": word(&THEN, &fleet.storm.then),
        "fleet_wait": format_duration(fleet.storm.wait),
    });
    let heartbeat = json!({
        "every": format_duration(heartbeat.every),
        "stale_after": duration_or_off(heartbeat.stale_after),
        "first_sign": duration_or_off(heartbeat.first_sign),
        "evidence": evidence(heartbeat.evidence),
        "busy_stale_after": format_duration(heartbeat.busy_stale_after),
        "tool_stale_after": format_duration(heartbeat.tool_stale_after),
    });
    let ready = ready(&fleet.readiness);
    vec![("limits", limits), ("restart", restart), ("heartbeat", heartbeat), ("ready", ready)]
}

fn evidence(evidence: Evidence) -> Vec<&'static str> {
    let all = [("notify", evidence.notify), ("cpu", evidence.cpu), ("io", evidence.io)];
    all.into_iter().filter(|(_, counts)| *counts).map(|(word, _)| word).collect()
}

fn ready(readiness: &Readiness) -> Value {
    let (mut command, mut url, mut address) = (Vec::new(), String::new(), "");
    match &readiness.check {
        Check::Protocol | Check::Notify => {}
        Check::Exec(argv) => command = argv.iter().map(|word| mask::urls(word)).collect(),
        Check::Http(target) => url = format!("http://{}{}", target.address, target.path),
        Check::Tcp(at) => address = at,
    }
    json!({
        "check": word(&CHECKS, &CheckKind::of(&readiness.check)),
        "command": command,
        "url": url,
        "address": address,
        "every": format_duration(readiness.every),
        "timeout": format_duration(readiness.timeout),
        "failures": readiness.failures,
    })
}
