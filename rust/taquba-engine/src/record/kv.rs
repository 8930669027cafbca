//! Values of the key-value space: the version byte, then what the user gave.

use bytes::{BufMut, Bytes, BytesMut};

use super::{Undecodable, VERSION};

/// The stored form of a value.
#[must_use]
pub fn encode_value(value: &Bytes) -> Bytes {
    let mut stored = BytesMut::with_capacity(1 + value.len());
    stored.put_u8(VERSION);
    stored.put_slice(value);
    stored.freeze()
}

/// Reads a stored value.
///
/// # Errors
///
/// [`Undecodable`] says what is wrong with the bytes.
pub fn decode_value(stored: &Bytes) -> Result<Bytes, Undecodable> {
    match stored.first() {
        Some(&VERSION) => Ok(stored.slice(1..)),
        Some(other) => Err(Undecodable(format!("version {other}, this version reads {VERSION}"))),
        None => Err(Undecodable("empty value".into())),
    }
}
