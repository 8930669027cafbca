"""Serving `taquba.admin` beside other work of this process.

Invariants:
    1. Who works beside it begins when it listens, and ends when it fails.
    2. Whoever is refused a port, or has no token where one is needed, is told so before anything
       is opened: the port is listened at from then on.

The one gap: `taquba.admin.serve` listens by itself, so the port is given up for the moment before
it does. Who takes it just then is told by an error, with the store open.
"""

import argparse
import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, final

from taquba._checks import PORT_MAX
from taquba._loopback import is_loopback
from taquba.cli._command import CommandError
from taquba.cli._options import TOKEN_VARIABLE
from taquba.queue import Queue, QueueReader

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taquba.workflow import WorkflowRuntime

__all__ = [
    "ADDRESS_DEFAULT",
    "Address",
    "Place",
    "add_serving",
    "check_serving",
    "reserved",
    "served",
]

ADDRESS_DEFAULT: Final = "127.0.0.1:8420"

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
        if not host or not port.isdecimal() or int(port) > PORT_MAX:
            message = f"{text!r}: give HOST:PORT, such as {ADDRESS_DEFAULT}"
            raise argparse.ArgumentTypeError(message)
        return cls(host.strip(_BRACKETS), int(port))


@final
@dataclass(frozen=True, slots=True)
class Place:
    """An address that nobody else can listen at.

    Args:
        address: The address.
        listener: Holds it.
    """

    address: Address
    listener: socket.socket


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
    place: Place,
    options: argparse.Namespace,
    runtimes: "Sequence[WorkflowRuntime]" = (),
) -> AsyncIterator["Served"]:
    """Serve the admin app while the body runs.

    Args:
        source: What it shows.
        place: Where it listens, from now on by itself.
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
    address = place.address
    url: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    place.listener.close()
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
        raise _not_listening(address, error) from None


def _not_listening(address: Address, error: OSError) -> CommandError:
    message = f"nobody can listen at {address.host}:{address.port}: {error.strerror}"
    return CommandError(message, code="not-listening")


@contextlib.contextmanager
def reserved(address: Address) -> Iterator[Place]:
    """Listen at an address, so that nobody else does until it is served.

    Raises:
        CommandError: It cannot be listened at.
    """
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
        family, _, _, _, where = found[0]
        listener = socket.create_server((where[0], where[1]), family=family)
    except OSError as error:
        raise _not_listening(address, error) from None
    with listener:
        yield Place(address, listener)


def check_serving(address: Address, options: argparse.Namespace) -> None:
    """Refuse what cannot be served, before anything is opened.

    Args:
        address: Where it will be served.
        options: `allow_host`.

    Raises:
        CommandError: The extra is not installed, an address that others reach has no token, or a
            name is no name.
        InvalidArgumentError: The token is none.
    """
    try:
        from taquba.admin._app import _check_token  # noqa: PLC0415 - an extra
        from taquba.admin._guard import is_host  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise CommandError(str(error), code="not-installed") from None
    token = _token()
    if token is not None:
        _check_token(token)
    for host in options.allow_host:
        if not is_host(host):
            message = f"--allow-host {host!r}: give a name such as example.com or example.com:8443"
            raise CommandError(message, code="invalid-host")
    if token is None and not is_loopback(address.host):
        message = (
            f"others reach {address.host}: set {TOKEN_VARIABLE}, to what "
            '`python -c "import taquba.admin as a; print(a.new_token())"` prints'
        )
        raise CommandError(message, code="token-needed")


def _token() -> str | None:
    return os.environ.get(TOKEN_VARIABLE) or None
