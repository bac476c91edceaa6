//! The `exec` protocol: the task on stdin, its result on stdout, the exit status decides.

use std::{
    io::{self, Read, Write},
    path::Path,
    process::ExitCode,
    time::Duration,
};

use serde::Deserialize;
use serde_json::Value;
use tokio::time::sleep;

use super::{
    super::exit::Outcome,
    flood, lost, result,
    script::{MISREAD, Script, Trouble},
    status, write_files,
};

/// How often it shows life where it only waits.
const BEAT: Duration = Duration::from_secs(1);

/// What stdin holds, as far as it matters here.
#[derive(Debug, Deserialize)]
struct Task {
    #[serde(default = "first")]
    attempt: u64,
    input: Value,
}

const fn first() -> u64 {
    1
}

/// Does the task on stdin.
pub(super) async fn run() -> Outcome<ExitCode> {
    let mut text = String::new();
    io::stdin().read_to_string(&mut text).map_err(|error| lost(format!("stdin: {error}")))?;
    let task: Task = serde_json::from_str(&text)
        .map_err(|error| lost(format!("stdin must hold a task as JSON: {error}")))?;
    let script = match Script::of(&task.input, task.attempt) {
        Ok(script) => script,
        Err(why) => {
            anstream::eprintln!("{why}");
            return Ok(status(MISREAD));
        }
    };
    if let Some(line) = &script.log {
        anstream::eprintln!("{line}");
    }
    work(&script).await;
    let wrote = match write_files(Path::new(""), &script.files) {
        Ok(wrote) => wrote,
        Err(error) => return Err(lost(format!("cannot write {error}"))),
    };
    match &script.trouble {
        None => {}
        Some(Trouble::Flood(bytes)) => flood(*bytes, &mut io::stdout().lock())?,
        Some(Trouble::Hang { beating }) => hang(*beating).await,
        Some(Trouble::Exit(code)) => return Ok(status(*code)),
        Some(Trouble::Fail { code, message, .. }) => {
            anstream::eprintln!("{message}");
            return Ok(status(*code));
        }
    }
    let mut out = io::stdout().lock();
    writeln!(out, "{}", result(&script, &wrote))?;
    Ok(ExitCode::SUCCESS)
}

/// Works for as long as it is told, and tells how far it is.
async fn work(script: &Script) {
    let rounds = script.progress.max(1);
    for round in 1..=rounds {
        let mut left = script.sleep / rounds;
        while !left.is_zero() {
            let now = left.min(BEAT);
            sleep(now).await;
            left -= now;
            if !left.is_zero() {
                anstream::eprintln!("at work");
            }
        }
        if script.progress > 0 {
            anstream::eprintln!("{} %", 100 * round / rounds);
        }
    }
}

async fn hang(beating: bool) {
    loop {
        sleep(BEAT).await;
        if beating {
            anstream::eprintln!("at work");
        }
    }
}
