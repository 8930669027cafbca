"""`taquba kv`: keys and their values."""

import argparse
from collections.abc import Iterable, Sequence
from typing import Final

from taquba.cli._acting import act_on_each, say
from taquba.cli._blocks import Block, Column, Table
from taquba.cli._command import FOUND, OK, Command
from taquba.cli._content import add_content, as_fields, read_content, write_raw
from taquba.cli._options import add_acting, add_admin, add_json, add_listing, add_store
from taquba.cli._owner import Owner
from taquba.cli._present import Listing, present_listing, write_json
from taquba.cli._source import open_source, owner_of
from taquba.cli._text import size
from taquba.cli._wire import Json

__all__ = ["COMMAND"]


def _add_ls(parser: argparse.ArgumentParser) -> None:
    add_listing(parser)
    parser.add_argument("--prefix", default="", help="only keys that begin so")
    parser.add_argument("--values", action="store_true", help="show the values too")


def _ls(options: argparse.Namespace) -> int:
    with open_source(options) as source:
        listing = Listing(
            "entries",
            lambda cursor, limit: source.keys(
                options.prefix, cursor, limit, with_values=options.values
            ),
            _table,
        )
        present_listing(options, listing)
    return OK


def _table(rows: Sequence[Json]) -> Iterable[Block]:
    has_values = any(row["value"] is not None for row in rows)
    columns = [Column("key"), Column("size", is_figure=True)]
    if has_values:
        columns.append(Column("value", is_cut=True))
    cells = [
        [row["key"], size(row["bytes"]), *([_shown(row["value"])] if has_values else [])]
        for row in rows
    ]
    yield Table(columns, cells, "no keys")


def _shown(value: Json | None) -> str:
    if value is None:
        return ""
    text = value["base64"] if value["text"] is None else value["text"]
    return f"{text}..." if value["is_cut"] else text


def _add_get(parser: argparse.ArgumentParser) -> None:
    add_store(parser)
    add_admin(parser)
    add_json(parser)
    parser.add_argument("key", metavar="KEY")


def _get(options: argparse.Namespace) -> int:
    with open_source(options) as source:
        found = source.value(options.key)
    if options.json:
        write_json({"key": options.key, "value": None if found is None else found.as_json()})
    elif found is not None:
        write_raw(found)
    return FOUND if found is None else OK


def _add_put(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("key", metavar="KEY")
    add_content(parser, "value", "the value")
    add_acting(parser)


def _put(options: argparse.Namespace) -> int:
    content = as_fields("value", read_content(options.value, options.file))
    answer = owner_of(options).post("api/kv", {"key": options.key, **content})
    if options.json:
        write_json(answer)
    else:
        say(f"{options.key}  set")
    return OK


def _add_rm(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("keys", nargs="+", metavar="KEY")
    add_acting(parser)


def _rm(options: argparse.Namespace) -> int:
    def act(owner: Owner, key: str) -> tuple[Json, str]:
        # Of the keys that begin with it, a key is the first. Whoever sets it just now is not seen.
        found = owner.get("api/kv", prefix=key, limit=1)["entries"]
        existed = [entry["key"] for entry in found] == [key]
        answer = owner.delete("api/kv", key=key)
        return {**answer, "existed": existed}, "removed" if existed else "was not there"

    return act_on_each(options, "key", options.keys, act)


COMMAND: Final = Command(
    name="kv",
    summary="keys: list, get, put, remove",
    description="The key-value space beside the queues.",
    subcommands=(
        Command(
            name="ls",
            summary="list keys",
            description="Lists keys in the order of their bytes, and how large their values are.",
            add_arguments=_add_ls,
            run=_ls,
        ),
        Command(
            name="get",
            summary="write the value of a key",
            description="Writes the value of a key as it is. Ends with 1 if it has none.",
            add_arguments=_add_get,
            run=_get,
        ),
        Command(
            name="put",
            summary="set a key",
            description="Sets a key, over what it had.",
            add_arguments=_add_put,
            run=_put,
        ),
        Command(
            name="rm",
            summary="remove keys",
            description="Removes keys, and says which of them were there.",
            add_arguments=_add_rm,
            run=_rm,
        ),
    ),
)
