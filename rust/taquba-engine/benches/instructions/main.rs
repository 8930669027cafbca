//! What an operation costs, in instructions: the work that `benches/instructions.py` has callgrind
//! count, to compare it with the counts that are held.
//!
//! # Invariants
//!
//! 1. What happens inside [`measured`] is counted and nothing else is. The script knows it by name, so
//!    it is never inlined; lines of the output say what its calls were, in their order.
//! 2. Every run does the same: no clock, no thread, no random seed.
//! 3. Each round is checked for what it did. Without callgrind, as a test, that is all that happens.
//!
//! | file | owns |
//! |---|---|
//! | `operations.rs` | what is counted of the state machine |
//! | `machine.rs` | a state machine that commits at once, and what it is asked |
//! | `codec.rs` | what is counted of the stored forms |

mod codec;
mod machine;
mod operations;

use std::hint::black_box;
use std::io::Write as _;

/// Operations of a round, all in one commit: as many as a busy engine has in flight.
const ROUND: usize = 512;
const ROUNDS: usize = 8;
/// After these, buffers have the size that they keep.
const WARM_UP_ROUNDS: usize = 2;

fn main() {
    for operation in &operations::OPERATIONS {
        operation.run();
    }
    codec::run();
}

/// Counted each time it is called. No generic function: callgrind has to know it by its whole name.
#[inline(never)]
fn measured(work: &mut dyn FnMut()) {
    black_box(work)();
}

/// Names the latest calls of [`measured`], and says how many operations they were together.
fn tell(call_count: usize, operation_count: usize, name: &str) {
    writeln!(std::io::stdout(), "{call_count}\t{operation_count}\t{name}").expect("somebody reads");
}
