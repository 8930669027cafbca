//! Settlements and writes: what they are made of, and whose deliveries they may be about.
//!
//! # Invariants
//!
//! 1. Only what the store of this port delivered is settled here.

use pyo3::prelude::*;
use pyo3::types::PyBytes;
use taquba_engine::command::{Command, Expected, Verdict};
use taquba_engine::ids::ClaimToken;

use super::Port;
use crate::claim::Claim;
use crate::delivered::Delivered;
use crate::effect::EffectArguments;
use crate::line::Line;
use crate::memo::MemoScope;
use crate::name::KeyArgument;
use crate::notification::Notification;
use crate::runtime::enter;
use crate::step::Step;
use crate::{effect, error, payload};

/// Something that can be settled.
#[derive(FromPyObject)]
pub(super) enum Settleable<'py> {
    Step(Bound<'py, Step>),
    Claim(Bound<'py, Claim>),
    Notification(Bound<'py, Notification>),
}

impl Settleable<'_> {
    fn delivered(&self) -> &Delivered {
        match self {
            Self::Step(step) => step.get().delivered(),
            Self::Claim(claim) => claim.get().delivered(),
            Self::Notification(notification) => notification.get().delivered(),
        }
    }
}

/// Something whose lease can be prolonged.
#[derive(FromPyObject)]
pub(super) enum Renewable<'py> {
    Claim(Bound<'py, Claim>),
    Scope(Bound<'py, MemoScope>),
}

impl Port {
    pub(super) fn settle(
        &self,
        py: Python<'_>,
        future: Option<Py<PyAny>>,
        work: &Settleable<'_>,
        verdict: Verdict,
        effects: Option<Vec<EffectArguments<'_>>>,
    ) -> PyResult<bool> {
        enter(py, || {
            let delivered = self.ours(py, work.delivered())?;
            let effects = effect::all(py, &effects.unwrap_or_default())?;
            let command = delivered.settle(verdict, effects);
            Ok(match future {
                Some(future) => self.call(future, command),
                None => self.push(None, command),
            })
        })
    }

    /// The token of what can be renewed, if it is one of ours.
    pub(super) fn renewable(&self, py: Python<'_>, work: &Renewable<'_>) -> PyResult<ClaimToken> {
        match work {
            Renewable::Claim(claim) => Ok(self.ours(py, claim.get().delivered())?.claim().token),
            // Made by the store that this port leads to, for a step of that store.
            Renewable::Scope(scope) => Ok(scope.get().token()),
        }
    }

    /// Refuses what another open store delivered: its token may be one of ours by chance.
    pub(super) fn ours<'a>(
        &self,
        py: Python<'_>,
        delivered: &'a Delivered,
    ) -> PyResult<&'a Delivered> {
        if self.line.is_beside(delivered.line()) {
            return Ok(delivered);
        }
        let place = |line: &Line| line.opened().map(|opened| opened.place().clone());
        let (here, there) = (place(&self.line), place(delivered.line()));
        if here == there {
            // An earlier opening of the same store: what it gave ended with it.
            return Err(error::to_py(py, &delivered.claim_lost()));
        }
        let path = there.map_or_else(|| "unknown".to_owned(), |there| there.path);
        let given = format!("of another queue, at `{path}`");
        let remedy = "settle it with the queue that it was claimed from";
        Err(error::invalid_argument(py, "claim", &given, remedy))
    }

    pub(super) fn write(
        &self,
        future: Py<PyAny>,
        key: KeyArgument,
        expected: Expected,
        value: Option<Bound<'_, PyBytes>>,
    ) -> bool {
        let value = value.as_ref().map(payload::to_engine);
        self.call(future, Command::KvWrite { key: key.0, expected, value })
    }
}
