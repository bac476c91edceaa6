//! The keeper and the host's handle to it, with real processes.

mod ends;
mod raw;
mod starts;
mod world;
