//! What the attempts of a task wrote, as far as this host has it.

use std::path::{Path, PathBuf};

use actix_web::{HttpRequest, web::Data};

use super::{
    Answer, State,
    caller::Caller,
    error::{ApiError, Kind},
    logs::{self, Follower},
    query::{self, Stream},
    server::Until,
};
use crate::{
    domain::{Attempt, TaskId, record::TaskRecord, task::TaskState},
    queue::QueueError,
};

pub(super) async fn logs(state: Data<State>, caller: Caller, request: HttpRequest) -> Answer {
    let (tail, wanted) = query::attempt_log(request.query_string())?;
    let id: TaskId = query::path(&request, "id")?;
    let task = state.queue.get(id).await?.ok_or(QueueError::UnknownTask { task: id })?;
    let dir = state.supervisor.attempts_path(id);
    // The newest, if not another is asked for.
    let attempt = wanted.attempt.unwrap_or(task.attempt);
    let found = tokio::task::spawn_blocking(move || find(&dir, attempt, wanted.stream)).await;
    let Some(path) = found.ok().flatten() else {
        let detail = format!(
            "this host has no output of attempt {attempt} of the task: it ran on another host, wrote \
             nothing yet, or its files were removed (host.keep_attempts)"
        );
        return Err(ApiError::new(Kind::NotFound, detail));
    };
    let queue = state.queue.clone();
    let is_over = Box::new(move || {
        let queue = queue.clone();
        Box::pin(async move {
            let goes_on = |task: TaskRecord| task.attempt == attempt && is_under_way(task.state);
            // Without Postgres nobody knows: it may go on. One that was deleted does not.
            queue.get(id).await.is_ok_and(|task| !task.is_some_and(goes_on))
        }) as _
    });
    let log = Follower::new(path, tail, Until::of(&state, caller)).until(is_over);
    Ok(logs::answer(&request, log))
}

fn is_under_way(state: TaskState) -> bool {
    matches!(state, TaskState::Running | TaskState::AwaitingInput)
}

/// The file of an attempt; blocks.
fn find(task: &Path, attempt: Attempt, stream: Option<Stream>) -> Option<PathBuf> {
    let dir = task.join(attempt.to_string());
    let names: &[&str] = match stream {
        Some(stream) => &[stream.as_str()],
        // A worker's attempt has a log; a process of its own has the streams.
        None => &["log", "stdout"],
    };
    names.iter().map(|name| dir.join(name)).find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_file_of_an_attempt_is_found() {
        let dir = tempfile::tempdir().unwrap();
        for (attempt, name) in [("1", "stdout"), ("1", "stderr"), ("2", "log")] {
            fs::create_dir_all(dir.path().join(attempt)).unwrap();
            fs::write(dir.path().join(attempt).join(name), "").unwrap();
        }
        let rows = [
            (1, None, Some("1/stdout")),
            (1, Some(Stream::Stderr), Some("1/stderr")),
            (1, Some(Stream::Log), None),
            (2, None, Some("2/log")),
            (3, None, None),
        ];
        for (attempt, stream, wanted) in rows {
            let found = find(dir.path(), Attempt(attempt), stream);
            assert_eq!(found, wanted.map(|path| dir.path().join(path)));
        }
    }
}
