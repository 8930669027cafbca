//! The state machine against the rules of its header.

mod cancel;
mod claim_rows;
mod crash;
mod ended;
mod growth;
mod harness;
mod jobs;
mod kv;
mod memos;
mod payloads;
mod random_runs;
mod recovery;
mod run_lists;
mod runs;
mod waits;
