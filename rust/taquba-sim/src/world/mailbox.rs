//! One consumer: its calls, its claims, and the notes of what reaches it.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use taquba_engine::Result;
use taquba_engine::clock::Clock as _;
use taquba_engine::command::{self, Delivery, Outlet, Reply, Ticket};
use tokio::sync::{Notify, oneshot};

use super::wire;
use crate::clock::SimClock;
use crate::history::{Answer, Claim, Got, Op, Owner, What, Work};
use crate::recorder::Recorder;

/// What the payload of a job starts with that kills whoever gets it.
pub const POISON: &str = "poison";

/// Where the engine puts what is for one consumer.
pub struct Mailbox {
    owner: Owner,
    recorder: Arc<Recorder>,
    clock: Arc<SimClock>,
    /// Notified when it gets what kills its process.
    poisoned: Arc<Notify>,
    inside: Mutex<Inside>,
}

#[derive(Default)]
struct Inside {
    /// Calls without an answer.
    calls: BTreeMap<Ticket, Op>,
    /// Deliveries that are not settled.
    held: Vec<Claim>,
    /// Questions that are no part of the history.
    questions: BTreeMap<Ticket, oneshot::Sender<Result<Reply>>>,
    news: Vec<News>,
    is_broken: bool,
    /// What reaches it from now on is nobody's.
    is_gone: bool,
}

/// What a consumer has learnt that others can use.
pub enum News {
    /// There is such a job.
    Job(String),
    /// There is such a run.
    Run(String),
    /// A key held this.
    Value(String, Option<String>),
}

impl Mailbox {
    pub fn new(
        owner: Owner,
        recorder: Arc<Recorder>,
        clock: Arc<SimClock>,
        poisoned: Arc<Notify>,
    ) -> Arc<Self> {
        Arc::new(Self { owner, recorder, clock, poisoned, inside: Mutex::default() })
    }

    /// A call is about to be sent.
    pub fn calls(&self, call: u64, op: Op) {
        let invoked = What::Invoked { owner: self.owner, call, op: op.clone() };
        self.recorder.note(self.clock.wall_ms(), invoked);
        self.inside.lock().calls.insert(call, op);
    }

    /// A question is about to be sent.
    pub fn asks(&self, ticket: Ticket) -> oneshot::Receiver<Result<Reply>> {
        let (answer, answered) = oneshot::channel();
        self.inside.lock().questions.insert(ticket, answer);
        answered
    }

    pub fn held_count(&self) -> usize {
        self.inside.lock().held.len()
    }

    pub fn held(&self, index: usize) -> Claim {
        self.inside.lock().held[index].clone()
    }

    /// Takes a delivery to settle it, or to forget it.
    pub fn take_held(&self, index: usize) -> Claim {
        self.inside.lock().held.swap_remove(index)
    }

    pub fn take_news(&self) -> Vec<News> {
        std::mem::take(&mut self.inside.lock().news)
    }

    pub fn is_broken(&self) -> bool {
        self.inside.lock().is_broken
    }

    /// Its process has ended: nothing that reaches it is noted any more.
    pub fn vanish(&self) {
        let mut inside = self.inside.lock();
        *inside = Inside { is_gone: true, ..Inside::default() };
    }

    /// It goes while its process lives on: its claims, and its calls without an answer.
    pub fn leave(&self) {
        let mut inside = self.inside.lock();
        let gone = std::mem::replace(&mut *inside, Inside { is_gone: true, ..Inside::default() });
        let tokens = gone.held.into_iter().map(|claim| claim.token).collect();
        let calls = gone.calls.into_keys().collect();
        let left = What::Left { owner: self.owner, tokens, calls };
        self.recorder.note(self.clock.wall_ms(), left);
    }

    fn note(&self, what: What) {
        self.recorder.note(self.clock.wall_ms(), what);
    }

    fn on_claims(&self, inside: &mut Inside, call: Option<u64>, claims: &[command::Claim]) {
        for claim in claims.iter().map(wire::claim) {
            self.note(What::Delivered { owner: self.owner, call, claim: claim.clone() });
            if claim.payload.starts_with(POISON) {
                self.poisoned.notify_one();
            }
            inside.news.push(News::Job(claim.job.clone()));
            if let Work::Notification(end) = &claim.work {
                inside.news.push(News::Run(end.run.clone()));
            }
            inside.held.push(claim);
        }
    }

    fn on_reply(&self, inside: &mut Inside, ticket: Ticket, result: Result<Reply>) {
        if let Some(question) = inside.questions.remove(&ticket) {
            // Who asked may have stopped waiting.
            drop(question.send(result));
            return;
        }
        let Some(op) = inside.calls.remove(&ticket) else { return };
        if let Ok(Reply::Claimed(claims)) = &result {
            self.on_claims(inside, Some(ticket), claims);
        }
        let mut answer = wire::answer(result.as_ref());
        // The canceller of a run that has ended is handed the notification.
        if let (Op::CancelRun { .. }, Answer::Ok(Got::Claimed(_))) = (&op, &answer) {
            answer = Answer::Ok(Got::RunCancelled(true));
        }
        learn(&mut inside.news, &op, &answer);
        self.note(What::Answered { owner: self.owner, call: ticket, answer });
    }
}

fn learn(news: &mut Vec<News>, op: &Op, answer: &Answer) {
    let Answer::Ok(got) = answer else { return };
    match (op, got) {
        (_, Got::Enqueued(jobs)) => {
            news.extend(jobs.iter().map(|job| News::Job(job.job.clone())));
        }
        (_, Got::Submitted(runs)) => {
            news.extend(runs.iter().map(|run| News::Run(run.run.clone())));
        }
        (Op::KvGet { key }, Got::Value(value)) | (Op::KvPut { key, value }, Got::Swapped(_)) => {
            news.push(News::Value(key.clone(), value.clone()));
        }
        _ => {}
    }
}

impl Outlet for Mailbox {
    fn deliver(&self, deliveries: Vec<Delivery>) {
        let mut inside = self.inside.lock();
        if inside.is_gone {
            return;
        }
        for delivery in deliveries {
            match delivery {
                Delivery::Reply { ticket, result } => self.on_reply(&mut inside, ticket, result),
                Delivery::Claims { claims, .. } => self.on_claims(&mut inside, None, &claims),
                Delivery::CancelRequested { token } => {
                    let token = wire::token_text(token);
                    self.note(What::StopRequested { owner: self.owner, token });
                }
                Delivery::Broken(_) => inside.is_broken = true,
            }
        }
    }
}
