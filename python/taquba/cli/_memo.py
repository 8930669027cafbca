"""`taquba memo`: what the steps of a run have kept."""

import argparse
import asyncio
import hashlib
import sys
from collections.abc import Iterable, Sequence
from typing import Final

from taquba.cli._blocks import Block, Column, Table
from taquba.cli._command import FOUND, OK, Command
from taquba.cli._content import write_raw
from taquba.cli._options import add_json, add_listing, add_store, count, store_url
from taquba.cli._present import Listing, present_listing, write_json
from taquba.cli._source import open_source
from taquba.cli._text import size
from taquba.cli._wire import Content, Json
from taquba.memo import MemoStore
from taquba.queue import QueueReader

__all__ = ["COMMAND"]

_STEP_NUMBER_MAX: Final = 2**32 - 1


def _add_ls(parser: argparse.ArgumentParser) -> None:
    add_listing(parser)
    parser.add_argument("run_id", metavar="RUN_ID")


def _ls(options: argparse.Namespace) -> int:
    with open_source(options) as source:
        listing = Listing(
            "memos", lambda cursor, limit: source.memos(options.run_id, cursor, limit), _table
        )
        present_listing(options, listing)
    return OK


def _table(rows: Sequence[Json]) -> Iterable[Block]:
    columns = [
        Column("step", is_figure=True),
        Column("SHA-256 of the key"),
        Column("size", is_figure=True),
        Column("kept as"),
    ]
    cells = [
        [
            str(memo["step_number"]),
            memo["key_sha256"],
            size(memo["value_bytes"]),
            "object" if memo["is_object"] else "row",
        ]
        for memo in rows
    ]
    yield Table(columns, cells, "no memos")


def _add_get(parser: argparse.ArgumentParser) -> None:
    add_store(parser)
    add_json(parser)
    parser.add_argument("run_id", metavar="RUN_ID")
    parser.add_argument("step_number", type=count(0, _STEP_NUMBER_MAX), metavar="STEP")
    parser.add_argument("key", metavar="KEY", help="as the step has given it")
    parser.add_argument(
        "--memo-store", action="store_true", help="from a `MemoStore`, whose prefix is --path"
    )


def _get(options: argparse.Namespace) -> int:
    found = asyncio.run(_value(options))
    if options.json:
        write_json(
            {
                "run_id": options.run_id,
                "step_number": options.step_number,
                "key_sha256": _digest(options.key),
                "value": None if found is None else Content(found, len(found)).as_json(),
            }
        )
    elif found is not None:
        write_raw(Content(found, len(found)))
    else:
        sys.stderr.write("no such memo; `taquba memo ls` shows those of a run\n")
    return FOUND if found is None else OK


async def _value(options: argparse.Namespace) -> bytes | None:
    if options.memo_store:
        async with MemoStore(store_url(options), options.path) as memos:
            return await memos.new_memo(options.run_id, options.step_number).get(options.key)
    async with QueueReader.open(store_url(options), options.path) as reader:
        return await reader.get_memo(options.run_id, options.step_number, options.key)


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


COMMAND: Final = Command(
    name="memo",
    summary="memos of a run: list, get",
    description="What the steps of a run have kept. A memo is found by the SHA-256 of its key.",
    subcommands=(
        Command(
            name="ls",
            summary="list the memos of a run",
            description="Lists the memos that a run keeps in the store of its queue, by step.",
            add_arguments=_add_ls,
            run=_ls,
        ),
        Command(
            name="get",
            summary="write a memo",
            description="Writes the value of a memo as it is. Ends with 1 if there is none.",
            add_arguments=_add_get,
            run=_get,
        ),
    ),
)
