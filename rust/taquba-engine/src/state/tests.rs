//! The state machine against the rules of its header.

mod crash;
mod ended;
mod harness;
mod jobs;
mod kv;
mod payloads;
mod recovery;
mod runs;
mod waits;
