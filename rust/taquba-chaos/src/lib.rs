//! An object store that misbehaves as object stores do, on demand and by seed.
//!
//! | module | owns |
//! |---|---|
//! | [`fault`] | the kinds of faults, and which requests each can befall |
//! | [`plan`] | how often each of them happens, and to what |
//! | [`store`] | [`ChaosStore`]: the store itself, and its switches |
//! | [`error`] | what an injected failure looks like |
//! | [`counts`] | what was done |
//!
//! # Invariants
//!
//! 1. Without a plan, and while it is calm, the store is the one below it: same answers, no waiting.
//! 2. Same seed, same plan, same requests in the same order: same faults. All is drawn from one generator,
//!    when a request is first polled.
//! 3. No task, no thread, no timer outlives a request. What is to happen later is kept in the store and
//!    happens at the next request after its time, so it outlives its caller, and the runtime.
//! 4. A failure has the type that the clients of real stores give it, so that who retries does here what
//!    it does there.
//!
//! # Example
//!
//! ```
//! use std::sync::Arc;
//! use object_store::{ObjectStoreExt, memory::InMemory, path::Path};
//! use taquba_chaos::{ChaosStore, Fault, Plan, Rule};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! // The first write arrives, and its answer is lost.
//! let plan = Plan::default().with(Fault::FailAfter, Rule::always().at_most(1));
//! let store = ChaosStore::new(Arc::new(InMemory::new()), plan, 7);
//! let path = Path::from("a");
//!
//! assert!(store.put(&path, "1".into()).await.is_err());
//! assert_eq!(store.get(&path).await.unwrap().bytes().await.unwrap(), "1");
//! assert_eq!(store.counts().of(Fault::FailAfter), 1);
//! # }
//! ```

#![forbid(unsafe_code)]

pub mod counts;
pub mod error;
pub mod fault;
pub mod plan;
pub mod store;

mod body;
mod dice;
mod fate;
mod history;
mod later;
mod listing;
mod serve;
mod state;
mod upload;

pub use counts::Counts;
pub use dice::Dice;
pub use error::Injected;
pub use fault::{Fault, Operation};
pub use plan::{Plan, Rule};
pub use store::{ChaosStore, Elapsed};

#[cfg(test)]
mod tests;
