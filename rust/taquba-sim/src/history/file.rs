//! Histories as files of JSON lines, and the digest that tells two of them apart.

use std::io::{BufRead, Error, ErrorKind, Result, Write};

use sha2::{Digest as _, Sha256};

use super::Event;

/// What a history comes down to: two executions of one seed have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest(u128);

impl Digest {
    /// The digest of these events.
    #[must_use]
    pub fn of(events: &[Event]) -> Self {
        let mut hash = HashWriter(Sha256::new());
        for event in events {
            serde_json::to_writer(&mut hash, event).expect("a hash takes everything");
        }
        let bytes = hash.0.finalize();
        Self(u128::from_be_bytes(bytes[..16].try_into().expect("it has 32 bytes")))
    }
}

impl std::fmt::Display for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

struct HashWriter(Sha256);

impl Write for HashWriter {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

/// Reads a file of events. A last line that breaks off is what a killed observer leaves, and is
/// passed over.
///
/// # Errors
///
/// What cannot be read, and a line that is no event, with its number.
pub fn read(mut lines: impl BufRead) -> Result<Vec<Event>> {
    let mut events = Vec::new();
    let mut line = String::new();
    loop {
        line.clear();
        if lines.read_line(&mut line)? == 0 || !line.ends_with('\n') {
            return Ok(events);
        }
        let event = serde_json::from_str(&line).map_err(|error| {
            let number = events.len() + 1;
            Error::new(ErrorKind::InvalidData, format!("line {number} is no event: {error}"))
        })?;
        events.push(event);
    }
}

/// Writes events, one a line.
///
/// # Errors
///
/// What cannot be written.
pub fn write(mut to: impl Write, events: &[Event]) -> Result<()> {
    for event in events {
        serde_json::to_writer(&mut to, event)?;
        to.write_all(b"\n")?;
    }
    to.flush()
}
