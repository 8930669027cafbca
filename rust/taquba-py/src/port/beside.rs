//! Work beside the engine: stores of memos and webhooks have their calls answered by a port as well.

use std::sync::Arc;

use pyo3::prelude::*;
use taquba_engine::Result;
use taquba_engine::command::{Command, Ticket};
use tokio::task::AbortHandle;

use super::Port;
use crate::calls::{Answer, Call};
use crate::engine::internal;
use crate::error;
use crate::mailbox::Arrival;
use crate::memo::MemoScope;
use crate::runtime::runtime;

impl Port {
    /// Sends a call.
    pub fn ask(&self, future: Py<PyAny>, command: Command) -> bool {
        self.call(future, command)
    }

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

    /// Has a call answered by work of its own, which needs no engine; also if that is aborted.
    pub fn attend<T: Answer + 'static>(
        &self,
        future: Py<PyAny>,
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> AbortHandle {
        let ticket = self.calls.add(Call { future, start: None });
        let mailbox = Arc::clone(&self.mailbox);
        let work = runtime().spawn(work);
        let abort = work.abort_handle();
        runtime().spawn(async move {
            let answer = work.await.unwrap_or_else(|dead| Err(internal(dead)));
            let answer = answer.map(|answer| Box::new(answer) as Box<dyn Answer>);
            mailbox.put([Arrival::Answer(ticket, answer)]);
        });
        abort
    }

    /// Answers such a call.
    pub(super) fn answer_beside(
        &self,
        py: Python<'_>,
        ticket: Ticket,
        answer: Result<Box<dyn Answer>>,
    ) -> PyResult<()> {
        let Some(call) = self.calls.remove(ticket) else { return Ok(()) };
        let answer = answer.map_err(|failed| error::to_py(py, &failed));
        call.resolve(py, answer.and_then(|answer| answer.into_py(py)))
    }
}
