//! Runs, looked at: where one is, and which ones are asked for.

use super::{JobState, TerminalStatus};
use crate::ids::{JobId, QueueName, RunId};
use crate::record::Headers;

/// Where a run is in its life, as users see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RunState {
    /// Its step can be claimed.
    Pending,
    /// Its step waits for its time, or for a retry.
    Scheduled,
    /// Its step is being delivered.
    Running,
    /// Its step is being delivered, and the run ends with it.
    Cancelling,
    /// It has produced its result.
    Succeeded,
    /// It has given up.
    Failed,
    /// It was stopped.
    Cancelled,
}

impl RunState {
    /// All of them, in the order of a run's life.
    pub const ALL: [Self; 7] = [
        Self::Pending,
        Self::Scheduled,
        Self::Running,
        Self::Cancelling,
        Self::Succeeded,
        Self::Failed,
        Self::Cancelled,
    ];

    /// The stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Scheduled => "scheduled",
            Self::Running => "running",
            Self::Cancelling => "cancelling",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// The state of a live run whose step is in this one.
    ///
    /// # Panics
    ///
    /// A step that is done or dead has ended its run.
    #[must_use]
    pub fn of_step(step: JobState, is_cancel_requested: bool) -> Self {
        match step {
            JobState::Pending | JobState::Scheduled | JobState::Claimed if is_cancel_requested => {
                Self::Cancelling
            }
            JobState::Pending => Self::Pending,
            JobState::Scheduled => Self::Scheduled,
            JobState::Claimed => Self::Running,
            JobState::Done | JobState::Dead => unreachable!("the step of a live run is live"),
        }
    }
}

impl From<TerminalStatus> for RunState {
    fn from(status: TerminalStatus) -> Self {
        match status {
            TerminalStatus::Succeeded => Self::Succeeded,
            TerminalStatus::Failed => Self::Failed,
            TerminalStatus::Cancelled => Self::Cancelled,
        }
    }
}

/// A set of states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunStates(u8);

impl RunStates {
    /// Every state.
    pub const ALL: Self = Self(0x7F);

    /// Whether it has this state.
    #[must_use]
    pub const fn contains(self, state: RunState) -> bool {
        self.0 & (1 << state as u8) != 0
    }
}

impl FromIterator<RunState> for RunStates {
    fn from_iter<I: IntoIterator<Item = RunState>>(states: I) -> Self {
        Self(states.into_iter().fold(0, |set, state| set | 1 << state as u8))
    }
}

/// A set of ways in which a run may end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TerminalStatuses(u8);

impl TerminalStatuses {
    /// None of them.
    pub const NONE: Self = Self(0);
    /// Every way.
    pub const ALL: Self = Self(0b111);

    /// Whether it has this one.
    #[must_use]
    pub const fn contains(self, status: TerminalStatus) -> bool {
        self.0 & (1 << status as u8) != 0
    }

    /// What is in either.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The stored form.
    pub(crate) const fn bits(self) -> u8 {
        self.0
    }

    /// Reads the stored form; `None` if it names ways that there are not.
    pub(crate) const fn from_bits(bits: u8) -> Option<Self> {
        if bits & !Self::ALL.0 == 0 { Some(Self(bits)) } else { None }
    }
}

impl FromIterator<TerminalStatus> for TerminalStatuses {
    fn from_iter<I: IntoIterator<Item = TerminalStatus>>(statuses: I) -> Self {
        Self(statuses.into_iter().fold(0, |set, status| set | 1 << status as u8))
    }
}

/// Which runs are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunFilter {
    /// Only those whose steps are in this queue.
    pub queue: Option<QueueName>,
    /// Only those in one of these states.
    pub states: RunStates,
    /// Only those whose id starts with this.
    pub id_prefix: Option<String>,
}

impl RunFilter {
    /// Whether an id starts as asked.
    #[must_use]
    pub fn takes_id(&self, run_id: &RunId) -> bool {
        self.id_prefix.as_deref().is_none_or(|prefix| run_id.as_str().starts_with(prefix))
    }
}

/// One run, looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunInfo {
    /// Its id.
    pub run_id: RunId,
    /// The queue of its steps.
    pub queue: QueueName,
    /// Where it is in its life.
    pub state: RunState,
    /// Its present step, or the one that ended it.
    pub step_number: u32,
    /// Deliveries of that step so far.
    pub attempts: u32,
    /// When it was submitted.
    pub submitted_at_ms: u64,
    /// The submission's headers.
    pub headers: Headers,
    /// What is known of a live run only.
    pub live: Option<LiveStep>,
    /// When it ended.
    pub ended_at_ms: Option<u64>,
    /// Why, unless it succeeded.
    pub error: Option<Box<str>>,
    /// Its latest steps, oldest first, at most [`crate::limits::STEPS_KEPT_MAX`] and the present one.
    pub steps: Vec<StepInfo>,
}

/// One step of a run, looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepInfo {
    /// The job that carried it.
    pub job_id: JobId,
    /// When it came into being.
    pub ready_at_ms: u64,
    /// When its first delivery began, if that is known.
    pub started_at_ms: Option<u64>,
    /// When it ended.
    pub ended_at_ms: Option<u64>,
    /// Deliveries of it.
    pub attempts: u32,
    /// Why its last delivery that failed did so.
    pub error: Option<Box<str>>,
}

/// The present step of a live run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveStep {
    /// The job that carries it.
    pub job_id: JobId,
    /// Deliveries before it is dead-lettered.
    pub max_attempts: u32,
    /// Lower is claimed first.
    pub priority: u32,
    /// Not claimable before; `None` for at once.
    pub run_at_ms: Option<u64>,
    /// When the delivery under way began.
    pub started_at_ms: Option<u64>,
    /// Why its last delivery failed.
    pub last_error: Option<Box<str>>,
}

/// A page of runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunPage {
    /// The latest submission first.
    pub runs: Vec<RunInfo>,
    /// Where the next page begins; `None` if this is the last one.
    pub next: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_what_was_put_in_and_nothing_else() {
        for one in RunState::ALL {
            let set: RunStates = [one].into_iter().collect();
            for other in RunState::ALL {
                assert_eq!(set.contains(other), one == other);
            }
            assert!(RunStates::ALL.contains(one));
        }
        let set: TerminalStatuses = [TerminalStatus::Failed].into_iter().collect();
        assert!(set.contains(TerminalStatus::Failed));
        assert!(!set.contains(TerminalStatus::Succeeded));
        assert_eq!(TerminalStatuses::from_bits(set.bits()), Some(set));
        assert_eq!(TerminalStatuses::from_bits(8), None);
    }
}
