"""A two-stage research agent that survives being killed.

Step 0 researches text files, one model call per file. Step 1 writes the report from the notes. Each
step is durable: once step 0 has settled, no process does it again. Within a step each model call is
a memo: once its answer is durable, no process makes that call again.

    python examples/research_agent.py --crash-in-step 0        # kills itself halfway with SIGKILL
    python examples/research_agent.py --crash-after-step 0     # asks the rest, kills itself again
    python examples/research_agent.py                          # a fresh process goes on at step 1

Without an API key the model is an offline extractive summariser. With ``ANTHROPIC_API_KEY``,
``OPENAI_API_KEY`` or ``GEMINI_API_KEY`` set and ``pip install pydantic-ai`` done it is a real LLM.
Every model call leaves a line in ``calls.log`` in the state directory, so that you can count them.
"""

import argparse
import asyncio
import hashlib
import importlib.util
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from extractive_model import LABEL as OFFLINE_LABEL
from extractive_model import summarize

from taquba import OpenOptions, Queue
from taquba.workflow import (
    RunSpec,
    Step,
    StepError,
    StepOutcome,
    TerminalStatus,
    WorkflowRuntime,
)

REPOSITORY = Path(__file__).resolve().parent.parent

# The environment variable that holds a key, and the model that is used with it.
MODEL_BY_KEY = {
    "ANTHROPIC_API_KEY": "anthropic:claude-sonnet-4-5",
    "OPENAI_API_KEY": "openai:gpt-4o-mini",
    "GEMINI_API_KEY": "google-gla:gemini-2.0-flash",
}


@dataclass(frozen=True)
class Model:
    """What turns an instruction and a text into an answer."""

    label: str
    ask: Callable[[str, str], Awaitable[str]]


async def ask_offline(_instruction: str, text: str) -> str:
    """Answers with sentences of the text itself; the instruction is not understood."""
    return "\n".join(f"- {sentence}" for sentence in summarize(text))


def choose_model() -> Model:
    """The LLM whose key is in the environment, else the offline one."""
    key = next((name for name in MODEL_BY_KEY if os.environ.get(name)), None)
    if key is None:
        return Model(OFFLINE_LABEL, ask_offline)
    if importlib.util.find_spec("pydantic_ai") is None:
        print(f"{key} is set, but pydantic-ai is not installed: `pip install pydantic-ai`, or")
        print("unset the key. Going on with the offline extractive model.")
        return Model(OFFLINE_LABEL, ask_offline)

    async def ask_llm(instruction: str, text: str) -> str:
        # pydantic-ai is optional, so it is imported where it is needed.
        from pydantic_ai import Agent  # type: ignore  # noqa: PGH003, PLC0415

        agent = Agent(MODEL_BY_KEY[key], instructions=instruction)
        return str((await agent.run(text)).output)

    return Model(MODEL_BY_KEY[key], ask_llm)


class ResearchAgent:
    """The runner: decides at each step what happens next."""

    def __init__(
        self, state: Path, model: Model, crash_in_step: int | None, crash_after_step: int | None
    ) -> None:
        self.state = state
        self.model = model
        self.crash_in_step = crash_in_step
        self.crash_after_step = crash_after_step

    async def run_step(self, step: Step) -> StepOutcome:
        """Dispatches on the step's number; the payload is what the step before handed over."""
        if self.crash_after_step is not None and step.step_number > self.crash_after_step:
            # This step exists, so the one before it is durable: that is the contract.
            die(f"step {self.crash_after_step} is durable")
        if step.step_number == 0:
            return StepOutcome.Continue(await self.research(step))
        return StepOutcome.Succeed(await self.write_report(step))

    async def research(self, step: Step) -> bytes:
        """Step 0: notes on every file."""
        files = json.loads(step.payload)["files"]
        print(f"step 0: research {len(files)} files with the {self.model.label}")
        notes = []
        for index, file in enumerate(files):
            try:
                text = Path(file).read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                # Trying again would not make the file readable.
                raise StepError.permanent(f"cannot read `{file}`: {error}") from error
            is_known = await step.memo.get(file) is not None
            print(f"  [{index + 1}/{len(files)}] {show(file)}{': known' if is_known else ''}")
            task = "Note the key points of this document."
            notes.append({"file": file, "notes": await self.ask_once(step, file, task, text)})
            if self.crash_in_step == 0 and index == (len(files) - 1) // 2:
                die(f"{index + 1} of {len(files)} answers are durable")
        return json.dumps(notes).encode()

    async def write_report(self, step: Step) -> bytes:
        """Step 1: the report, from the notes alone. The files are not read again."""
        notes = json.loads(step.payload)
        print(f"step 1: write the report from the notes on {len(notes)} files")
        everything = "\n\n".join(entry["notes"] for entry in notes)
        task = "Write an overview of these notes."
        overview = await self.ask_once(step, "overview", task, everything)
        sections = [f"## {show(entry['file'])}\n\n{entry['notes']}" for entry in notes]
        report = "\n\n".join(
            [
                "# Research report",
                f"{len(notes)} documents, summarised by the {self.model.label}.",
                f"## Overview\n\n{overview}",
                *sections,
            ]
        )
        # Written aside and renamed, so that a repeated step leaves the same file behind.
        draft = self.state / "report.md.part"
        draft.write_text(report + "\n", encoding="utf-8")
        draft.replace(self.state / "report.md")
        return report.encode()

    async def ask_once(self, step: Step, subject: str, instruction: str, text: str) -> str:
        """Asks the model, unless its answer to this step is known; it is durable on return."""

        async def ask() -> bytes:
            # Each call leaves a line, so that they can be counted.
            with (self.state / "calls.log").open("a", encoding="utf-8") as log:
                log.write(f"step={step.step_number} subject={subject} pid={os.getpid()}\n")
            return (await self.model.ask(instruction, text)).encode()

        return (await step.memo.get_or_compute(subject, ask)).decode()


def die(why: str) -> None:
    """Kills this process, as the kernel would: nothing is flushed, closed or handed back."""
    print(f"{why}; killing this process with SIGKILL now", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)


def show(file: str) -> str:
    """A file's name as a reader wants it: relative to where they are, if that is shorter."""
    return os.path.relpath(file) if Path(file).is_relative_to(Path.cwd()) else file


def make_run(files: list[Path], model: Model) -> RunSpec:
    """The same contents and model give the same run: starting again resumes it."""
    digest = hashlib.sha256(model.label.encode())
    for file in files:
        digest.update(file.read_bytes())
    payload = json.dumps({"files": [str(file) for file in files]}).encode()
    digest.update(payload)
    return RunSpec(payload, run_id=f"research-{digest.hexdigest()[:16]}")


async def main(arguments: argparse.Namespace) -> int:
    """Submits the run, or finds it where the last process left it, and waits for its end."""
    state = Path(arguments.state).resolve()
    state.mkdir(parents=True, exist_ok=True)
    model = choose_model()
    run = make_run([Path(file).resolve() for file in arguments.files], model)
    agent = ResearchAgent(state, model, arguments.crash_in_step, arguments.crash_after_step)

    async with (
        Queue.open(state / "store", options=OpenOptions(fsync=True)) as queue,
        WorkflowRuntime(queue, agent, run_retention=7 * 86_400) as runtime,
    ):
        handle = await runtime.submit(run)
        if handle.newly_submitted:
            print(f"run {handle.run_id}: submitted")
        else:
            print(f"run {handle.run_id}: found in {show(str(state))}; resuming, not repeating")
        outcome = await handle.outcome()

    print(f"run {outcome.run_id}: {outcome.status} at step {outcome.final_step}")
    if outcome.status is not TerminalStatus.Succeeded:
        print(f"error: {outcome.error}", file=sys.stderr)
        return 1
    print(f"report: {show(str(state / 'report.md'))}\n")
    print((outcome.result or b"").decode())
    return 0


def default_files() -> list[str]:
    """This repository's own documents."""
    documents = [REPOSITORY / "README.md", REPOSITORY / "ARCHITECTURE.md"]
    documents += sorted((REPOSITORY / "docs").glob("**/*.md"))
    return [str(document) for document in documents if document.is_file()]


def parse(words: list[str] | None = None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("files", nargs="*", default=default_files(), help="text files to research")
    parser.add_argument("--state", default=".taquba-demo", help="directory of everything durable")
    parser.add_argument("--crash-in-step", type=int, choices=[0], help="SIGKILL halfway through it")
    parser.add_argument("--crash-after-step", type=int, choices=[0], help="SIGKILL after this step")
    arguments = parser.parse_args(words)
    for file in arguments.files:
        if not Path(file).is_file():
            parser.error(f"`{file}` is not a file")
    return arguments


if __name__ == "__main__":
    sys.exit(asyncio.run(main(parse())))

# Output:
#
# $ python examples/research_agent.py --crash-in-step 0 docs/stores.md docs/durability.md
# run research-f6b38fad9ab522bd: submitted
# step 0: research 2 files with the offline extractive model
#   [1/2] docs/stores.md
# 1 of 2 answers are durable; killing this process with SIGKILL now
# Killed
#
# $ python examples/research_agent.py --crash-after-step 0 docs/stores.md docs/durability.md
# run research-f6b38fad9ab522bd: found in .taquba-demo; resuming, not repeating
# step 0: research 2 files with the offline extractive model
#   [1/2] docs/stores.md: known
#   [2/2] docs/durability.md
# step 0 is durable; killing this process with SIGKILL now
# Killed
#
# $ python examples/research_agent.py docs/stores.md docs/durability.md
# run research-f6b38fad9ab522bd: found in .taquba-demo; resuming, not repeating
# step 1: write the report from the notes on 2 files
# run research-f6b38fad9ab522bd: succeeded at step 1
# report: .taquba-demo/report.md
#
# # Research report
#
# 2 documents, summarised by the offline extractive model.
#
# ## Overview
#
# - Amazon S3, Google Cloud Storage, Azure and a local file system promise that.
# - On Google Cloud Storage the rights are `storage.objects.get`, `list`, `create` and `delete`...
# - Whoever opens the store next finds every acknowledged job and run.
#
# ## docs/stores.md
#
# - The path inside the store is the second argument of `Queue.open` (`"taquba"` unless you say...
# - Amazon S3, Google Cloud Storage, Azure and a local file system promise that.
# - On Google Cloud Storage the rights are `storage.objects.get`, `list`, `create` and `delete`...
#
# ## docs/durability.md
#
# - Whoever opens the store next finds every acknowledged job and run.
# - A request to cancel a claimed job or a running run is written: it holds at the next open.
# - **A reader** shows what is durable, and what needs no commit only later; see [Inspecting](i...
