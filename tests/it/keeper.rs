//! The keeper and the host's handle to it, with real processes.

mod ends;
mod groups;
mod model;
mod raw;
mod starts;
mod world;
