"""Reading what strace writes."""

from pathlib import Path

import pytest

from tests.power import strace
from tests.power.effects import ROOT, Entries, Mark, NotUnderstoodError, Process, Tree, Write
from tests.power.strace import Call, UnknownLineError


def hexed(text: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in text.encode())


def read(tmp_path: Path, *lines: str) -> list[Call]:
    path = tmp_path / "out"
    path.write_text("".join(f"{line}\n" for line in lines))
    return list(strace.read(path, 100))


def test_a_call_that_others_interrupt_begins_and_ends_at_its_own_lines(tmp_path: Path) -> None:
    calls = read(
        tmp_path,
        f'7 write(3, "{hexed("ab")}", 2 <unfinished ...>',
        "8 fsync(4)       = 0",
        "7 <... write resumed>)             = 2",
    )

    assert [(call.name, call.begin, call.end, call.result) for call in calls] == [
        ("fsync", 101, 101, 0),
        ("write", 100, 102, 2),
    ]
    assert calls[1].strings() == [b"ab"]
    assert (calls[1].number(0), calls[1].number(-1)) == (3, 2)


def test_a_call_that_failed_says_so(tmp_path: Path) -> None:
    line = f'7 mkdir("{hexed("/a b")}", 0777) = -1 EEXIST (File exists)'

    (call,) = read(tmp_path, line)

    assert (call.result, call.strings()) == (-1, [b"/a b"])


def test_a_call_under_way_when_its_process_was_killed_has_no_result(tmp_path: Path) -> None:
    calls = read(
        tmp_path,
        "7 fdatasync(3 <unfinished ...>",
        "8 ???()                             = ?",
        "7 +++ killed by SIGKILL +++",
    )

    assert [(call.name, call.result) for call in calls] == [("fdatasync", None)]


def test_a_line_that_does_not_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UnknownLineError):
        read(tmp_path, "7 write 3")


def process(tree: Tree) -> Process:
    return Process(tree, Path("/root"), Path("/marks"))


def opened(path: str, number: int, flags: str = "O_WRONLY|O_CREAT") -> str:
    return f'7 openat(AT_FDCWD, "{hexed(path)}", {flags}, 0666) = {number}'


def test_writes_go_on_where_the_one_before_ended_and_other_files_are_passed_over(
    tmp_path: Path,
) -> None:
    tree = Tree()
    calls = read(
        tmp_path,
        opened("/root/a", 3),
        f'7 write(3, "{hexed("ab")}", 2) = 2',
        opened("/elsewhere", 4),
        f'7 write(4, "{hexed("no")}", 2) = 2',
        f'7 write(3, "{hexed("cd")}", 2) = 2',
        "7 close(3) = 0",
        opened("/marks", 3),
        f'7 write(3, "{hexed("mark")}", 4) = 4',
    )

    effects = list(process(tree).follow(calls, []))

    assert effects == [
        Entries(100, 100, ROOT, (("a", 1),)),
        Write(101, 101, 1, 0, b"ab"),
        Write(104, 104, 1, 2, b"cd"),
        Mark(107, b"mark"),
    ]
    assert tree.contents() == {"a": b"abcd"}


def test_a_number_is_free_as_soon_as_its_close_has_begun(tmp_path: Path) -> None:
    tree = Tree()
    calls = read(
        tmp_path,
        opened("/root/old", 3),
        opened("/root/a", 3).replace(") = 3", " <unfinished ...>"),
        "8 close(3 <unfinished ...>",
        "7 <... openat resumed>) = 3",
        "8 <... close resumed>) = 0",
        f'7 write(3, "{hexed("ab")}", 2) = 2',
    )

    list(process(tree).follow(calls, []))

    assert tree.contents() == {"old": b"", "a": b"ab"}


def test_of_two_calls_that_overlap_the_one_that_made_the_other_possible_came_first(
    tmp_path: Path,
) -> None:
    tree = Tree()
    made = f'mkdir("{hexed("/root/d")}", 0777'
    calls = read(
        tmp_path,
        f"7 {made}) = 0",
        f'7 rmdir("{hexed("/root/d")}" <unfinished ...>',
        f"8 {made}) = 0",
        "7 <... rmdir resumed>) = 0",
    )

    effects = list(process(tree).follow(calls, []))

    assert [effect.begin for effect in effects] == [100, 101, 102]
    assert tree.contents() == {"d": {}}


def test_a_call_that_cannot_have_succeeded_is_an_error(tmp_path: Path) -> None:
    calls = read(tmp_path, f'7 unlink("{hexed("/root/a")}") = 0')

    with pytest.raises(NotUnderstoodError):
        list(process(Tree()).follow(calls, []))


def test_what_is_too_long_to_be_shown_is_read_from_the_file_itself(tmp_path: Path) -> None:
    tree = Tree()
    calls = read(
        tmp_path, opened("/root/a", 3), f'7 write(3, "{hexed("ab")}"..., 4) = 4', "7 close(3) = 0"
    )

    following = Process(tree, Path("/root"), Path("/marks"), lambda node: b"abcd")
    list(following.follow(calls, []))

    assert tree.contents() == {"a": b"abcd"}
    assert following.bulky == {1}


def test_a_rename_takes_the_name_away_and_gives_it_in_one(tmp_path: Path) -> None:
    tree = Tree()
    calls = read(
        tmp_path,
        opened("/root/a", 3),
        f'7 rename("{hexed("/root/a")}", "{hexed("/root/b")}") = 0',
    )

    effects = list(process(tree).follow(calls, []))

    assert effects[1] == Entries(101, 101, ROOT, (("a", None), ("b", 1)))


def test_a_change_that_is_not_understood_is_an_error(tmp_path: Path) -> None:
    calls = read(tmp_path, opened("/root/a", 3), "7 fallocate(3, 0, 0, 4096) = 0")

    with pytest.raises(NotUnderstoodError):
        list(process(Tree()).follow(calls, []))
