//! What an injected failure looks like.
//!
//! The clients of real stores tell by the type of an error whether it is worth another try, and bury the
//! cause in it. So it is here: [`Injected`] is the cause, at the end of the chain of sources.

use std::io;

use object_store::Error;

use crate::fault::{Fault, Operation};

/// The name of the store in messages.
const STORE: &str = "ChaosStore";

/// Why a request has failed that would not have failed.
#[derive(Debug, thiserror::Error)]
#[error("injected `{}` on {} of `{path}`: {}", fault.name(), operation.name(), answer(*fault))]
pub struct Injected {
    /// What befell it.
    pub fault: Fault,
    /// What was asked.
    pub operation: Operation,
    /// Of which object, or under which prefix.
    pub path: String,
    /// What the system would say.
    #[source]
    cause: Option<io::Error>,
}

impl Injected {
    pub(crate) fn new(fault: Fault, operation: Operation, path: &str) -> Self {
        let kind = match fault {
            Fault::FailBefore | Fault::FailAfter => Some(io::ErrorKind::ConnectionReset),
            Fault::Hang | Fault::DetachPut => Some(io::ErrorKind::TimedOut),
            Fault::DropStream => Some(io::ErrorKind::UnexpectedEof),
            Fault::NoSpace => Some(io::ErrorKind::StorageFull),
            _ => None,
        };
        Self { fault, operation, path: path.to_owned(), cause: kind.map(io::Error::from) }
    }

    /// As the client of a store reports it.
    pub(crate) fn told(self, is_update: bool) -> Error {
        let path = self.path.clone();
        match self.fault {
            Fault::Deny403 => Error::PermissionDenied { path, source: Box::new(self) },
            Fault::Precondition412 => Error::Precondition { path, source: Box::new(self) },
            Fault::ConflictOwn if is_update => Error::Precondition { path, source: Box::new(self) },
            Fault::ConflictAbsent | Fault::ConflictOwn | Fault::ConflictForeign => {
                Error::AlreadyExists { path, source: Box::new(self) }
            }
            _ => Error::Generic { store: STORE, source: Box::new(self) },
        }
    }
}

/// What a server would have answered.
fn answer(fault: Fault) -> &'static str {
    match fault {
        Fault::Throttle => "503 Service Unavailable, SlowDown",
        Fault::Deny403 => "403 Forbidden, AccessDenied",
        Fault::Precondition412 => "412 Precondition Failed",
        Fault::ConflictAbsent | Fault::ConflictOwn | Fault::ConflictForeign => "409 Conflict",
        Fault::Hang | Fault::DetachPut => "no answer in time",
        Fault::NoSpace => "no space left on device",
        Fault::DropStream => "the body ended early",
        _ => "connection reset",
    }
}
