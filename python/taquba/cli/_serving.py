"""Serving `taquba.admin` beside other work of this process.

Invariants:
    1. Who works beside it begins when it listens, and ends when it fails.
    2. Whoever is refused a port, or has no token where one is needed, is told so before anything
       is opened.
"""

import argparse
import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, final

from taquba.cli._command import CommandError
from taquba.cli._options import TOKEN_VARIABLE
from taquba.cli._owner import is_loopback
from taquba.queue import Queue, QueueReader

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taquba.workflow import WorkflowRuntime

__all__ = ["ADDRESS_DEFAULT", "Address", "add_serving", "check_serving", "served"]

ADDRESS_DEFAULT: Final = "127.0.0.1:8420"

_PORT_MAX: Final = 65535
_BRACKETS: Final = "[]"


@final
@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen.

    Args:
        host: A name or an address of this machine.
        port: 0 to 65,535; 0 for a free one.
    """

    host: str
    port: int

    @classmethod
    def read(cls, text: str) -> "Address":
        """Read `HOST:PORT`; an IPv6 address is in brackets.

        Raises:
            argparse.ArgumentTypeError: It is none.
        """
        host, _, port = text.rpartition(":")
        if not host or not port.isdecimal() or int(port) > _PORT_MAX:
            message = f"{text!r}: give HOST:PORT, such as {ADDRESS_DEFAULT}"
            raise argparse.ArgumentTypeError(message)
        return cls(host.strip(_BRACKETS), int(port))


@final
@dataclass(frozen=True, slots=True)
class Served:
    """An app that is served.

    Args:
        url: Where.
        task: Serves it.
    """

    url: str
    task: asyncio.Task[None]


def add_serving(parser: argparse.ArgumentParser) -> None:
    """Add what says how it is served."""
    parser.add_argument(
        "--show-payloads", action="store_true", help="show payloads, results and values too"
    )
    parser.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="HOST",
        help="a name under which browsers may ask, beside those of this machine",
    )


@contextlib.asynccontextmanager
async def served(
    source: Queue | QueueReader,
    address: Address,
    options: argparse.Namespace,
    runtimes: "Sequence[WorkflowRuntime]" = (),
) -> AsyncIterator["Served"]:
    """Serve the admin app while the body runs.

    Args:
        source: What it shows.
        address: Where it listens.
        options: `show_payloads` and `allow_host`.
        runtimes: Those that take runs.

    Returns:
        Where it is served, and what ends when that fails.

    Raises:
        CommandError: It does not listen.
    """
    from taquba.admin import create_app, serve  # noqa: PLC0415 - an extra

    app = create_app(
        source,
        runtimes=runtimes,
        token=_token(),
        hosts=options.allow_host,
        show_payloads=options.show_payloads,
    )
    url: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    serving = asyncio.ensure_future(
        serve(app, host=address.host, port=address.port, on_ready=url.set_result)
    )
    try:
        await asyncio.wait((url, serving), return_when=asyncio.FIRST_COMPLETED)
        if serving.done():
            _tell_failure(serving, address)
        yield Served(url.result(), serving)
    finally:
        serving.cancel()
        with contextlib.suppress(asyncio.CancelledError, OSError):
            await serving


def _tell_failure(serving: "asyncio.Task[None]", address: Address) -> None:
    try:
        serving.result()
    except OSError as error:
        message = f"nobody can listen at {address.host}:{address.port}: {error.strerror}"
        raise CommandError(message, code="not-listening") from None


def check_serving(address: Address) -> None:
    """Refuse what cannot be served, before anything is opened.

    Raises:
        CommandError: The extra is not installed, or an address that others reach has no token.
    """
    try:
        from taquba.admin import create_app  # noqa: F401, PLC0415 - an extra
    except ImportError as error:
        raise CommandError(str(error), code="not-installed") from None
    if _token() is None and not is_loopback(address.host):
        message = (
            f"others reach {address.host}: set {TOKEN_VARIABLE}, to what "
            '`python -c "import taquba.admin as a; print(a.new_token())"` prints'
        )
        raise CommandError(message, code="token-needed")


def _token() -> str | None:
    return os.environ.get(TOKEN_VARIABLE) or None
