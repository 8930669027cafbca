"""Bugs that were once made, or nearly: each is planted in a copy of the source, and must be found.

A bug is a change of a few lines, behind a switch that only the copy has. The text that it replaces
must be there exactly once: a bug that does not fit the source any more fails loudly.
"""

from dataclasses import dataclass

ENGINE = "rust/taquba-engine/src"
WEBHOOK = "rust/taquba-webhook/src"


@dataclass(frozen=True)
class Bug:
    """A bug: where it goes, and which lane has to find it."""

    number: int
    name: str
    lane: str
    path: str
    old: str
    new: str


BUGS = [
    Bug(
        1,
        "an answer leaves before its commit is durable",
        "lane-a",
        f"{ENGINE}/engine/turn.rs",
        "Release::Durable => self.hold_or_release(Held::Reply(origin, result)),",
        "Release::Durable if crate::planted::is(1) => self.reply(origin, result),\n"
        "                Release::Durable => self.hold_or_release(Held::Reply(origin, result)),",
    ),
    Bug(
        2,
        "a duplicate is answered before what it names is durable",
        "lane-a",
        f"{ENGINE}/state/mod.rs",
        "                fx.promise(origin, enqueued);",
        "                let is_old = |job: &crate::command::Enqueued| !job.is_new;\n"
        "                match enqueued {\n"
        "                    Ok(Reply::Enqueued(jobs))\n"
        "                        if crate::planted::is(2) && jobs.iter().all(is_old) =>\n"
        "                    {\n"
        "                        fx.answer(origin, Ok(Reply::Enqueued(jobs)));\n"
        "                    }\n"
        "                    enqueued => fx.promise(origin, enqueued),\n"
        "                }",
    ),
    Bug(
        3,
        "a job that kills its process soon never uses up its attempts",
        "lane-a",
        f"{ENGINE}/state/recover.rs",
        "entry.is_suspect = !self.was_clean;",
        "entry.is_suspect = !self.was_clean && !crate::planted::is(3);",
    ),
    Bug(
        4,
        "a clock that was set back keeps the store from being written",
        "lane-b",
        f"{ENGINE}/log/slate.rs",
        "clock.raise_to(latest_instant(&db, &name).await?);",
        "if !crate::planted::is(4) {\n"
        "            clock.raise_to(latest_instant(&db, &name).await?);\n"
        "        }",
    ),
    Bug(
        5,
        "a conflict that is none is taken for a fence",
        "lane-b",
        f"{ENGINE}/log/guard.rs",
        "if !refused || self.is_there(location).await? {",
        "if crate::planted::is(5) || !refused || self.is_there(location).await? {",
    ),
    Bug(
        6,
        "requests without the right to them are tried again and again",
        "hostile",
        f"{ENGINE}/log/finality.rs",
        "    let cause = match &error {",
        "    let cause = match &error {\n        _ if crate::planted::is(6) => return error,",
    ),
    Bug(
        8,
        "a consumer that goes leaves what it enqueued stranded",
        "lane-a",
        f"{ENGINE}/state/claim.rs",
        "        let mine = |s: &Subscription| s.outlet == outlet;\n        self.leave(outlet);",
        "        let mine = |s: &Subscription| s.outlet == outlet;\n"
        "        if crate::planted::is(8) {\n"
        "            self.activations.retain(|(_, after)| !matches!(after, Activation::Job(_)));\n"
        "        }\n"
        "        self.leave(outlet);",
    ),
    Bug(
        9,
        "a cancelled run succeeds",
        "lane-a",
        f"{ENGINE}/state/settle.rs",
        "if self.settle_cancelled(&lease, &verdict, now, fx) {",
        "if !crate::planted::is(9) && self.settle_cancelled(&lease, &verdict, now, fx) {",
    ),
    Bug(
        10,
        "a run that ends by dead-lettering tells no hook",
        "lane-a",
        f"{ENGINE}/state/run.rs",
        "let is_observed = self.end_run(row, run_id, ended, now, fx);",
        "let is_observed = self.end_run(row, run_id, ended, now, fx) && !crate::planted::is(10);",
    ),
    Bug(
        11,
        "one damaged record hides all that come after it",
        "lane-a",
        f"{ENGINE}/state/recover.rs",
        "    pub fn add(&mut self, key: Bytes, value: Bytes) {",
        "    pub fn add(&mut self, key: Bytes, value: Bytes) {\n"
        "        if crate::planted::is(11) && !self.damaged.is_empty() {\n"
        "            return;\n"
        "        }",
    ),
    Bug(
        12,
        "a commit that may have arrived has its payload objects deleted",
        "lane-a",
        f"{ENGINE}/engine/turn.rs",
        "Woken::Committed(Err(error)) => return self.end(&error),",
        "Woken::Committed(Err(error)) => {\n"
        "                    if crate::planted::is(12) {\n"
        "                        for name in self.log.list_payloads().await.unwrap_or_default() {\n"
        "                            drop(self.log.delete_payload(name).await);\n"
        "                        }\n"
        "                    }\n"
        "                    return self.end(&error);\n"
        "                }",
    ),
    Bug(
        13,
        "a run's id can leave its prefix",
        "hostile",
        f"{ENGINE}/ids.rs",
        "let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');",
        "let valid = |c: char| {\n"
        "            c.is_ascii_alphanumeric()\n"
        "                || matches!(c, '_' | '-')\n"
        "                || crate::planted::is(13) && matches!(c, '/' | '.')\n"
        "        };",
    ),
    Bug(
        14,
        "a webhook reaches a cloud's host service",
        "hostile",
        f"{WEBHOOK}/guard.rs",
        "refused.find(|Refused(network, _)| network.contains(&address))"
        ".map(|Refused(_, why)| *why)",
        "let refused = refused.find(|Refused(network, _)| {\n"
        "        network.contains(&address)\n"
        "            && !(crate::planted::is(14) && network.prefix_len() == 32)\n"
        "    });\n"
        "    refused.map(|Refused(_, why)| *why)",
    ),
]
