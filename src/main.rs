//! The `hostler` program: everything is in the library.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// The C library's took a third of the host's own time in a storm of restarts, and a sixth where it answers HTTP.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    hostler::cli::run()
}
