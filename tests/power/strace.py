"""What strace writes down of a process: its system calls, as they began and ended.

Strings are written as hexadecimal numbers (`-xx`), so nothing in them has to be unescaped.

# Invariants

1. A call is known by the lines at which it began and ended. Whatever began after another call had
   ended has a higher line; calls of several threads overlap.
2. A call that was under way when its process was killed has no end: whether it had an effect is
   not known.
"""

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# Calls that change files, their names, what of them is durable, and what the number of an open file
# means.
_TRACED = (
    *("open", "openat", "openat2", "creat", "close", "dup", "dup2", "dup3", "fcntl", "lseek"),
    *("write", "writev", "pwrite64", "pwritev", "pwritev2", "truncate", "ftruncate", "fallocate"),
    *("copy_file_range", "sendfile", "splice", "fsync", "fdatasync", "sync_file_range"),
    *("mkdir", "mkdirat", "rmdir", "unlink", "unlinkat", "rename", "renameat", "renameat2"),
    *("link", "linkat", "symlink", "symlinkat"),
)

# Of a longer write only the beginning is shown: what was written is read from its file.
STRING_BYTES_MAX = 512 * 1024

_LINE = re.compile(rb"(\d+) +(?:<\.\.\. ([\w?]+) resumed>(.*)|([\w?]+)\((.*))", re.DOTALL)
_ENDED = re.compile(rb"(.*)\) += (-?\d+|\?|0x[0-9a-f]+)(?: [^\"]*)?$", re.DOTALL)
_STRING = re.compile(rb'"((?:\\x[0-9a-f]{2})*)"')
_UNFINISHED = b" <unfinished ...>"


@dataclass(frozen=True, slots=True)
class Call:
    """One system call: `result` is `None` if nobody knows it."""

    begin: int
    end: int
    name: str
    arguments: bytes
    result: int | None

    def strings(self) -> list[bytes]:
        """Its arguments that are strings."""
        found = _STRING.findall(self.arguments)
        return [bytes.fromhex(text.replace(b"\\x", b"").decode()) for text in found]

    def is_cut(self) -> bool:
        """Whether a string of it is not shown to its end."""
        return b'"...' in self.arguments

    def number(self, place: int) -> int:
        """The argument at this place, counted from the end if negative."""
        if place == 0:
            return int(self.arguments.partition(b",")[0])
        return int(self.arguments.split(b", ")[place])


class UnknownLineError(Exception):
    """A line that this module cannot read."""


def command(output: Path, inject: str | None = None) -> list[str]:
    """How to run a program under strace; the program's own command follows.

    `inject` is what strace's option of that name takes: which calls are slow, or deadly.
    """
    strace = shutil.which("strace")
    assert strace is not None, "whoever records has looked for strace"
    options = ["-f", "-qq", "-xx", "-s", str(STRING_BYTES_MAX), "-o", str(output)]
    options += ["-e", "signal=none", "-e", f"trace={','.join(_TRACED)}"]
    # With its filter in the kernel, which is faster, strace does not inject signals.
    options += ["--seccomp-bpf"] if inject is None else ["-e", f"inject={inject}"]
    return [strace, *options]


def is_usable() -> bool:
    """Whether there is a strace and it may trace."""
    if shutil.which("strace") is None:
        return False
    tried = subprocess.run([*command(Path("/dev/null")), "true"], check=False, capture_output=True)
    return tried.returncode == 0


def read(path: Path, first_line: int) -> Iterator[Call]:
    """The calls of a process, in the order in which they ended; its first line has this number."""
    begun: dict[bytes, tuple[int, bytes, bytes]] = {}
    at = first_line
    with path.open("rb") as lines:
        for at, line in enumerate(lines, first_line):
            call = _call(at, line.rstrip(b"\n"), begun)
            if call is not None:
                yield call
    for begin, name, arguments in begun.values():
        yield Call(begin, at + 1, name.decode(), arguments, None)


def _call(at: int, line: bytes, begun: dict[bytes, tuple[int, bytes, bytes]]) -> Call | None:
    found = _LINE.fullmatch(line)
    if found is None:
        # What is left are lines about the process itself.
        if b" +++ " in line or b" --- " in line:
            return None
        raise UnknownLineError(f"line {at}: {line[:200]!r}")
    thread, resumed, rest, name, text = found.groups()
    if name == b"???" or b"<... ??? resumed>" in line:
        # A thread that was killed before strace could see what it was about to call: it has not.
        return None
    if name is not None and text.endswith(_UNFINISHED):
        begun[thread] = (at, name, text.removesuffix(_UNFINISHED))
        return None
    begin, before = at, b""
    if resumed is not None:
        if thread not in begun:
            raise UnknownLineError(f"line {at} resumes what has not begun: {line[:200]!r}")
        begin, name, before = begun.pop(thread)
        text = before + rest
    ended = _ENDED.fullmatch(text)
    if ended is None:
        raise UnknownLineError(f"line {at}: {line[:200]!r}")
    result = None if ended[2] == b"?" else int(ended[2], 0)
    return Call(begin, at, name.decode(), ended[1], result)
