//! The `hostler` program: everything is in the library.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// That of the C library took a third of the host's own time in a storm of restarts, and a fifth under requests.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    hostler::cli::run()
}
