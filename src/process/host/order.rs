//! What a spec must be, and what the keeper is told of it.

use std::{io, path::Path};

use super::super::{
    ProcessId, SpawnError, Spec, Stdio,
    wire::{Limits, Order},
};

/// What of a spec can be refused without asking the keeper.
pub(super) fn check(spec: &Spec) -> Result<(), SpawnError> {
    let refused =
        |what: String| Err(SpawnError::Refused { agent: spec.agent.clone(), what, source: None });
    if spec.argv.first().is_none_or(String::is_empty) {
        return refused("its command is empty".to_owned());
    }
    if let Some(name) = spec.env.keys().find(|name| name.is_empty() || name.contains('=')) {
        return refused(format!("`{name}` can't be the name of an environment variable"));
    }
    let mut files = [&spec.stdin, &spec.stdout, &spec.stderr].into_iter();
    let is_relative = |stdio: &&Stdio| matches!(stdio, Stdio::File(path) if path.is_relative());
    if let Some(Stdio::File(path)) = files.find(is_relative) {
        return refused(format!("the path `{}` of a stream is not absolute", path.display()));
    }
    for path in [&spec.stdin, &spec.stdout, &spec.stderr].into_iter().filter_map(file) {
        if path.to_str().is_none() {
            return refused(format!("the path `{}` is not UTF-8", path.display()));
        }
    }
    if spec.cwd.is_relative() || spec.cwd.to_str().is_none() {
        let source = io::ErrorKind::InvalidInput.into();
        return Err(SpawnError::Cwd { agent: spec.agent.clone(), path: spec.cwd.clone(), source });
    }
    Ok(())
}

fn file(stdio: &Stdio) -> Option<&Path> {
    match stdio {
        Stdio::File(path) => Some(path),
        Stdio::Null | Stdio::Pipe => None,
    }
}

/// A spec as the keeper takes it.
pub(super) fn order(id: ProcessId, spec: Spec) -> Order {
    let Spec {
        argv, env, cwd, pinned, user, limits, stdin, stdout, stderr, note, keep_pipes, ..
    } = spec;
    // A part of a second counts as one, for the kernel counts whole ones.
    let cpu = limits.cpu.map(|cpu| (cpu.as_secs() + u64::from(cpu.subsec_nanos() > 0)).max(1));
    let limits = Limits {
        memory: limits.memory,
        open_files: limits.open_files,
        processes: limits.processes,
        cpu_seconds: cpu,
        file_size: limits.file_size,
        group_memory: limits.group_memory,
        group_processes: limits.group_processes,
        cpu_weight: limits.cpu_weight,
    };
    Order {
        id: id.0,
        argv,
        env,
        cwd,
        pinned,
        user,
        limits,
        stdin,
        stdout,
        stderr,
        note,
        keep_pipes,
    }
}
