//! What webhooks ask of a port: a request on the shared threads, and its end in the mailbox.

use std::sync::Arc;

use pyo3::prelude::*;
use taquba_engine::Result;
use taquba_engine::command::Ticket;
use tokio::task::AbortHandle;

use super::Port;
use crate::calls::Call;
use crate::engine::internal;
use crate::error;
use crate::mailbox::Arrival;
use crate::runtime::runtime;
use crate::webhook::Sent;

impl Port {
    /// Has a delivery sent, and its end put into the mailbox, also if it is aborted.
    pub fn attend_webhook(
        &self,
        future: Py<PyAny>,
        sending: impl Future<Output = Sent> + Send + 'static,
    ) -> AbortHandle {
        let ticket = self.calls.add(Call { future, start: None });
        let mailbox = Arc::clone(&self.mailbox);
        let work = runtime().spawn(sending);
        let abort = work.abort_handle();
        runtime().spawn(async move {
            let sent = work.await.map_err(internal);
            mailbox.put([Arrival::Sent(ticket, sent)]);
        });
        abort
    }

    /// Answers such a call.
    pub(super) fn answer_sent(
        &self,
        py: Python<'_>,
        ticket: Ticket,
        sent: Result<Sent>,
    ) -> PyResult<()> {
        let Some(call) = self.calls.remove(ticket) else { return Ok(()) };
        let answer = sent.map_err(|failed| error::to_py(py, &failed));
        call.resolve(py, answer.and_then(|sent| sent.to_py(py)))
    }
}
