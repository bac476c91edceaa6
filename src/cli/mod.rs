//! The command line.

use std::{env, process::ExitCode};

use crate::process;

/// Runs the command line of this process.
pub fn run() -> ExitCode {
    let mut words = env::args_os().skip(1);
    // First of all: the keeper must not have a second thread.
    if words.next().is_some_and(|word| word == "keeper") {
        return process::keeper::main(words);
    }
    ExitCode::SUCCESS
}
