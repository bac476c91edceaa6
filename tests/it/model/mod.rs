//! Models of what hosts agree on through Postgres, explored to the last interleaving.
//!
//! A model is the protocol without its machinery: what hosts know, what the database has, what is on
//! its way between them. The decisions are those of `hostler::domain`. Every state that can be
//! reached is looked at; what must never be is looked for in each, and from each of them the goal
//! must still be within reach without any further fault. A broken variant of each rule must be
//! found: a checker that finds nothing in those proves nothing.

mod explore;
mod hosts;
mod leader;
mod locks;
