//! A history, taken apart once: calls with their answers, owners with their time, deliveries with what
//! became of them. All checkers read this.
//!
//! # Invariants
//!
//! 1. Places in the history are indexes of events; [`NEVER`] stands for what did not happen, and is
//!    later than everything.
//! 2. What an owner says after its end is not taken in.
//! 3. A bound is on the safe side: what may have happened by some place has not been ruled out.

use std::collections::{BTreeMap, HashMap};

use super::lives::{Births, Life};
use super::runs::RunLife;
use super::values::Keys;
use crate::history::{
    Answer, Claim, End, Event, Got, JobSeen, Op, Owner, Profile, RunSeen, Verdict, What, Work,
};

/// The place of what did not happen.
pub const NEVER: usize = usize::MAX;

/// Whether a call was carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Done,
    Refused,
    Unknown,
}

/// A call and its answer.
#[derive(Debug)]
pub struct Call<'a> {
    pub owner: Owner,
    pub op: &'a Op,
    pub invoked: usize,
    pub answered: usize,
    pub answer: Option<&'a Answer>,
    /// When its consumer went without waiting for the answer.
    pub left: usize,
}

impl<'a> Call<'a> {
    pub fn fate(&self) -> Fate {
        match self.answer {
            Some(Answer::Ok(_)) => Fate::Done,
            Some(Answer::Failed { .. }) => Fate::Refused,
            Some(Answer::Unknown { .. }) | None => Fate::Unknown,
        }
    }

    pub fn got(&self) -> Option<&'a Got> {
        match self.answer {
            Some(Answer::Ok(got)) => Some(got),
            _ => None,
        }
    }

    /// The code of what it was refused with.
    pub fn code(&self) -> Option<&'a str> {
        match self.answer {
            Some(Answer::Failed { code } | Answer::Unknown { code }) => Some(code),
            _ => None,
        }
    }

    pub fn is_done(&self) -> bool {
        self.fate() == Fate::Done
    }

    /// Whether it may have been carried out before this place.
    pub fn may_precede(&self, place: usize) -> bool {
        self.fate() != Fate::Refused && self.invoked < place
    }
}

/// One owner's time.
#[derive(Debug)]
pub struct Reign {
    pub opening: usize,
    pub takeover: bool,
    pub opened: usize,
    pub epoch: u32,
    pub ended: usize,
    pub how: Option<End>,
    /// When the next owner had the store.
    pub superseded: usize,
    /// Whether it was asked to close.
    pub is_closing: bool,
    /// Whether the owner before it ended without a try to close in order.
    pub is_after_crash: bool,
    /// The last call that it was asked and carried out.
    pub last_served: usize,
}

impl Reign {
    /// When it could do nothing any more.
    pub fn over(&self) -> usize {
        self.ended.min(self.superseded)
    }
}

/// A delivery and what became of it.
#[derive(Debug)]
pub struct Delivery<'a> {
    pub at: usize,
    pub owner: Owner,
    pub call: Option<usize>,
    pub claim: &'a Claim,
    /// Its job, in [`History::lives`].
    pub life: usize,
    pub settles: Vec<usize>,
    pub renews: Vec<usize>,
    /// When its consumer went without a word.
    pub left: usize,
    /// Whether its owner had lost the store by then: then nothing is promised of it.
    pub is_zombie: bool,
}

impl<'a> Delivery<'a> {
    /// Of which run it is a step.
    pub fn step(&self) -> Option<(&'a str, u32)> {
        match &self.claim.work {
            Work::Step { run, step } => Some((run, *step)),
            Work::Job | Work::Notification(_) => None,
        }
    }

    pub fn is_plain(&self) -> bool {
        matches!(self.claim.work, Work::Job)
    }
}

/// What was there at one time, all of it.
#[derive(Debug)]
pub struct Snapshot<'a> {
    pub from: usize,
    pub at: usize,
    pub jobs: BTreeMap<&'a str, (usize, &'a JobSeen)>,
    pub payloads: BTreeMap<&'a str, usize>,
    pub runs: BTreeMap<&'a str, (usize, &'a RunSeen)>,
    pub values: BTreeMap<&'a str, (usize, &'a str)>,
    /// Jobs and runs that were told twice.
    pub twice: Vec<(usize, &'a str)>,
    /// Whether the payload of each plain job was told.
    pub has_payloads: bool,
}

/// A history, taken apart.
#[derive(Debug)]
pub struct History<'a> {
    pub events: &'a [Event],
    pub profile: &'a Profile,
    pub reigns: BTreeMap<Owner, Reign>,
    pub calls: Vec<Call<'a>>,
    pub deliveries: Vec<Delivery<'a>>,
    pub tokens: HashMap<&'a str, usize>,
    /// Deliveries whose token had been told before.
    pub repeated_tokens: Vec<usize>,
    pub stops: HashMap<&'a str, usize>,
    /// Where consumers of these owners went without a word.
    pub lefts: Vec<(usize, Owner)>,
    /// Calls that delete dead jobs.
    pub purges: Vec<usize>,
    pub lives: Vec<Life<'a>>,
    pub ids: HashMap<&'a str, usize>,
    pub births: Births<'a>,
    pub runs: BTreeMap<&'a str, RunLife<'a>>,
    pub keys: Keys<'a>,
    pub snapshots: Vec<Snapshot<'a>>,
    /// Whether any delivery answers no call.
    pub has_subscriptions: bool,
    /// Where claims may have come to nothing without anybody noting it.
    upsets: Vec<usize>,
    /// The latest date that the store can have at each event: it follows the latest calendar, and goes
    /// on from there while that is behind.
    dates: Vec<u64>,
}

impl<'a> History<'a> {
    /// Takes a history apart; `None` if it does not say what kind it is.
    pub fn new(events: &'a [Event]) -> Option<Self> {
        let profile = events.iter().find_map(|event| match &event.what {
            What::Profile(profile) => Some(profile),
            _ => None,
        })?;
        let (mut date_ms, mut before_ms) = (0, 0);
        let dates = events.iter().map(|event| {
            let passed_ms = event.at_ms.saturating_sub(before_ms);
            date_ms =
                if date_ms == 0 { event.wall_ms } else { event.wall_ms.max(date_ms + passed_ms) };
            before_ms = event.at_ms;
            date_ms
        });
        let mut history = Self {
            events,
            profile,
            reigns: BTreeMap::new(),
            calls: Vec::new(),
            deliveries: Vec::new(),
            tokens: HashMap::new(),
            repeated_tokens: Vec::new(),
            stops: HashMap::new(),
            lefts: Vec::new(),
            purges: Vec::new(),
            lives: Vec::new(),
            ids: HashMap::new(),
            births: Births::default(),
            runs: BTreeMap::new(),
            keys: Keys::new(),
            snapshots: super::snapshots::of(events),
            has_subscriptions: false,
            upsets: Vec::new(),
            dates: dates.collect(),
        };
        history.take_in();
        history.attribute();
        history.build_runs();
        history.build_lives();
        history.keys = super::values::of(&history);
        Some(history)
    }

    fn take_in(&mut self) {
        let mut numbers: HashMap<u64, usize> = HashMap::new();
        for (at, event) in self.events.iter().enumerate() {
            match &event.what {
                What::Opening { owner, takeover } => self.on_opening(at, *owner, *takeover),
                What::Opened { owner, epoch } => self.on_opened(at, *owner, *epoch),
                What::Ended { owner, how } => {
                    if let Some(reign) = self.reigns.get_mut(owner) {
                        reign.ended = reign.ended.min(at);
                        reign.how = reign.how.or(Some(*how));
                    }
                }
                What::Invoked { owner, call, op } => {
                    numbers.insert(*call, self.calls.len());
                    if matches!(op, Op::PurgeDead { .. }) {
                        self.purges.push(self.calls.len());
                    }
                    let (invoked, answered, left) = (at, NEVER, NEVER);
                    let owner = *owner;
                    if let (Op::Close, Some(reign)) = (op, self.reigns.get_mut(&owner)) {
                        reign.is_closing = true;
                    }
                    self.calls.push(Call { owner, op, invoked, answered, answer: None, left });
                }
                What::Answered { owner, call, answer } if !self.has_ended(*owner) => {
                    if let Some(&call) = numbers.get(call) {
                        self.on_answered(at, call, answer);
                    }
                }
                What::Delivered { owner, call, claim } if !self.has_ended(*owner) => {
                    let call = call.and_then(|call| numbers.get(&call).copied());
                    self.on_delivered(at, *owner, call, claim);
                }
                What::StopRequested { token, .. } => drop(self.stops.insert(token, at)),
                What::Left { owner, tokens, calls } => {
                    self.upsets.push(at);
                    self.lefts.push((at, *owner));
                    for call in calls.iter().filter_map(|call| numbers.get(call)) {
                        self.calls[*call].left = at;
                    }
                    for token in tokens {
                        if let Some(&index) = self.tokens.get(token.as_str()) {
                            self.deliveries[index].left = at;
                        }
                    }
                }
                _ => {}
            }
        }
    }

    fn has_ended(&self, owner: Owner) -> bool {
        self.reigns.get(&owner).is_some_and(|reign| reign.ended != NEVER)
    }

    fn on_opening(&mut self, opening: usize, owner: Owner, takeover: bool) {
        let (opened, ended, superseded) = (NEVER, NEVER, NEVER);
        let reign = Reign {
            opening,
            takeover,
            opened,
            epoch: 0,
            ended,
            how: None,
            superseded,
            is_closing: false,
            is_after_crash: false,
            last_served: 0,
        };
        self.reigns.insert(owner, reign);
    }

    fn on_opened(&mut self, at: usize, owner: Owner, epoch: u32) {
        if !self.reigns.contains_key(&owner) {
            self.on_opening(at, owner, true);
        }
        let mut before: Option<&Reign> = None;
        for (other, reign) in &mut self.reigns {
            if *other == owner || reign.opened == NEVER {
                continue;
            }
            reign.superseded = reign.superseded.min(at);
            if before.is_none_or(|before| before.opened < reign.opened) {
                before = Some(reign);
            }
        }
        // One that failed may have failed at the very end of its close.
        let is_after_crash = before.is_some_and(|before| {
            matches!(before.how, None | Some(End::Crashed)) && !before.is_closing
        });
        self.upsets.push(at);
        let reign = self.reigns.get_mut(&owner).expect("it was put in above");
        (reign.opened, reign.epoch, reign.is_after_crash) = (at, epoch, is_after_crash);
    }

    fn on_answered(&mut self, at: usize, index: usize, answer: &'a Answer) {
        let call = &mut self.calls[index];
        if call.answered != NEVER {
            return;
        }
        (call.answered, call.answer) = (at, Some(answer));
        let is_lost_claim = matches!(call.op, Op::Claim { .. }) && !call.is_done();
        if is_lost_claim {
            self.upsets.push(at);
        } else if call.is_done()
            && let Some(reign) = self.reigns.get_mut(&call.owner)
        {
            reign.last_served = reign.last_served.max(call.invoked);
        }
    }

    fn on_delivered(&mut self, at: usize, owner: Owner, call: Option<usize>, claim: &'a Claim) {
        let index = self.deliveries.len();
        if self.tokens.contains_key(claim.token.as_str()) {
            self.repeated_tokens.push(index);
        } else {
            self.tokens.insert(&claim.token, index);
        }
        self.has_subscriptions |= call.is_none();
        let is_zombie = self.is_zombie(owner, at);
        let life = self.life(&claim.job);
        self.lives[life].deliveries.push(index);
        let (settles, renews) = (Vec::new(), Vec::new());
        let delivery =
            Delivery { at, owner, call, claim, life, settles, renews, left: NEVER, is_zombie };
        self.deliveries.push(delivery);
    }

    /// Gives settlements and renewals to their deliveries.
    fn attribute(&mut self) {
        for (index, call) in self.calls.iter().enumerate() {
            let (Op::Settle { token, .. } | Op::Renew { token, .. }) = call.op else { continue };
            let Some(&delivery) = self.tokens.get(token.as_str()) else { continue };
            let delivery = &mut self.deliveries[delivery];
            match call.op {
                Op::Settle { .. } => delivery.settles.push(index),
                _ => delivery.renews.push(index),
            }
        }
    }

    /// The job with this id, in [`History::lives`].
    pub fn life(&mut self, id: &'a str) -> usize {
        let next = self.lives.len();
        let index = *self.ids.entry(id).or_insert(next);
        if index == next {
            self.lives.push(Life::new(id));
        }
        index
    }

    pub fn at_ms(&self, place: usize) -> u64 {
        self.events[place.min(self.events.len() - 1)].at_ms
    }

    /// Whether an owner had lost the store at that place.
    pub fn is_zombie(&self, owner: Owner, place: usize) -> bool {
        self.reigns.get(&owner).is_some_and(|reign| reign.superseded < place)
    }

    /// Whether a call was answered by an owner that had the store all the time.
    pub fn is_owners(&self, call: &Call<'_>) -> bool {
        call.answered == NEVER || !self.is_zombie(call.owner, call.answered)
    }

    /// By when a call that may have been carried out was.
    pub fn done_by(&self, call: &Call<'_>) -> usize {
        if call.is_done() {
            return call.answered;
        }
        self.reigns.get(&call.owner).map_or(NEVER, |reign| reign.superseded)
    }

    /// Whether a delivery was decided after that place, not only noted after it.
    pub fn is_surely_after(&self, delivery: &Delivery<'_>, place: usize) -> bool {
        if place == NEVER || delivery.at < place {
            return false;
        }
        let is_asked_later = delivery.call.is_some_and(|call| self.calls[call].invoked > place);
        is_asked_later || self.at_ms(delivery.at) > self.at_ms(place) + self.profile.slack_ms
    }

    /// At most how much time has passed between two places, by any clock.
    pub fn elapsed_ms_max(&self, from: usize, until: usize) -> u64 {
        let steady = self.at_ms(until) - self.at_ms(from).min(self.at_ms(until));
        let began = self.events[from].wall_ms;
        let until = until.min(self.events.len() - 1);
        let calendar = if began == 0 { 0 } else { self.dates[until].saturating_sub(began) };
        steady.max(calendar) + self.profile.slack_ms
    }

    /// The latest date that the store can have; `None` if no calendar was noted.
    pub fn date_ms_max(&self, place: usize) -> Option<u64> {
        Some(self.dates[place]).filter(|wall| *wall > 0)
    }

    /// How often a claim may have come to nothing unnoted between two places.
    pub fn upsets_between(&self, from: usize, until: usize) -> usize {
        let before = |place| self.upsets.partition_point(|upset| *upset < place);
        before(until).saturating_sub(before(from))
    }

    /// The place by which so many claims may have come to nothing unnoted.
    pub fn nth_upset(&self, from: usize, count: usize) -> usize {
        let first = self.upsets.partition_point(|upset| *upset < from);
        self.upsets.get(first + count.saturating_sub(1)).copied().unwrap_or(NEVER)
    }

    pub fn verdict(&self, call: usize) -> &'a Verdict {
        match self.calls[call].op {
            Op::Settle { verdict, .. } => verdict,
            _ => unreachable!("only settlements are kept as such"),
        }
    }

    /// Whether a delivery that ends so is the last one of its job, or of its life.
    pub fn is_final(&self, delivery: &Delivery<'_>, call: usize) -> bool {
        match self.verdict(call) {
            Verdict::Unseen | Verdict::Postpone { .. } => false,
            Verdict::Nack { .. } | Verdict::Release => {
                delivery.claim.attempts >= delivery.claim.max_attempts
            }
            _ => true,
        }
    }

    /// The settlement that surely ended a delivery.
    pub fn settled(&self, delivery: &Delivery<'_>) -> Option<usize> {
        delivery.settles.iter().copied().find(|call| self.calls[*call].is_done())
    }
}
