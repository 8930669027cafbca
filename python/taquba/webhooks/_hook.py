"""The hook that has the ends of runs delivered.

Invariants:
    1. A delivery exists if and only if the commit does that settles the notification: the hook
       returns it as an effect, and writes nothing itself.
    2. What is wrong with a delivery never keeps a run from being told: it is logged.
"""

import logging
from collections.abc import Iterable
from typing import Final, final

from taquba import _taquba
from taquba._checks import Seconds, check_count, check_instance
from taquba._taquba import RunOutcome
from taquba.exceptions import TaqubaError
from taquba.options import EnqueueOptions, NewJob
from taquba.queue import Effects, Queue
from taquba.webhooks._order import CONTENT_TYPE, MAX_ATTEMPTS, Order, check_key_id, make_job
from taquba.webhooks._rules import PORTS, TIMEOUT, make_rules, read_timeout
from taquba.workflow import RunSpec, TerminalStatus

__all__ = ["WebhookTerminalHook"]

_logger = logging.getLogger("taquba.webhooks")

_ERROR_TYPE: Final = "text/plain; charset=utf-8"


@final
class WebhookTerminalHook:
    """Has the end of each run delivered to the URL that the run names. A hook of `WorkflowRuntime`.

    The delivery is a job on `target_queue`, in the commit that settles the run's notification: it
    is there exactly if the hook was heard. Its body is the run's result or, of a run that failed or
    was cancelled, the text of the error, empty if there is none. A `WebhookWorker` sends it, with
    the HTTP headers `Workflow-Run-Id` and `Workflow-Run-Status`.

    Runs without the header are ignored. A run whose URL is refused is refused when it is submitted
    with this hook; one that comes to its end with such a URL all the same is logged and left.

    Args:
        queue: The open queue of the runtime.
        target_queue: The queue of the deliveries; another one than that of the steps.
        url_header: The run's header that holds the URL.
        timeout: How long one attempt may take, up to 5 minutes.
        max_attempts: Attempts before a delivery is dead-lettered, 1 to 1,000,000.
        content_type: The type of results. Error texts are `text/plain; charset=utf-8`.
        key_id: Which secret of the worker signs; the worker's default if absent.
        statuses: Which ends are delivered; all if absent.
        allow_http: Whether `http` is taken beside `https`.
        allow_networks: Networks that are taken although they are not public, such as `10.1.0.0/16`.
        allowed_hosts: Hosts that are taken, such as `example.com` or `*.example.com`; `None` takes
            all.
        ports: Ports that are taken.

    Raises:
        InvalidQueueNameError: `target_queue` is not a queue name.
        InvalidArgumentError: A value is outside its bounds; the message names both.

    Example:
        >>> hook = WebhookTerminalHook(queue, "webhooks")
        >>> async with WorkflowRuntime(queue, runner, hook) as runtime:
        ...     headers = {"callback_url": "https://example.com/hook"}
        ...     await runtime.submit(RunSpec(b"input", headers=headers))
    """

    def __init__(  # noqa: PLR0913 - keyword arguments are the builder
        self,
        queue: Queue,
        target_queue: str,
        *,
        url_header: str = "callback_url",
        timeout: Seconds = TIMEOUT,
        max_attempts: int = MAX_ATTEMPTS,
        content_type: str = CONTENT_TYPE,
        key_id: str | None = None,
        statuses: Iterable[TerminalStatus] = tuple(TerminalStatus),
        allow_http: bool = False,
        allow_networks: Iterable[str] = (),
        allowed_hosts: Iterable[str] | None = None,
        ports: Iterable[int] = PORTS,
    ) -> None:
        check_instance("queue", queue, Queue)
        _taquba.check_queue_name(target_queue)
        _taquba.check_text("url_header", url_header)
        check_count("max_attempts", max_attempts, _taquba.MAX_ATTEMPTS_MAX)
        check_key_id(key_id)
        check_instance("statuses", statuses, Iterable)
        self._target_queue = target_queue
        self._url_header = url_header
        self._timeout = read_timeout(timeout)
        self._max_attempts = max_attempts
        self._content_type = content_type
        self._key_id = key_id
        kept = list(statuses)
        for status in kept:
            check_instance("statuses", status, TerminalStatus)
        self._statuses = frozenset(kept)
        self._rules = make_rules(
            allow_http=allow_http,
            allow_networks=allow_networks,
            allowed_hosts=allowed_hosts,
            ports=ports,
        )
        Order(url="", content_type=content_type).check()

    def observes(self) -> frozenset[TerminalStatus]:
        """Return which ends are delivered."""
        return self._statuses

    def check_submission(self, spec: RunSpec) -> None:
        """Refuse a run whose URL is refused, before anything is written.

        Args:
            spec: The run.

        Raises:
            InvalidArgumentError: The URL is refused; the message says why. No name is resolved:
                where it leads is found out when it is sent to.
        """
        url = spec.headers.get(self._url_header)
        if url is not None:
            self._rules.check(self._url_header, url)

    async def on_termination(self, outcome: RunOutcome) -> Effects | None:
        """Return the delivery of a run's end, if the run names a URL.

        Args:
            outcome: How the run ended.
        """
        url = outcome.headers.get(self._url_header)
        if url is None or outcome.status not in self._statuses:
            return None
        try:
            return Effects().enqueue_batch(self._target_queue, (self._job(url, outcome),))
        except TaqubaError as error:
            _logger.warning("run %s: its end is not delivered: %s", outcome.run_id, error)
            return None

    def __repr__(self) -> str:
        """Show where deliveries go."""
        return f"WebhookTerminalHook(target_queue={self._target_queue!r})"

    def _job(self, url: str, outcome: RunOutcome) -> NewJob:
        self._rules.check(self._url_header, url)
        if outcome.result is None:
            body, content_type = (outcome.error or "").encode(), _ERROR_TYPE
        else:
            body, content_type = outcome.result, self._content_type
        order = Order(
            url=url,
            run_id=outcome.run_id,
            run_status=str(outcome.status),
            timeout=self._timeout,
            key_id=self._key_id,
            content_type=content_type,
        )
        return make_job(order, body, EnqueueOptions(max_attempts=self._max_attempts))
