//! Headers: a job's string metadata, kept as the bytes that are stored.
//!
//! A step hands its headers to the next one without looking at them, so they are encoded once,
//! shared from then on, and read only where somebody asks.

use bytes::Bytes;

use crate::error::{Error, Result};
use crate::ids::clip;
use crate::limits::{HEADERS_BYTES_MAX, HEADERS_COUNT_MAX};

/// Keys under this prefix are set by the runtime alone.
pub const RESERVED_HEADER_PREFIX: &str = "workflow.";

/// Ordered pairs of text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(Bytes);

impl Headers {
    /// Encodes pairs in the given order.
    ///
    /// # Errors
    ///
    /// [`Error::HeadersTooLarge`] over the limits, [`Error::ReservedHeader`] for a key under
    /// `workflow.`, however it is written.
    pub fn new<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self> {
        let (mut bytes, mut count, mut size_bytes) = (Vec::new(), 0, 0);
        for pair in pairs {
            if is_reserved(pair.0) {
                return Err(Error::ReservedHeader { key: clip(pair.0) });
            }
            count += 1;
            size_bytes += pair.0.len() + pair.1.len();
            if size_bytes <= HEADERS_BYTES_MAX {
                bytes = postcard::to_extend(&pair, bytes).expect("a vector takes any value");
            }
        }
        if count > HEADERS_COUNT_MAX || size_bytes > HEADERS_BYTES_MAX {
            return Err(Error::HeadersTooLarge { count, size_bytes });
        }
        Ok(Self(Bytes::from(bytes)))
    }

    /// The pairs, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut rest: &[u8] = &self.0;
        std::iter::from_fn(move || {
            let (pair, tail) = postcard::take_from_bytes(rest).ok()?;
            rest = tail;
            Some(pair)
        })
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Bytes that keeping them costs.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.0.len()
    }

    /// The stored form.
    #[must_use]
    pub(super) fn as_bytes(&self) -> &Bytes {
        &self.0
    }

    /// Takes the stored form, if it reads to its last byte.
    pub(super) fn from_stored(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes;
        while !rest.is_empty() {
            (_, rest) = postcard::take_from_bytes::<(&str, &str)>(rest).ok()?;
        }
        Some(Self(Bytes::copy_from_slice(bytes)))
    }
}

/// Whether a key is the runtime's, also when disguised by case or white space.
fn is_reserved(key: &str) -> bool {
    let key = key.trim();
    key.get(..RESERVED_HEADER_PREFIX.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(RESERVED_HEADER_PREFIX))
}
