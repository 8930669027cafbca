//! Failures that no further try can change.
//!
//! The storage engine tries again whatever might pass. These do not pass: they are marked, so that every
//! layer above gives up at once, and found again when the failure is told.

use std::error::Error as StdError;
use std::io;

use object_store::Error;
use slatedb_common::retry::NonRetryable;

/// Why a request must not be tried again.
#[derive(Debug, thiserror::Error)]
pub(super) enum Final {
    /// The right to it is missing.
    #[error("access is denied")]
    Denied(#[source] Error),
    /// Less of the object is there than was written.
    #[error("an object has lost its end")]
    CutShort(#[source] Error),
    /// The object is not what was written.
    #[error("{0}")]
    Damaged(String),
}

impl Final {
    /// The failure as layers above take it: they give up at once.
    pub fn told(self) -> Error {
        Error::Generic { store: "taquba", source: Box::new(NonRetryable(Box::new(self))) }
    }
}

/// Marks as final what no further try can change.
pub(super) fn told_once(error: Error) -> Error {
    let cause = match &error {
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => Final::Denied(error),
        Error::Generic { .. } if is_denied_locally(&error) => Final::Denied(error),
        Error::Generic { .. } if is_cut_short(&error) => Final::CutShort(error),
        _ => return error,
    };
    cause.told()
}

/// Whether the file system refuses: then it will refuse again.
pub(super) fn is_denied_locally(error: &(dyn StdError + 'static)) -> bool {
    causes(error).filter_map(|cause| cause.downcast_ref::<io::Error>()).any(|cause| {
        matches!(cause.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
    })
}

/// Whether more was asked for than there is. The stores tell it in words only.
fn is_cut_short(error: &Error) -> bool {
    const SIGNS: [&str; 3] = ["Wanted range starting at", "Out of range of file", "416 "];
    causes(error).any(|cause| {
        let text = cause.to_string();
        SIGNS.iter().any(|sign| text.contains(sign))
    })
}

/// An error, what caused it, what caused that.
pub(super) fn causes<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn StdError + 'static)| (*error).source())
}
