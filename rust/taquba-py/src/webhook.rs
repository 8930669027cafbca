//! Webhooks: rules for URLs, the client, and requests under way.
//!
//! # Invariants
//!
//! 1. A request whose [`WebhookRequest`] is gone is aborted: nobody waits for it. A forked child
//!    leaves its parent's requests alone.
//! 2. What is sent is never shown: `repr` has no headers, no body and no URL.

#![expect(clippy::needless_pass_by_value, reason = "PyO3 hands over what it has converted")]

use std::time::Duration;

use pyo3::IntoPyObjectExt;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use taquba_engine::Error;
use taquba_webhook::client::{Answer, Client, Failure, Request};
use taquba_webhook::guard::{AddressGuard, Network};
use taquba_webhook::rules::{HostPattern, UrlRules};
use tokio::task::AbortHandle;

use crate::port::Port;
use crate::runtime::{enter, has_forked};
use crate::{calls, error, payload, text};

/// Which receivers may be sent to.
#[pyclass(frozen, module = "taquba._taquba")]
pub struct WebhookRules(UrlRules);

/// Sends deliveries to receivers that the rules take.
#[pyclass(frozen, module = "taquba._taquba")]
pub struct WebhookClient(Client);

/// A delivery under way: aborted when it is dropped.
#[pyclass(frozen, module = "taquba._taquba")]
pub struct WebhookRequest(AbortHandle);

/// How a delivery ended.
pub struct Sent(pub Result<Answer, Failure>);

#[pymethods]
impl WebhookRules {
    #[new]
    #[pyo3(signature = (*, allow_http, ports, allowed_hosts, allow_networks))]
    fn new(
        py: Python<'_>,
        allow_http: bool,
        ports: Vec<u16>,
        allowed_hosts: Option<Vec<Bound<'_, PyAny>>>,
        allow_networks: Vec<Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        enter(py, || {
            let networks = allow_networks.iter().map(network).collect::<PyResult<_>>()?;
            let hosts = allowed_hosts.map(|hosts| hosts.iter().map(host).collect());
            let (hosts, guard) = (hosts.transpose()?, AddressGuard::new(networks));
            Ok(Self(UrlRules { allow_http, ports, hosts, guard }))
        })
    }

    /// Refuse a URL that may not be sent to, as far as its text tells. Returns the host, and scheme,
    /// host and port, each in one form.
    fn check(
        &self,
        py: Python<'_>,
        name: &str,
        url: &Bound<'_, PyAny>,
    ) -> PyResult<(String, String)> {
        enter(py, || {
            let checked = self.0.check(text::read(name, url)?);
            let checked = checked.map(|target| (target.host().to_owned(), target.origin()));
            checked.map_err(|why| error::invalid_argument(py, name, "refused", &why.to_string()))
        })
    }
}

#[pymethods]
impl WebhookClient {
    #[new]
    fn new(py: Python<'_>, rules: &WebhookRules) -> PyResult<Self> {
        enter(py, || {
            let rules = rules.0.clone();
            let made = py.detach(|| Client::new(rules));
            made.map(Self).map_err(|detail| error::to_py(py, &Error::Internal { detail }))
        })
    }

    /// Send a request. Resolves to how it ended, the status, how long the receiver asks to wait, and
    /// what went wrong.
    #[expect(clippy::too_many_arguments, reason = "one per part of a request")]
    fn deliver(
        &self,
        py: Python<'_>,
        port: &Port,
        future: Py<PyAny>,
        url: String,
        headers: Vec<(String, String)>,
        body: &Bound<'_, PyBytes>,
        timeout: Duration,
    ) -> PyResult<WebhookRequest> {
        enter(py, || {
            let request = Request { url, headers, body: payload::to_engine(body), timeout };
            let client = self.0.clone();
            let sending = async move { Ok(Sent(client.deliver(request).await)) };
            Ok(WebhookRequest(port.attend(future, sending)))
        })
    }
}

#[pymethods]
impl WebhookRequest {
    /// Close its connection, if it is under way.
    fn abort(&self) {
        // In a forked child there is no thread to tell, and a lock may be held by one for ever.
        if !has_forked() {
            self.0.abort();
        }
    }
}

impl Drop for WebhookRequest {
    fn drop(&mut self) {
        self.abort();
    }
}

impl calls::Answer for Sent {
    fn into_py(self: Box<Self>, py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        let (end, status, retry_after, detail) = match &self.0 {
            Ok(answer) => ("answered", answer.status, answer.retry_after, String::new()),
            Err(failure) => (end_of(failure), 0, None, failure.to_string()),
        };
        (end, status, retry_after, detail).into_bound_py_any(py)
    }
}

/// Whether it was we who refused, we who did not get to it, or whether it did not work out.
const fn end_of(failure: &Failure) -> &'static str {
    match failure {
        Failure::Url(_) | Failure::Address { .. } | Failure::Header { .. } => "refused",
        Failure::Busy { .. } => "busy",
        Failure::Timeout { .. } | Failure::Transport { .. } => "failed",
    }
}

fn network(given: &Bound<'_, PyAny>) -> PyResult<Network> {
    let read = AddressGuard::parse_network(text::read("allow_networks", given)?);
    read.map_err(|why| refuse("allow_networks", given, &why.to_string()))
}

fn host(given: &Bound<'_, PyAny>) -> PyResult<HostPattern> {
    let read = HostPattern::parse(text::read("allowed_hosts", given)?);
    let remedy = "give hosts such as `example.com`, or `*.example.com` for all names below it";
    read.map_err(|_| refuse("allowed_hosts", given, remedy))
}

fn refuse(name: &str, given: &Bound<'_, PyAny>, remedy: &str) -> PyErr {
    error::invalid_argument(given.py(), name, &text::shown(given), remedy)
}
