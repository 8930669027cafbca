//! Failures of the store, told as ours.

use std::error::Error as StdError;

use slatedb::{CloseReason, ErrorKind};

use super::finality::{Final, causes, is_denied_locally};
use crate::error::Error;

/// What the storage engine reports.
pub(super) fn of_slatedb(path: &str, error: &slatedb::Error) -> Error {
    let (path, detail) = (path.to_owned(), chain(error));
    match find_final(error) {
        Some(Final::Denied(_)) => return Error::PermissionDenied { path, detail },
        Some(Final::CutShort(_) | Final::Damaged(_)) => return Error::Corrupted { path, detail },
        None if is_denied_locally(error) => return Error::PermissionDenied { path, detail },
        None => {}
    }
    match error.kind() {
        ErrorKind::Closed(CloseReason::Fenced) => Error::Fenced { path },
        ErrorKind::Closed(CloseReason::Clean) => Error::Closed { path },
        ErrorKind::Data => Error::Corrupted { path, detail },
        ErrorKind::Unavailable => Error::StoreUnavailable { path, detail },
        _ => Error::Internal { detail },
    }
}

/// What keeps a database from being opened. Whatever the storage engine cannot make sense of then is
/// damage: there is no history of this process yet in which a bug of ours could lie.
pub(super) fn of_open(path: &str, error: &slatedb::Error) -> Error {
    match of_slatedb(path, error) {
        Error::Internal { detail } => Error::Corrupted { path: path.to_owned(), detail },
        other => other,
    }
}

/// Whether another process that opens the same database explains the failure.
pub(super) fn may_be_a_race(error: &slatedb::Error) -> bool {
    matches!(error.kind(), ErrorKind::Data | ErrorKind::Closed(CloseReason::Fenced))
}

/// What a read of an object that is not there tells of the store: `None` if all is well.
pub(super) fn of_probe(path: &str, error: &object_store::Error) -> Option<Error> {
    // How the stores say that the object's container is missing, not just the object.
    const NO_CONTAINER: [&str; 4] =
        ["NoSuchBucket", "ContainerNotFound", "bucket does not exist", "container does not exist"];
    if let object_store::Error::NotFound { .. } = error {
        let detail = chain(error);
        let is_missing = NO_CONTAINER.iter().any(|sign| detail.contains(sign));
        return is_missing.then(|| Error::StoreNotFound { path: path.to_owned(), detail });
    }
    Some(of_store(path, error))
}

/// What the object store reports, asked directly.
pub(super) fn of_store(path: &str, error: &object_store::Error) -> Error {
    use object_store::Error as Store;
    let (path, detail) = (path.to_owned(), chain(error));
    match (find_final(error), error) {
        (Some(Final::Denied(_)), _) => Error::PermissionDenied { path, detail },
        (Some(Final::CutShort(_) | Final::Damaged(_)), _) => Error::Corrupted { path, detail },
        (None, Store::NotFound { .. }) => Error::StoreNotFound { path, detail },
        (None, _) => Error::StoreUnavailable { path, detail },
    }
}

/// What keeps files from being made or read.
pub(super) fn of_file(path: &str, error: &(dyn StdError + 'static)) -> Error {
    let (path, detail) = (path.to_owned(), chain(error));
    if is_denied_locally(error) {
        return Error::PermissionDenied { path, detail };
    }
    Error::StoreUnavailable { path, detail }
}

fn find_final<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a Final> {
    causes(error).find_map(|cause| cause.downcast_ref())
}

/// An error with its causes, each told once, without what follows a `?` in an address: presigned
/// parts are secrets.
fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut text = String::new();
    for cause in causes(error).map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    without_queries(&text)
}

fn without_queries(text: &str) -> String {
    let words = text.split(' ').map(|word| match word.split_once('?') {
        Some((address, _)) if address.contains("://") => address,
        _ => word,
    });
    let mut clean: Vec<String> = Vec::new();
    for word in words {
        clean.push(word.chars().flat_map(escape_control).collect());
    }
    clean.join(" ")
}

fn escape_control(c: char) -> Vec<char> {
    if c.is_control() { c.escape_default().collect() } else { vec![c] }
}
