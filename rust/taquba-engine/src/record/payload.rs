//! Payloads: inside their job's row, or in an object of their own.
//!
//! A large payload would be written again with every retry, and by every compaction. So it is uploaded
//! once, before its job exists, and the row keeps its name, size and digest.
//!
//! # Invariants
//!
//! 1. An object is written before the row that names it, and deleted after the row that named it:
//!    whoever finds the name finds the object.
//! 2. No two objects have one name: the epoch belongs to one owner, the number only grows in it.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// The name of a payload object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PayloadName {
    /// The owner that wrote it.
    pub epoch: u32,
    /// Its number under that owner.
    pub number: u64,
}

impl fmt::Display for PayloadName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}-{:016x}", self.epoch, self.number)
    }
}

/// The text is not the name of a payload object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAPayloadName;

impl FromStr for PayloadName {
    type Err = NotAPayloadName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (epoch, number) = text.split_once('-').ok_or(NotAPayloadName)?;
        let name = Self {
            epoch: u32::from_str_radix(epoch, 16).map_err(|_| NotAPayloadName)?,
            number: u64::from_str_radix(number, 16).map_err(|_| NotAPayloadName)?,
        };
        // Other spellings of the same numbers are not ours.
        if name.to_string() == text { Ok(name) } else { Err(NotAPayloadName) }
    }
}

/// A payload object, as a row refers to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PayloadRef {
    /// Where it is.
    pub name: PayloadName,
    /// How long it is.
    pub size_bytes: u64,
    /// What it must read as.
    pub sha256: [u8; 32],
}

impl PayloadRef {
    /// The reference to these bytes under this name.
    #[must_use]
    pub fn to(name: PayloadName, data: &Bytes) -> Self {
        Self { name, size_bytes: data.len() as u64, sha256: Sha256::digest(data).into() }
    }

    /// Whether these bytes are what was written.
    #[must_use]
    pub fn matches(&self, data: &Bytes) -> bool {
        data.len() as u64 == self.size_bytes
            && <[u8; 32]>::from(Sha256::digest(data)) == self.sha256
    }
}

/// What a worker receives, wherever it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// In the row.
    Inline(Bytes),
    /// In an object of its own.
    Object(PayloadRef),
}

impl Payload {
    /// How long it is.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        match self {
            Self::Inline(data) => data.len() as u64,
            Self::Object(object) => object.size_bytes,
        }
    }

    /// Its digest.
    #[must_use]
    pub fn sha256(&self) -> [u8; 32] {
        match self {
            Self::Inline(data) => Sha256::digest(data).into(),
            Self::Object(object) => object.sha256,
        }
    }

    /// Its object, if it has one.
    #[must_use]
    pub fn object(&self) -> Option<&PayloadRef> {
        match self {
            Self::Inline(_) => None,
            Self::Object(object) => Some(object),
        }
    }

    /// Bytes of it that are in memory.
    #[must_use]
    pub fn resident_bytes(&self) -> usize {
        match self {
            Self::Inline(data) => data.len(),
            Self::Object(_) => 0,
        }
    }
}

impl Default for Payload {
    fn default() -> Self {
        Self::Inline(Bytes::new())
    }
}

macro_rules! inline_from {
    ($($bytes:ty),+) => {
        $(impl From<$bytes> for Payload {
            fn from(data: $bytes) -> Self {
                Self::Inline(Bytes::from(data))
            }
        })+
    };
}

inline_from!(Bytes, Vec<u8>, String, &'static str);

/// Why a payload object cannot be delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PayloadFault {
    /// It is gone, or does not read as what was written.
    Damaged(String),
    /// The store did not give it.
    Unavailable(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_reads_as_it_was_written_and_in_no_other_spelling() {
        let name = PayloadName { epoch: 7, number: 0xAB };

        assert_eq!(name.to_string().parse(), Ok(name));
        for other in
            ["7-ab", "00000007-00000000000000AB", "", "-", "00000007", "+0000007-00000000000000ab"]
        {
            assert_eq!(other.parse::<PayloadName>(), Err(NotAPayloadName), "{other}");
        }
    }

    #[test]
    fn one_changed_byte_is_noticed() {
        let data = Bytes::from_static(b"payload");
        let object = PayloadRef::to(PayloadName { epoch: 1, number: 1 }, &data);

        assert!(object.matches(&data));
        assert!(!object.matches(&Bytes::from_static(b"paYload")));
        assert!(!object.matches(&Bytes::from_static(b"payloa")));
    }
}
