//! A host that dies by SIGKILL, and the next one on its data directory, with real processes.

mod kept;
mod settled;
mod upgrade;
mod world;
