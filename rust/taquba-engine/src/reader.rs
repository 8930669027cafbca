//! The reader: looks at a store that somebody else owns, without touching it.
//!
//! From outside it is an [`crate::Engine`] that answers questions only. There is no state: every answer is
//! computed from the rows (`reader/answer.rs`, `reader/runs.rs`), as of the last commit before the question.
//!
//! # Invariants
//!
//! 1. Nothing is written to the store, nobody is fenced.
//! 2. An answer shows all that was durable when the question was sent. Questions that wait together
//!    share one look at the store.
//! 3. Answers to one batch of questions are of one instant.
//! 4. Whoever asks is answered, also by a reader that was closed or has failed. A failure of the store
//!    ends the call, not the reader.

mod answer;
mod runs;

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt as _, StreamExt as _};
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};

use crate::clock::SystemClock;
use crate::command::{Command, Delivery, Outlet, Reply, Ticket};
use crate::engine::{OutletId, Request};
use crate::error::{Error, Result};
use crate::log::{SlateReader, Target};

use answer::{Answers, Moment};

/// Questions of one batch that are worked on at once: they mostly wait for the store.
const ANSWERS_MAX: usize = 8;

/// A handle on a store that somebody else owns. Clones share it; it is closed with the last one.
#[derive(Clone)]
pub struct Reader {
    desk: Arc<Desk>,
    calls: mpsc::UnboundedSender<Calls>,
    closing: watch::Sender<bool>,
}

impl Reader {
    /// Opens the database at `path` of a store for reading. Must be called inside a tokio runtime,
    /// which the reader's task then lives on.
    ///
    /// # Errors
    ///
    /// Whatever keeps the store from being used, told within `store_timeout` if it does not answer;
    /// [`Error::StoreNotFound`] if there is no database yet; [`Error::UnsupportedFormat`] and
    /// [`Error::Corrupted`] for what is in it.
    pub async fn open(target: Target, path: &str, store_timeout: Duration) -> Result<Self> {
        let rows = SlateReader::open(&target, path, store_timeout).await?;
        let desk = Arc::new(Desk::new(rows.path().to_owned()));
        let answers = Answers::new(rows, Arc::new(SystemClock::new()));
        if let Err(error) = answers.begin().await {
            // The failure to tell is the first one.
            let _ = answers.close().await;
            return Err(error);
        }
        let (calls, arriving) = mpsc::unbounded_channel();
        let closing = watch::Sender::new(false);
        spawn(Clerk {
            answers,
            desk: Arc::clone(&desk),
            arriving,
            batch: Vec::new(),
            closing: closing.subscribe(),
        });
        Ok(Self { desk, calls, closing })
    }

    /// Registers a consumer: its replies go to `outlet`.
    #[must_use]
    pub fn attach(&self, outlet: Arc<dyn Outlet>) -> OutletId {
        self.desk.attach(outlet)
    }

    /// Ends a consumer: it is told nothing any more.
    pub fn detach(&self, outlet: OutletId) {
        self.desk.outlets.lock().by_id.remove(&outlet);
    }

    /// Hands over questions. Never blocks and never fails: failures are replies.
    pub fn send(&self, outlet: OutletId, requests: Vec<Request>) {
        if let Err(refused) = self.calls.send(Calls { outlet, requests }) {
            self.desk.refuse(&refused.0);
        }
    }

    /// Ends the reader. Questions that wait, and later ones, are answered with [`Error::Closed`].
    /// Closing again does nothing.
    ///
    /// # Errors
    ///
    /// A failure of the storage engine. Nothing can be lost by it.
    pub async fn close(&self) -> Result<()> {
        self.closing.send_replace(true);
        let mut ended = self.desk.ended.subscribe();
        let ended = ended.wait_for(Option::is_some).await.expect("the sender is ours");
        ended.clone().expect("it was waited for")
    }
}

/// Requests of one consumer.
struct Calls {
    outlet: OutletId,
    requests: Vec<Request>,
}

/// One call that wants an answer.
struct Asked<'a> {
    outlet: OutletId,
    ticket: Ticket,
    command: &'a Command,
}

#[derive(Default)]
struct Outlets {
    by_id: BTreeMap<OutletId, Arc<dyn Outlet>>,
    next: OutletId,
}

/// Who asks, and what became of the task that answers.
struct Desk {
    /// What messages call the store.
    path: String,
    outlets: Mutex<Outlets>,
    /// The bug that ended the task, if one did.
    bug: Mutex<Option<Error>>,
    /// What closing has come to.
    ended: watch::Sender<Option<Result<()>>>,
}

impl Desk {
    fn new(path: String) -> Self {
        Self {
            path,
            outlets: Mutex::default(),
            bug: Mutex::default(),
            ended: watch::Sender::default(),
        }
    }

    fn attach(&self, outlet: Arc<dyn Outlet>) -> OutletId {
        let mut outlets = self.outlets.lock();
        outlets.next += 1;
        let id = outlets.next;
        outlets.by_id.insert(id, outlet);
        id
    }

    fn deliver(&self, id: OutletId, deliveries: Vec<Delivery>) {
        let outlet = self.outlets.lock().by_id.get(&id).cloned();
        if let (Some(outlet), false) = (outlet, deliveries.is_empty()) {
            outlet.deliver(deliveries);
        }
    }

    /// Answers calls that nobody works on any more.
    fn refuse(&self, calls: &Calls) {
        let bug = self.bug.lock().clone();
        let error = bug.unwrap_or_else(|| Error::Closed { path: self.path.clone() });
        let tickets = calls.requests.iter().filter_map(|request| request.ticket);
        self.deliver(
            calls.outlet,
            tickets.map(|ticket| reply(ticket, Err(error.clone()))).collect(),
        );
    }

    /// A bug has ended the task: everybody is told.
    fn break_down(&self, error: &Error) {
        *self.bug.lock() = Some(error.clone());
        let outlets: Vec<_> = self.outlets.lock().by_id.values().cloned().collect();
        for outlet in outlets {
            outlet.deliver(vec![Delivery::Broken(error.clone())]);
        }
    }
}

/// The task that answers.
struct Clerk {
    answers: Answers,
    desk: Arc<Desk>,
    arriving: mpsc::UnboundedReceiver<Calls>,
    /// What is worked on.
    batch: Vec<Calls>,
    closing: watch::Receiver<bool>,
}

impl Clerk {
    /// Answers until the reader is closed or nobody has it any more. What is in the batch then is
    /// not answered yet.
    async fn run(&mut self) {
        let mut closing = self.closing.clone();
        loop {
            tokio::select! {
                biased;
                _ = closing.wait_for(|closing| *closing) => return,
                _ = self.arriving.recv_many(&mut self.batch, usize::MAX) => {}
            }
            tokio::select! {
                biased;
                _ = closing.wait_for(|closing| *closing) => return,
                answered = self.answer() => {
                    for (outlet, deliveries) in answered {
                        self.desk.deliver(outlet, deliveries);
                    }
                }
            }
            self.batch.clear();
        }
    }

    /// Works on the batch.
    async fn answer(&self) -> BTreeMap<OutletId, Vec<Delivery>> {
        let asked: Vec<Asked<'_>> = self.batch.iter().flat_map(Calls::asked).collect();
        let begun = if asked.iter().any(|asked| answer::reads_rows(asked.command)) {
            self.answers.begin().await
        } else {
            Ok(Moment::default())
        };
        let work = asked.into_iter().map(|asked| self.answer_one(asked, &begun).boxed());
        let work: Vec<_> = work.collect();
        let mut answers = futures::stream::iter(work).buffered(ANSWERS_MAX);
        let mut deliveries: BTreeMap<OutletId, Vec<Delivery>> = BTreeMap::new();
        while let Some((outlet, delivery)) = answers.next().await {
            deliveries.entry(outlet).or_default().push(delivery);
        }
        deliveries
    }

    async fn answer_one(&self, asked: Asked<'_>, begun: &Result<Moment>) -> (OutletId, Delivery) {
        let result = match begun {
            Ok(moment) => self.answers.answer(asked.command, *moment).await,
            Err(error) => Err(error.clone()),
        };
        (asked.outlet, reply(asked.ticket, result))
    }

    /// Refuses whoever still waits, and closes.
    async fn end(mut self) {
        self.arriving.close();
        while let Some(calls) = self.arriving.recv().await {
            self.batch.push(calls);
        }
        self.batch.iter().for_each(|calls| self.desk.refuse(calls));
        self.desk.ended.send_replace(Some(self.answers.close().await));
    }
}

impl Calls {
    fn asked(&self) -> impl Iterator<Item = Asked<'_>> {
        self.requests.iter().filter_map(|request| {
            let (outlet, command) = (self.outlet, &request.command);
            Some(Asked { outlet, ticket: request.ticket?, command })
        })
    }
}

fn reply(ticket: Ticket, result: Result<Reply>) -> Delivery {
    Delivery::Reply { ticket, result }
}

/// Runs the task to its end; a panic in it is told as a bug.
#[expect(clippy::disallowed_methods, reason = "the reader's one task")]
fn spawn(mut clerk: Clerk) {
    tokio::spawn(async move {
        if let Err(panic) = AssertUnwindSafe(clerk.run()).catch_unwind().await {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            let detail = text.unwrap_or("a panic without text").to_owned();
            clerk.desk.break_down(&Error::Internal { detail });
        }
        clerk.end().await;
    });
}

#[cfg(test)]
mod tests;
