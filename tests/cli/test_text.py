"""Text for people: nothing hostile, ages and sizes that can be read."""

import sys
from datetime import UTC, datetime, timedelta

import pytest

from taquba import _shown
from taquba.cli._text import age, cut, duration, escaped, instant, size


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text", "plain text"),
        ("Grüße, 世界 ✓", "Grüße, 世界 ✓"),
        ("\x1b[2J", "\\x1b[2J"),
        ("a\nb\rc\td", "a\\nb\\rc\\td"),
        ("\x00\x7f\x9b", "\\x00\\x7f\\x9b"),
        ("\u202eabc\u2066", "\\u202eabc\\u2066"),
        ("\u200b\ufeff\u2028", "\\u200b\\ufeff\\u2028"),
        ("\ud800", "\\ud800"),
        ("\U000e0041", "\\U000e0041"),
    ],
)
def test_what_moves_a_terminal_is_spelled_out(text: str, shown: str) -> None:
    assert escaped(text) == shown


@pytest.mark.slow
def test_every_character_is_printable_when_it_is_shown() -> None:
    bad = [
        f"{code:x}"
        for code in range(sys.maxunicode + 1)
        if not escaped(chr(code)).replace("\u3000", " ").isprintable() and chr(code) != " "
    ]

    # Spaces of other widths are no printable characters to Python, and harmless.
    assert [code for code in bad if not chr(int(code, 16)).isspace()] == []


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-5, "0ms"),
        (0.0124, "12ms"),
        (1.24, "1.2s"),
        (42.4, "42s"),
        (61, "1m01s"),
        (3_700, "1h01m"),
        (90_000, "1d01h"),
    ],
)
def test_a_duration_has_two_units_at_most(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


def test_an_age_says_whether_it_is_ahead() -> None:
    now = datetime.now(UTC)

    assert age(_shown.instant(now - timedelta(hours=2, seconds=30))) == "2h00m"
    assert age(_shown.instant(now + timedelta(hours=2, seconds=30))) == "in 2h00m"
    assert age(None) == ""
    assert instant(_shown.instant(now - timedelta(days=3))).endswith("UTC (3d00h ago)")
    assert instant(None) == ""


def test_sizes_are_short() -> None:
    assert [size(count) for count in (0, 1023, 1024, 5 * 1024**2, 3 * 1024**4)] == [
        "0 B",
        "1023 B",
        "1.0 KiB",
        "5.0 MiB",
        "3.0 TiB",
    ]


def test_what_is_cut_is_as_long_as_it_may_be() -> None:
    assert [cut("abcdefgh", length) for length in (8, 7, 3, 2)] == [
        "abcdefgh",
        "abcd...",
        "...",
        "..",
    ]
