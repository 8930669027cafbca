//! Names to addresses, all of them past the guard.
//!
//! # Invariants
//!
//! 1. A name is given up if any of its addresses is refused: which of them would be connected to is
//!    not ours to say.
//! 2. The HTTP client connects to the addresses that are returned here, and to no others; each new
//!    connection asks again. So a name cannot lead elsewhere between the check and the use.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::guard::{AddressGuard, RefusedAddress};
use crate::limits::ADDRESSES_COUNT_MAX;

/// The addresses of a name, when they are known.
pub type Looking = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

/// Finds the addresses of a name.
pub trait Lookup: Send + Sync {
    /// Looks a name up.
    fn lookup(&self, name: &str) -> Looking;
}

/// The machine's own resolver.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemLookup;

impl Lookup for SystemLookup {
    fn lookup(&self, name: &str) -> Looking {
        let name = name.to_owned();
        Box::pin(async move {
            let found = tokio::net::lookup_host((name, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
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
