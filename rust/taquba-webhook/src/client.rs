//! One delivery: a POST, and what is learned of its answer.
//!
//! # Invariants
//!
//! 1. One request per delivery: no redirect is followed, no proxy of the environment is asked, no
//!    request is sent twice, no cookie is kept.
//! 2. A delivery has a status within its timeout, or fails, whatever the receiver does; reading the
//!    rest of the answer takes [`ANSWER_READ_TIMEOUT`] more at most.
//! 3. Of an answer at most [`ANSWER_BYTES_MAX`] bytes are read, and none is kept.
//! 4. A failure names no more of the URL than the host.

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Response, redirect, retry};

use crate::guard::RefusedAddress;
use crate::limits::{
    ANSWER_BYTES_MAX, ANSWER_READ_TIMEOUT, CONNECT_TIMEOUT, IDLE_COUNT_MAX, IDLE_TIMEOUT,
};
use crate::resolver::{GuardedResolver, Lookup, SystemLookup, Unresolved};
use crate::retry_after;
use crate::rules::{RefusedUrl, UrlRules, printable};

#[cfg(test)]
mod tests;

const USER_AGENT: &str = concat!("taquba/", env!("CARGO_PKG_VERSION"));

/// What is sent, and where to.
pub struct Request {
    /// The receiver, as somebody wrote it: checked again when it is sent to.
    pub url: String,
    /// Names and values of headers, in order.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
    /// How long the whole delivery may take, from the lookup of the name to the answer.
    pub timeout: Duration,
}

/// What a receiver answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// How long it asks to wait.
    pub retry_after: Option<Duration>,
}

/// Why there was no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The URL is refused: trying again cannot help.
    #[error("the URL is refused: {0}")]
    Url(RefusedUrl),
    /// An address of the host is refused: nothing was sent.
    #[error("host `{host}`: {refused}")]
    Address {
        /// The host.
        host: String,
        /// The address.
        refused: RefusedAddress,
    },
    /// A header cannot be sent.
    #[error("the header `{name}` cannot be sent: use visible ASCII characters and spaces")]
    Header {
        /// Its name.
        name: String,
    },
    /// Its name was not looked up: too many others are. The receiver has no part in it.
    #[error("host `{host}` was not looked up: the names of other hosts take too long")]
    Busy {
        /// The host.
        host: String,
    },
    /// It took too long.
    #[error("host `{host}` did not answer within {timeout:?}")]
    Timeout {
        /// The host.
        host: String,
        /// How long it had.
        timeout: Duration,
    },
    /// Resolving, connecting, encrypting or reading failed.
    #[error("host `{host}`: {detail}")]
    Transport {
        /// The host.
        host: String,
        /// What went wrong.
        detail: String,
    },
}

/// Sends deliveries. Clones share connections.
#[derive(Clone)]
pub struct Client {
    rules: Arc<UrlRules>,
    http: reqwest::Client,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("rules", &self.rules).finish_non_exhaustive()
    }
}

impl Client {
    /// A client that resolves names as the machine does.
    ///
    /// # Errors
    ///
    /// If the machine has no certificates to trust; the text says so.
    pub fn new(rules: UrlRules) -> Result<Self, String> {
        Self::with_lookup(rules, Arc::new(SystemLookup::default()))
    }

    /// A client that resolves names otherwise. They pass the guard all the same.
    ///
    /// # Errors
    ///
    /// As for [`Client::new`].
    pub fn with_lookup(rules: UrlRules, lookup: Arc<dyn Lookup>) -> Result<Self, String> {
        let resolver = GuardedResolver::new(lookup, rules.guard.clone());
        let http = reqwest::Client::builder()
            .dns_resolver(Arc::new(resolver))
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .no_proxy()
            .referer(false)
            .user_agent(USER_AGENT)
            // One request per connection at a time: a delivery cannot hold up another one.
            .http1_only()
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(IDLE_COUNT_MAX)
            .build()
            .map_err(|failed| detail_of(&failed))?;
        Ok(Self { rules: Arc::new(rules), http })
    }

    /// What URLs have to be like.
    pub fn rules(&self) -> &UrlRules {
        &self.rules
    }

    /// Sends a request and waits for the status of its answer.
    ///
    /// Dropping the future closes the connection, if it is under way.
    ///
    /// # Errors
    ///
    /// [`Failure`] says why there is no status.
    pub async fn deliver(&self, request: Request) -> Result<Answer, Failure> {
        let Request { url, headers, body, timeout } = request;
        let target = self.rules.check(&url).map_err(Failure::Url)?;
        let headers = header_map(headers)?;
        let sending = self.http.post(target.url().clone()).headers(headers).body(body).send();
        let host = target.host().to_owned();
        match tokio::time::timeout(timeout, sending).await {
            Ok(Ok(response)) => Ok(read(response).await),
            Ok(Err(failed)) => Err(failure(host, timeout, failed)),
            Err(_) => Err(Failure::Timeout { host, timeout }),
        }
    }
}

/// What an error of the HTTP client means.
fn failure(host: String, timeout: Duration, failed: reqwest::Error) -> Failure {
    if failed.is_builder() {
        // No other attempt would get further.
        return Failure::Url(RefusedUrl::Syntax { reason: "no request can be sent to it" });
    }
    if failed.is_timeout() {
        return Failure::Timeout { host, timeout: timeout.min(CONNECT_TIMEOUT) };
    }
    let unresolved = causes(&failed).find_map(|cause| cause.downcast_ref::<Unresolved>());
    match unresolved {
        Some(Unresolved::Refused(refused)) => Failure::Address { host, refused: refused.clone() },
        Some(Unresolved::Failed(why)) if why.kind() == io::ErrorKind::ResourceBusy => {
            Failure::Busy { host }
        }
        // The URL may hold a secret.
        _ => Failure::Transport { host, detail: detail_of(&failed.without_url()) },
    }
}

/// Takes what counts of an answer, and reads a bounded rest, so that the connection can be used again.
async fn read(mut response: Response) -> Answer {
    let answer = Answer {
        status: response.status().as_u16(),
        retry_after: retry_after::read(response.headers()),
    };
    let rest = async {
        let mut read_bytes = 0;
        while let Ok(Some(chunk)) = response.chunk().await {
            read_bytes += chunk.len();
            if read_bytes >= ANSWER_BYTES_MAX {
                break;
            }
        }
    };
    // Whatever comes of it: the receiver has answered.
    let _ = tokio::time::timeout(ANSWER_READ_TIMEOUT, rest).await;
    answer
}

fn header_map(headers: Vec<(String, String)>) -> Result<HeaderMap, Failure> {
    let mut map = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers {
        let pair = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(&value));
        // Other bytes are allowed on the wire, and receivers disagree about what they mean.
        let ((Ok(key), Ok(mut value)), true) = (pair, value.is_ascii()) else {
            return Err(Failure::Header { name: printable(&name).into_owned() });
        };
        value.set_sensitive(true);
        map.append(key, value);
    }
    Ok(map)
}

/// An error and what it came of, in one line.
fn detail_of(failed: &reqwest::Error) -> String {
    let mut parts: Vec<String> = Vec::new();
    for cause in std::iter::once(failed as &(dyn Error + 'static)).chain(causes(failed)) {
        let text = cause.to_string();
        if parts.last().is_none_or(|last| !last.contains(&text)) {
            parts.push(text);
        }
    }
    printable(&parts.join(": ")).into_owned()
}

fn causes<'a>(failed: &'a reqwest::Error) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(failed.source(), |cause| (**cause).source())
}
