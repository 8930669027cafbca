//! Memos as stored: the value behind its checksum, or what refers to the object that holds it.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Payload, PayloadRef, Undecodable, decode, encode};

#[derive(Serialize, Deserialize)]
enum Stored<'a> {
    Inline {
        checksum: u32,
        #[serde(borrow, with = "serde_bytes")]
        value: &'a [u8],
    },
    Object(PayloadRef),
}

/// The stored form of a memo.
#[must_use]
pub fn encode_memo(value: &Payload) -> Bytes {
    const FIXED_BYTES_MAX: usize = 80;
    let stored = match value {
        Payload::Inline(value) => Stored::Inline { checksum: crc32fast::hash(value), value },
        Payload::Object(object) => Stored::Object(*object),
    };
    encode(&stored, FIXED_BYTES_MAX + value.resident_bytes())
}

/// Reads a stored memo.
///
/// # Errors
///
/// [`Undecodable`] says what is wrong with the bytes.
pub fn decode_memo(stored: &Bytes) -> Result<Payload, Undecodable> {
    match decode(stored)? {
        Stored::Inline { checksum, value } if checksum == crc32fast::hash(value) => {
            Ok(Payload::Inline(stored.slice_ref(value)))
        }
        Stored::Inline { .. } => Err(Undecodable("the checksum of the value is another".into())),
        Stored::Object(object) => Ok(Payload::Object(object)),
    }
}

/// A run that has ended and whose memos are still kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoSweepRow {
    /// When they are deleted.
    pub at_ms: u64,
}

impl MemoSweepRow {
    /// The row's value.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        const SIZE_HINT: usize = 10;
        encode(self, SIZE_HINT)
    }

    /// Reads a row's value.
    ///
    /// # Errors
    ///
    /// [`Undecodable`] says what is wrong with the bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, Undecodable> {
        decode(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::PayloadName;

    #[test]
    fn a_memo_reads_as_it_was_written() {
        let object = PayloadRef::to(PayloadName { epoch: 3, number: 9 }, &Bytes::from_static(b"x"));
        for value in [Payload::from("value"), Payload::from(""), Payload::Object(object)] {
            assert_eq!(decode_memo(&encode_memo(&value)), Ok(value));
        }
    }

    #[test]
    fn a_changed_byte_is_noticed_wherever_it_is() {
        let stored = encode_memo(&Payload::from("value"));
        for place in 0..stored.len() {
            let mut damaged = stored.to_vec();
            damaged[place] ^= 0x40;
            assert!(decode_memo(&Bytes::from(damaged)).is_err(), "byte {place}");
        }
    }
}
