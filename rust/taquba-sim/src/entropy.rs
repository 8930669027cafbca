//! Chance that is asked of the machine, from a seed.
//!
//! Hash tables of the standard library order their entries by keys that they ask of the machine, and
//! tokio begins with such a key where it has a choice. Both ask the C library; the symbol that they ask is
//! defined here, for the whole program, so that a life depends on nothing but its seed.
//!
//! # Invariants
//!
//! 1. A thread that was given a seed gets the stream of that seed; all others get one of their own, that is
//!    the same in each execution. Nothing here is secret, and nothing here may be.

use std::cell::RefCell;

use crate::random::Random;

thread_local! {
    static STREAM: RefCell<Random> = RefCell::new(Random::new(0));
}

/// From here on this thread, which has hashed nothing yet, gets the stream of this seed.
pub fn seed(seed: u64) {
    STREAM.with_borrow_mut(|stream| *stream = Random::new(seed));
}

/// What the C library has under this name: fills `buffer`, which has `length` bytes, and returns that.
///
/// # Safety
///
/// `buffer` must be writable for `length` bytes, as `getrandom(2)` asks.
#[expect(unsafe_code, reason = "the one door through which the standard library asks for chance")]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getrandom(buffer: *mut u8, length: usize, _flags: u32) -> isize {
    // SAFETY: the caller keeps what `getrandom(2)` asks of it.
    let bytes = unsafe { std::slice::from_raw_parts_mut(buffer, length) };
    let fill = |stream: &RefCell<Random>| stream.borrow_mut().fill(bytes);
    if STREAM.try_with(fill).is_err() {
        // The thread is ending, and with it the stream.
        return -1;
    }
    isize::try_from(length).unwrap_or(-1)
}
