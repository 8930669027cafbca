//! Every bound of a delivery, in one place.

use std::time::Duration;

/// Longest URL. Receivers and what stands before them begin to refuse longer ones here.
pub const URL_BYTES_MAX: usize = 2_048;

/// Longest host name: the limit of the domain name system.
pub const HOST_BYTES_MAX: usize = 253;

/// Longest label of a host name: the same.
pub const HOST_LABEL_BYTES_MAX: usize = 63;

/// Ports that need not be listed: those on which receivers are met.
pub const PORTS_DEFAULT: [u16; 3] = [80, 443, 8_443];

/// Most bytes of an answer that are read, and dropped: a connection whose answer was read to its end
/// can be used again, and beyond this a new one is cheaper.
pub const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// How long an answer is read once its status is known: the status is all that counts.
pub const ANSWER_READ_TIMEOUT: Duration = Duration::from_secs(1);

/// Longest time that a receiver can ask to wait.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(86_400);

/// How long a connection may take, within the delivery's timeout.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a connection is kept for the next delivery. Receivers usually close after a minute or
/// so; closing first avoids writing into a connection that is about to go.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(20);

/// Connections kept for one host.
pub const IDLE_COUNT_MAX: usize = 4;

/// Addresses of one name that are looked at. A name with more is refused.
pub const ADDRESSES_COUNT_MAX: usize = 64;

/// Lookups under way in the process. A slow one holds a thread for half a minute or so, and the
/// threads are those that also read files: enough for many receivers, and a small part of all.
pub const LOOKUPS_COUNT_MAX: usize = 32;

/// How long a delivery waits for a lookup to begin: shorter than any other timeout here, so that it
/// is known that the receiver has no part in it.
pub const LOOKUP_WAIT_TIMEOUT: Duration = Duration::from_millis(500);

const _: () = assert!(
    LOOKUP_WAIT_TIMEOUT.as_millis() < CONNECT_TIMEOUT.as_millis(),
    "a connection that waits for a lookup is not given up as one that the receiver does not take"
);

const _: () = assert!(HOST_BYTES_MAX < URL_BYTES_MAX, "a URL holds a host");
