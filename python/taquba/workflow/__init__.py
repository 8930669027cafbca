"""Durable workflows: runs whose steps a runner decides one by one."""

from taquba._taquba import (
    Cancel,
    Continue,
    ContinueAfter,
    Fail,
    RunOutcome,
    Step,
    StepOutcome,
    Succeed,
)
from taquba.queue import RunPage, RunState, RunStatus
from taquba.workflow._context import StepLogFilter, current_step
from taquba.workflow._errors import StepError
from taquba.workflow._hooks import NoopTerminalHook, TerminalHook
from taquba.workflow._lease import StepLease
from taquba.workflow._run import (
    HEADER_RUN_ID,
    HEADER_STEP,
    RESERVED_HEADER_PREFIX,
    RunHandle,
    RunSpec,
)
from taquba.workflow._runner import StepRunner
from taquba.workflow._runtime import WorkflowRuntime
from taquba.workflow._status import TerminalStatus

__all__ = [
    "HEADER_RUN_ID",
    "HEADER_STEP",
    "RESERVED_HEADER_PREFIX",
    "Cancel",
    "Continue",
    "ContinueAfter",
    "Fail",
    "NoopTerminalHook",
    "RunHandle",
    "RunOutcome",
    "RunPage",
    "RunSpec",
    "RunState",
    "RunStatus",
    "Step",
    "StepError",
    "StepLease",
    "StepLogFilter",
    "StepOutcome",
    "StepRunner",
    "Succeed",
    "TerminalHook",
    "TerminalStatus",
    "WorkflowRuntime",
    "current_step",
]
