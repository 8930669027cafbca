//! Simulation of the engine: lives that a seed decides, and checkers of what was promised in them.
//!
//! | module | owns |
//! |---|---|
//! | [`history`] | events: what the world saw, in which order |
//! | [`check`] | what must hold of a history |
//! | [`hostile`] | input that nobody of ours has written |
//! | [`world`] | processes, consumers, and what befalls them |
//! | [`site`] | what differs between the lanes |
//! | [`lane_a`], [`model_log`] | the engine on a log in memory |
//! | [`lane_b`] | the engine on the storage engine, on a store that misbehaves |
//! | [`clock`], [`random`], [`entropy`], [`recorder`] | time, chance, and the observer |

pub mod check;
pub mod clock;
pub mod entropy;
pub mod history;
pub mod hostile;
pub mod lane_a;
pub mod lane_b;
pub mod model_log;
pub mod random;
pub mod recorder;
pub mod site;
pub mod world;
