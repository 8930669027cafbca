//! What a settlement does besides ending its delivery, in the same commit.

use super::enqueue::check_job;
use super::kv::check_value;
use super::{Effects, State};
use crate::clock::Now;
use crate::command::Effect;
use crate::error::{Error, Result};
use crate::limits::EFFECTS_COUNT_MAX;

impl State {
    /// Refuses effects that could not all happen. Creates the queues they name: a queue without
    /// jobs is nothing that anybody sees.
    pub(super) fn check_effects(&mut self, effects: &[Effect]) -> Result<()> {
        let size = |effect: &Effect| match effect {
            Effect::Enqueue { jobs, .. } => jobs.len(),
            Effect::Kv { .. } => 1,
        };
        let count: usize = effects.iter().map(size).sum();
        if count > EFFECTS_COUNT_MAX {
            return Err(Error::TooManyEffects { count });
        }
        for effect in effects {
            match effect {
                Effect::Enqueue { queue, jobs } => {
                    jobs.iter().try_for_each(check_job)?;
                    self.queue_index(queue)?;
                }
                Effect::Kv { value, .. } => check_value(value.as_ref())?,
            }
        }
        Ok(())
    }

    /// Carries out effects that were checked.
    pub(super) fn apply_effects(&mut self, effects: Vec<Effect>, now: Now, fx: &mut Effects) {
        for effect in effects {
            match effect {
                Effect::Enqueue { queue, jobs } => {
                    let queue = self.queues.find(&queue).expect("created when it was checked");
                    for job in jobs {
                        self.enqueue_one(queue, job, now, fx);
                    }
                }
                Effect::Kv { key, value } => self.put_value(key, value),
            }
        }
    }
}

/// Effects that will not happen: what was uploaded for them is not needed.
pub(super) fn disown_effects(effects: &[Effect], fx: &mut Effects) {
    for effect in effects {
        if let Effect::Enqueue { jobs, .. } = effect {
            for job in jobs {
                fx.disown(&job.payload);
            }
        }
    }
}
