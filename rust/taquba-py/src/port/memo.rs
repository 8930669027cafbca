//! What memos ask of a port.

use std::sync::Arc;

use pyo3::prelude::*;
use taquba_engine::Result;
use taquba_engine::command::{Command, Ticket};

use super::Port;
use crate::calls::Call;
use crate::engine::internal;
use crate::error;
use crate::mailbox::Arrival;
use crate::memo::{Found, MemoScope};
use crate::runtime::runtime;

impl Port {
    /// Sends a call about a delivery, unless that came from another opening of the store.
    pub fn ask_for(
        &self,
        py: Python<'_>,
        scope: &MemoScope,
        future: Py<PyAny>,
        command: Command,
    ) -> PyResult<bool> {
        if !self.line.is_beside(scope.line()) {
            return Err(error::to_py(py, &scope.claim_lost()));
        }
        Ok(self.call(future, command))
    }

    /// Has a call answered by work of its own, which needs no engine.
    pub fn attend(
        &self,
        future: Py<PyAny>,
        work: impl Future<Output = Result<Found>> + Send + 'static,
    ) {
        let ticket = self.calls.add(Call { future, start: None });
        let mailbox = Arc::clone(&self.mailbox);
        runtime().spawn(async move {
            let found = runtime().spawn(work).await.unwrap_or_else(|dead| Err(internal(dead)));
            mailbox.put([Arrival::Found(ticket, found)]);
        });
    }

    /// Answers such a call.
    pub(super) fn answer_found(
        &self,
        py: Python<'_>,
        ticket: Ticket,
        found: Result<Found>,
    ) -> PyResult<()> {
        let Some(call) = self.calls.remove(ticket) else { return Ok(()) };
        let answer = found.map_err(|failed| error::to_py(py, &failed));
        call.resolve(py, answer.and_then(|found| found.into_py(py)))
    }
}
