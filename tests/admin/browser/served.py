"""Apps that are served to a browser: one thread has the event loop, the queue and the servers.

A browser is driven by calls that block, so what it talks to lives in a thread of its own.
"""

import asyncio
import contextlib
import socket
import threading
from collections.abc import AsyncIterator, Coroutine
from types import TracebackType
from typing import Any, Self, TypeVar, final

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount

from taquba import QueueReader
from taquba.admin import create_app
from taquba.testing import open_queue
from tests.admin.browser.hostile import hostile_queue
from tests.admin.browser.scenario import Afternoon, afternoon

T = TypeVar("T")

TOKEN = "open-sesame-" + "0" * 32
PREFIX = "/ops/queues"
LONG_QUEUE = "long"
LONG_COUNT = 120
START_SECONDS_MAX = 30
CALL_SECONDS_MAX = 20


@final
class Served:
    """The scenario, and addresses at which it is looked at in several ways.

    Attributes:
        owner: With actions and payloads.
        reader: In another process, as it were: read-only.
        locked: With a token.
        mounted: Below a prefix.
        hostile: A store with hostile texts, with actions and payloads.
        empty: A store with nothing in it.
        loop: Where all of it lives.
        long: A store with a queue of `LONG_COUNT` jobs.
    """

    def __init__(self) -> None:
        self.scene: Afternoon
        self.owner = self.reader = self.locked = self.mounted = self.hostile = ""
        self.empty = self.long = ""
        self.loop: asyncio.AbstractEventLoop
        self._stop: asyncio.Event
        self._is_up = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="served")

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._is_up.wait(START_SECONDS_MAX), "the servers do not start"
        if self._error is not None:
            raise self._error
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(START_SECONDS_MAX)
        assert not self._thread.is_alive(), "the servers do not stop"

    def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run something where the queue is."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(CALL_SECONDS_MAX)

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except BaseException as error:  # noqa: BLE001 - told to who started it
            self._error = error
        finally:
            self._is_up.set()

    async def _main(self) -> None:
        self.loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        async with afternoon() as self.scene, contextlib.AsyncExitStack() as stack:
            enter = stack.enter_async_context
            queue = self.scene.queue
            reader = await enter(QueueReader.open(self.scene.store))
            hostile, submits = await enter(hostile_queue())
            empty = await enter(open_queue())
            own = create_app(queue, runtimes=[self.scene.runtime], show_payloads=True)
            mounted = Starlette(routes=[Mount(PREFIX, create_app(queue))])
            self.owner = await enter(serving(own))
            self.reader = await enter(serving(create_app(reader)))
            self.locked = await enter(serving(create_app(queue, token=TOKEN)))
            self.mounted = await enter(serving(mounted)) + PREFIX.removeprefix("/")
            shown = create_app(hostile, runtimes=[submits], show_payloads=True)
            self.hostile = await enter(serving(shown))
            self.empty = await enter(serving(create_app(empty)))
            long = await enter(open_queue())
            await long.enqueue_batch(LONG_QUEUE, [b""] * LONG_COUNT)
            self.long = await enter(serving(create_app(long)))
            self._is_up.set()
            await self._stop.wait()


@contextlib.asynccontextmanager
async def serving(app: Starlette) -> AsyncIterator[str]:
    """Serve an app on a free port of this machine, and yield its address."""
    config = uvicorn.Config(
        app, lifespan="off", log_level="warning", timeout_graceful_shutdown=1, ws="none"
    )
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        task = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield f"http://127.0.0.1:{port}/"
        finally:
            server.should_exit = True
            await task
