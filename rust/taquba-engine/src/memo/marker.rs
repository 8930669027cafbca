//! Marks of the ends of runs: what a sweeper goes by.

use std::fmt;
use std::str::FromStr;

use crate::ids::RunId;

/// Digits of the instant: every 64-bit number, so that names sort as instants do.
const DIGITS: usize = 20;

/// A run has ended. Orders by when.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TerminalMarker {
    /// When it ended, in milliseconds since 1970.
    pub terminal_at_ms: u64,
    /// Which run.
    pub run_id: RunId,
}

/// What is there of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Markers {
    /// Oldest first.
    pub markers: Vec<TerminalMarker>,
    /// Objects among them that are none.
    pub skipped: Vec<String>,
}

/// The text is not the name of a mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAMarker;

impl fmt::Display for TerminalMarker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:0DIGITS$}_{}", self.terminal_at_ms, self.run_id)
    }
}

impl FromStr for TerminalMarker {
    type Err = NotAMarker;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (at_ms, run_id) = text.split_once('_').ok_or(NotAMarker)?;
        let marker = Self {
            terminal_at_ms: at_ms.parse().map_err(|_| NotAMarker)?,
            run_id: run_id.parse().map_err(|_| NotAMarker)?,
        };
        // Other spellings of the same instant are not ours.
        if marker.to_string() == text { Ok(marker) } else { Err(NotAMarker) }
    }
}
