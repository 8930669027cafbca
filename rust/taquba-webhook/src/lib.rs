//! Outgoing webhooks: one POST to a URL that somebody else has chosen, past a guard.
//!
//! | module | owns |
//! |---|---|
//! | [`rules`] | which URLs are taken: scheme, host, port, form |
//! | [`guard`] | which addresses may be connected to |
//! | [`resolver`] | names to addresses, all of them past the guard |
//! | [`client`] | the request itself, and what is learned of the answer |
//! | [`retry_after`] | when a receiver asks to be tried again |
//! | [`limits`] | every bound of the above |
//!
//! # Invariants
//!
//! 1. A connection goes only to an address that the guard has let pass, and to the very one that it
//!    has looked at: nothing is resolved twice (see `docs/decisions/0011`).
//! 2. What a receiver answers is read as a status and a time to wait. Its text goes nowhere.
//! 3. No error shows a URL's path or query: they may hold a secret.
//!
//! # Not here
//!
//! What a status means, signatures and retries are decided in `python/taquba/webhooks`.

#![forbid(unsafe_code)]

pub mod client;
pub mod guard;
pub mod limits;
pub mod resolver;
pub mod retry_after;
pub mod rules;

pub use client::{Answer, Client, Failure, Request};
pub use guard::AddressGuard;
pub use rules::UrlRules;
