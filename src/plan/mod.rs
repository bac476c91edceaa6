//! Plans: reading them, judging them, scheduling them, drawing them.

pub mod solve;
