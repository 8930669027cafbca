//! Liveness: work gets done, and calls come back.
//!
//! - Once nothing goes wrong any more, all that is due is worked off in time (L2).
//! - A call is answered in time, unless its owner or its consumer has gone; waiting for the end of a run
//!   has no time (L4).

use super::Report;
use super::index::{History, NEVER};
use crate::history::{Op, What};

/// L2.
pub fn drains(history: &History<'_>, report: &mut Report) {
    let profile = history.profile;
    let mut calmed = None;
    for (at, event) in history.events.iter().enumerate() {
        match &event.what {
            What::Stuck { left } => {
                report.add(at, format!("this is left: {left}"));
                calmed = None;
            }
            What::Calmed => calmed = Some(at),
            What::Drained => {
                let Some(calmed) = calmed.take() else { continue };
                let took_ms = event.at_ms - history.at_ms(calmed);
                if took_ms > profile.drain_ms_max + profile.call_ms_max + profile.slack_ms {
                    report.add(at, format!("it took {took_ms} ms to work everything off"));
                }
            }
            What::FoundAll if calmed.take().is_some() => {
                report.add(at, "the work was not done by the end");
            }
            _ => {}
        }
    }
}

/// L4.
pub fn answers(history: &History<'_>, report: &mut Report) {
    let profile = history.profile;
    let end = history.events.len() - 1;
    for call in &history.calls {
        let wait_ms = match call.op {
            Op::AwaitRun { .. } => continue,
            Op::Claim { wait_ms, .. } => wait_ms.unwrap_or(0),
            _ => 0,
        };
        let Some(reign) = history.reigns.get(&call.owner).filter(|_| call.left == NEVER) else {
            continue;
        };
        let until = call.answered.min(reign.over()).min(end);
        let took_ms = history.at_ms(until).saturating_sub(history.at_ms(call.invoked));
        if until > call.invoked && took_ms > profile.call_ms_max + wait_ms + profile.slack_ms {
            let how = if call.answered == until { "answered" } else { "open" };
            report.add(until, format!("a call is {how} after {took_ms} ms"));
        }
    }
}
