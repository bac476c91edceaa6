//! The `hostler` program: everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    hostler::cli::run()
}
