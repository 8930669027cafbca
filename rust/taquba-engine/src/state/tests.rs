//! The state machine against the rules of its header.

mod crash;
mod harness;
mod jobs;
mod recovery;
mod runs;
