//! Names to addresses, all of them past the guard.
//!
//! # Invariants
//!
//! 1. A name is given up if any of its addresses is refused: which of them would be connected to is
//!    not ours to say.
//! 2. The HTTP client connects to the addresses that are returned here, and to no others; each new
//!    connection asks again. So a name cannot lead elsewhere between the check and the use.
//! 3. At most [`LOOKUPS_COUNT_MAX`] threads of the process look names up. A thread cannot be taken
//!    back from a lookup that nobody waits for any more, so its place is free when it returns.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::sync::Semaphore;

use crate::guard::{AddressGuard, RefusedAddress};
use crate::limits::{ADDRESSES_COUNT_MAX, LOOKUP_WAIT_TIMEOUT, LOOKUPS_COUNT_MAX};

#[cfg(test)]
mod tests;

/// Of the process, as the threads are: clients come and go.
static PLACES: LazyLock<Arc<Semaphore>> =
    LazyLock::new(|| Arc::new(Semaphore::new(LOOKUPS_COUNT_MAX)));

/// The addresses of a name, when they are known.
pub type Looking = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

/// Finds the addresses of a name.
pub trait Lookup: Send + Sync {
    /// Looks a name up. Fails as [`io::ErrorKind::ResourceBusy`] if that did not even begin.
    fn lookup(&self, name: &str) -> Looking;
}

/// Finds the addresses of a name, and holds up the thread meanwhile.
type Ask = dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync;

/// The machine's own resolver, asked on a bounded number of threads.
#[derive(Clone)]
pub struct SystemLookup {
    places: Arc<Semaphore>,
    wait_max: Duration,
    ask: Arc<Ask>,
}

impl fmt::Debug for SystemLookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SystemLookup").field("places", &self.places).finish_non_exhaustive()
    }
}

impl Default for SystemLookup {
    fn default() -> Self {
        let (places, ask) = (Arc::clone(&PLACES), Arc::new(ask_system));
        Self { places, wait_max: LOOKUP_WAIT_TIMEOUT, ask }
    }
}

impl Lookup for SystemLookup {
    fn lookup(&self, name: &str) -> Looking {
        let Self { places, wait_max, ask } = self.clone();
        let name = name.to_owned();
        Box::pin(async move {
            let waiting = tokio::time::timeout(wait_max, places.acquire_owned());
            let place = waiting.await.map_err(|_| io::Error::from(io::ErrorKind::ResourceBusy))?;
            let place = place.map_err(io::Error::other)?;
            let work = move || {
                let found = ask(&name);
                // Not a moment earlier, even if nobody waits for what was found.
                drop(place);
                found
            };
            #[expect(clippy::disallowed_methods, reason = "owned by its place: there are few")]
            let found = tokio::task::spawn_blocking(work).await;
            found.map_err(io::Error::other)?
        })
    }
}

fn ask_system(name: &str) -> io::Result<Vec<IpAddr>> {
    Ok((name, 0).to_socket_addrs()?.map(|address| address.ip()).collect())
}

/// Why a name gives no address to connect to.
#[derive(Debug, thiserror::Error)]
pub enum Unresolved {
    /// One of its addresses is refused.
    #[error(transparent)]
    Refused(#[from] RefusedAddress),
    /// It has none.
    #[error("the name has no address")]
    Empty,
    /// It has more than are looked at.
    #[error("the name has {count} addresses, the limit is {ADDRESSES_COUNT_MAX}")]
    TooMany {
        /// How many.
        count: usize,
    },
    /// The lookup failed.
    #[error("the name was not resolved")]
    Failed(#[from] io::Error),
}

/// A resolver for the HTTP client.
pub struct GuardedResolver {
    lookup: Arc<dyn Lookup>,
    guard: Arc<AddressGuard>,
}

impl GuardedResolver {
    /// Puts the guard behind a lookup.
    pub fn new(lookup: Arc<dyn Lookup>, guard: AddressGuard) -> Self {
        Self { lookup, guard: Arc::new(guard) }
    }
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (looking, guard) = (self.lookup.lookup(name.as_str()), Arc::clone(&self.guard));
        Box::pin(async move {
            let addresses = checked(looking.await.map_err(Unresolved::from)?, &guard)?;
            // The client replaces port 0 by the URL's.
            let sockets = addresses.into_iter().map(|address| SocketAddr::new(address, 0));
            Ok(Box::new(sockets) as Addrs)
        })
    }
}

fn checked(addresses: Vec<IpAddr>, guard: &AddressGuard) -> Result<Vec<IpAddr>, Unresolved> {
    if addresses.is_empty() {
        return Err(Unresolved::Empty);
    }
    if addresses.len() > ADDRESSES_COUNT_MAX {
        return Err(Unresolved::TooMany { count: addresses.len() });
    }
    for address in &addresses {
        guard.check(*address)?;
    }
    Ok(addresses)
}
