//! What is at the other end of a line: an engine that owns a store, or a reader that looks at one.
//!
//! Both take the same requests; a reader answers those that change something with an error.

use std::sync::Arc;

use taquba_engine::command::Outlet;
use taquba_engine::engine::{OutletId, Request};
use taquba_engine::{Engine, Reader, Result};

/// A handle on an open store. Clones share it.
#[derive(Clone)]
pub enum Peer {
    /// It owns the store.
    Engine(Engine),
    /// It only reads.
    Reader(Reader),
}

impl Peer {
    /// Registers a consumer.
    pub fn attach(&self, outlet: Arc<dyn Outlet>) -> OutletId {
        match self {
            Self::Engine(engine) => engine.attach(outlet),
            Self::Reader(reader) => reader.attach(outlet),
        }
    }

    /// Ends a consumer.
    pub fn detach(&self, outlet: OutletId) {
        match self {
            Self::Engine(engine) => engine.detach(outlet),
            Self::Reader(reader) => reader.detach(outlet),
        }
    }

    /// Hands over requests, in order. Never blocks and never fails.
    pub fn send(&self, outlet: OutletId, requests: Vec<Request>) {
        match self {
            Self::Engine(engine) => engine.send(outlet, requests),
            Self::Reader(reader) => reader.send(outlet, requests),
        }
    }

    /// Whether waiting work is below its bound.
    pub fn has_room(&self) -> bool {
        match self {
            Self::Engine(engine) => engine.has_room(),
            Self::Reader(_) => true,
        }
    }

    /// Closes the store.
    pub async fn close(&self) -> Result<()> {
        match self {
            Self::Engine(engine) => engine.close().await,
            Self::Reader(reader) => reader.close().await,
        }
    }
}
