"""`taquba dashboard`: look at a store in a browser, wherever its owner is."""

import argparse
import asyncio
import sys
from typing import Final

from taquba.cli._command import OK, Command
from taquba.cli._options import add_store, store_url
from taquba.cli._serving import (
    ADDRESS_DEFAULT,
    Address,
    Place,
    add_serving,
    check_serving,
    reserved,
    served,
)
from taquba.queue import QueueReader

__all__ = ["COMMAND"]


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_store(parser)
    parser.add_argument(
        "--listen",
        type=Address.read,
        default=Address.read(ADDRESS_DEFAULT),
        metavar="HOST:PORT",
        help=f"where ({ADDRESS_DEFAULT})",
    )
    add_serving(parser)


def _run(options: argparse.Namespace) -> int:
    check_serving(options.listen, options)
    store = store_url(options)
    with reserved(options.listen) as place:
        asyncio.run(_serve(options, store, place))
    return OK


async def _serve(options: argparse.Namespace, store: str, place: Place) -> None:
    async with (
        QueueReader.open(store, options.path) as reader,
        served(reader, place, options) as site,
    ):
        sys.stdout.write(f"{site.url}\n")
        sys.stdout.flush()
        await site.task


COMMAND: Final = Command(
    name="dashboard",
    summary="look at a store in a browser",
    description="Serves the dashboard over a reader: it changes nothing, and takes nothing away "
    "from the owner. The dashboard of the owner, which makes changes too, is served by `taquba "
    "worker --admin`. Ctrl-C ends it.",
    add_arguments=_add_arguments,
    run=_run,
)
