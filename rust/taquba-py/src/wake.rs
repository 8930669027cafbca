//! A file descriptor that an event loop watches: readable while there is something to fetch.
//!
//! An eventfd on Linux (one descriptor, one system call each way), a pipe on other Unixes. Neither
//! end ever blocks.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

/// The descriptor's two ends; on Linux they are one.
pub struct Wake {
    reader: OwnedFd,
    #[cfg(not(target_os = "linux"))]
    writer: OwnedFd,
}

#[cfg(target_os = "linux")]
impl Wake {
    /// Opens the descriptor, not readable yet.
    pub fn new() -> io::Result<Self> {
        use rustix::event::{EventfdFlags, eventfd};
        let reader = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { reader })
    }

    fn writer(&self) -> &OwnedFd {
        &self.reader
    }
}

#[cfg(not(target_os = "linux"))]
impl Wake {
    /// Opens the descriptors, not readable yet.
    pub fn new() -> io::Result<Self> {
        let (reader, writer) = rustix::pipe::pipe()?;
        for end in [&reader, &writer] {
            rustix::fs::fcntl_setfl(end, rustix::fs::OFlags::NONBLOCK)?;
            rustix::io::fcntl_setfd(end, rustix::io::FdFlags::CLOEXEC)?;
        }
        Ok(Self { reader, writer })
    }

    fn writer(&self) -> &OwnedFd {
        &self.writer
    }
}

impl Wake {
    /// Makes the descriptor readable.
    pub fn notify(&self) {
        // It can only fail when the descriptor is readable anyway.
        let _ = rustix::io::write(self.writer().as_fd(), &1_u64.to_ne_bytes());
    }

    /// Makes the descriptor unreadable.
    pub fn clear(&self) {
        let mut buffer = [0_u8; 8];
        // It can only fail when the descriptor was not readable.
        let _ = rustix::io::read(self.reader.as_fd(), &mut buffer);
    }

    /// The number to watch.
    pub fn fileno(&self) -> RawFd {
        self.reader.as_raw_fd()
    }
}
