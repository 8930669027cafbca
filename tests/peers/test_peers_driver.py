"""What the driver of `benches/peers` decides by itself: lines, processes, tables, pictures."""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from benches.peers import _driver, _peer, _plot, _process, _table, protocol, servers

needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")


def end_line(**changes: Any) -> str:
    said = {"count": 100, "seconds": 2.0, "p50_ms": None, "p99_ms": 1.5, "verified": "all equal"}
    return "end " + json.dumps(said | changes)


def test_an_end_line_is_read() -> None:
    end = protocol.parse_end(end_line(), "drain", 100)

    assert end == protocol.End(100, 2.0, None, 1.5, "all equal")


def test_what_work_says_the_driver_reads(capsys: pytest.CaptureFixture[str]) -> None:
    protocol.end(20, 0.5, "two runs", [0.002, 0.001])

    end = protocol.parse_end(capsys.readouterr().out, "steps", 2)
    assert end == protocol.End(20, 0.5, 1.0, 2.0, "two runs")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("done", "expected `end"),
        ("end not json", "`end` needs"),
        ('end {"count": 100}', "`end` needs"),
        (end_line(count=99), "`99` were done, `100` were asked for"),
        (end_line(seconds=0), "cannot be"),
        (end_line(seconds=float("nan")), "cannot be"),
        (end_line(verified=" "), "nothing was checked"),
    ],
)
def test_an_end_line_that_cannot_be_is_refused(line: str, reason: str) -> None:
    with pytest.raises(protocol.ProtocolError, match=reason):
        protocol.parse_end(line, "drain", 100)


def test_percentiles_are_by_nearest_rank() -> None:
    seconds = [number / 1000 for number in range(100, 0, -1)]

    assert protocol.percentiles_ms(seconds) == pytest.approx((50.0, 99.0))
    assert protocol.percentiles_ms([]) == (None, None)


BURN = """
import os, resource, sys, time
def burn(seconds):
    until = time.process_time() + seconds
    while time.process_time() < until: pass
child = os.fork()
if child == 0:
    burn(0.3)
    os._exit(0)
burn(0.3)
if sys.argv[1] == "waited":
    os.waitpid(child, 0)
else:
    time.sleep(1.0)
mine = resource.getrusage(resource.RUSAGE_SELF)
print(mine.ru_utime + mine.ru_stime, flush=True)
sys.stdin.read()
"""


@pytest.fixture(params=["waited", "zombie"])
def burner(request: pytest.FixtureRequest) -> Iterator["subprocess.Popen[str]"]:
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", BURN, request.param]
    with subprocess.Popen(
        command, stdin=pipe, stdout=pipe, text=True, start_new_session=True
    ) as process:
        yield process
        process.kill()


@needs_proc
@pytest.mark.slow
def test_the_cpu_of_a_tree_is_what_its_processes_have_used(
    burner: "subprocess.Popen[str]",
) -> None:
    assert burner.stdout is not None
    own_seconds = float(burner.stdout.readline())

    members = _process.tree(burner.pid, _process.entries())
    found = sum(entry.cpu_seconds for entry in members)

    # The child has used 0.3 s and starting it a little; ticks are cut off, once for each process.
    assert found == pytest.approx(own_seconds + 0.3, abs=0.06)


@needs_proc
@pytest.mark.slow
def test_the_cpu_of_a_child_is_its_own_resource_usage() -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    work = "import time\nwhile time.process_time() < 0.4: pass\nprint(flush=True)\ninput()"
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", work], stdin=pipe, stdout=pipe) as process:
        assert process.stdout is not None
        process.stdout.readline()
        found = sum(e.cpu_seconds for e in _process.tree(process.pid, _process.entries()))
        process.communicate(b"\n")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    # Its end costs something too, after it was read.
    assert found == pytest.approx(used, abs=0.06)
    assert found >= 0.38


@needs_proc
def test_the_memory_of_a_process_is_more_than_nothing_and_less_than_the_machine_has() -> None:
    found = _process.pss_bytes(_process.tree(os.getpid(), _process.entries()))

    assert 5 * _process.MIB < found < os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def test_a_process_name_may_hold_anything() -> None:
    fields = "S 7 7 9 0 -1 0 0 0 0 0 100 50 25 25 20 0 1 0 12345 0 0"

    entry = _process.parse_stat(f"42 (odd) name (x) {fields}")

    assert (entry.pid, entry.parent, entry.session) == (42, 7, 9)
    assert entry.cpu_seconds == pytest.approx(200 / _process.TICKS_PER_SECOND)
    assert entry.started_at_ticks == 12345
    assert not entry.is_zombie


def entry(pid: int, parent: int, session: int) -> _process.Entry:
    return _process.Entry(pid, parent, session, 1.0, is_zombie=False, started_at_ticks=0)


def test_a_tree_has_descendants_and_the_session_and_nobody_else() -> None:
    everyone = [
        entry(1, 0, 1),
        entry(10, 1, 10),
        entry(11, 10, 10),
        entry(12, 11, 12),
        entry(13, 1, 10),
        entry(20, 1, 20),
    ]

    members = _process.tree(10, {one.pid: one for one in everyone})

    assert sorted(one.pid for one in members) == [10, 11, 12, 13]


@needs_proc
def test_what_is_left_over_is_ended() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True
    ) as process:
        members = _process.tree(process.pid, _process.entries())

        assert _process.stop(members) == 1
        assert process.wait() != 0
        assert _process.stop(members) == 0


def record(peer: str, workload: str, repeat: int, **figures: Any) -> _table.Record:
    base = {"peer": peer, "title": peer.title(), "durability": "fsync", "notes": ""}
    return base | {"workload": workload, "repeat": repeat} | figures


RECORDS = [
    record("other", "steps", 0, rate=10.0, p50_ms=40.0),
    record("taquba", "steps", 0, rate=100.0, p50_ms=4.0),
    record("other", "steps", 1, rate=5.0, p50_ms=60.0),
    record("taquba", "steps", 1, rate=400.0, p50_ms=2.0),
    record("taquba", "steps", 2, rate=200.0, p50_ms=1.0),
    record("other", "steps", 2, error="no server\nmore"),
]


def test_a_ratio_compares_figures_of_one_repeat() -> None:
    home = _table.values(RECORDS, "taquba", "steps", _table.rate)
    other = _table.values(RECORDS, "other", "steps", _table.rate)

    assert home == {0: 100.0, 1: 400.0, 2: 200.0}
    assert _table.ratios(home, other, _table.Order.MORE) == [10.0, 80.0]


def test_a_ratio_of_latencies_is_the_other_way_round() -> None:
    home = _table.values(RECORDS, "taquba", "steps", _table.p50_ms)
    other = _table.values(RECORDS, "other", "steps", _table.p50_ms)

    assert _table.ratios(home, other, _table.Order.LESS) == [10.0, 30.0]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.01234, "0.0123"),
        (1.234, "1.23"),
        (9.999, "10.0"),
        (99.96, "100"),
        (123456, "123,000"),
    ],
)
def test_three_digits_count(value: float, text: str) -> None:
    assert _table.digits(value) == text


def test_a_spread_is_a_median_with_its_range() -> None:
    assert _table.spread([]) == _table.NOTHING
    assert _table.spread([7.0]) == "7.00"
    assert _table.spread([3.0, 1.0, 20.0]) == f"3.00 [1.00{_table.NOTHING}20.0]"


def test_a_report_has_ours_first_and_names_what_failed() -> None:
    report = _table.report(RECORDS)
    lines = [line for line in report.splitlines() if line.startswith(("| Taquba", "| Other"))]

    assert "200 [100" in lines[0]
    assert "how many times better taquba is" in report
    assert "- other, steps, repeat 3: no server" in report
    assert "more" not in report.partition("### Failed")[2]


def test_a_peer_that_only_failed_is_in_the_table() -> None:
    report = _table.report([record("other", "steps", 0, error="no server")])

    assert "failed" in next(line for line in report.splitlines() if line.startswith("| Other"))


def test_the_picture_has_a_bar_for_each_figure() -> None:
    picture = ET.fromstring(_plot.svg(RECORDS))  # noqa: S314 - written above
    boxes = picture.findall("{http://www.w3.org/2000/svg}rect")
    colours = [box.get("fill") for box in boxes]

    assert colours == [_plot.PAPER, _plot.OURS, _plot.THEIRS]
    assert float(boxes[1].get("width", "0")) > float(boxes[2].get("width", "0"))


def test_figures_are_differences_of_two_readings() -> None:
    end = protocol.End(10, 2.0, 1.0, 2.0, "all")
    mib = _process.MIB
    before = _driver.Reading({"peer": 1.0, "redis": 5.0}, {"peer": 9 * mib, "redis": mib}, 100.0)
    after = _driver.Reading({"peer": 2.5, "redis": 5.5}, {"peer": 8 * mib, "redis": mib}, 103.0)

    figures = _driver.make_figures(end, before, after)

    assert figures["rate"] == 5.0
    assert figures["cpu_seconds"] == {"peer": 1.5, "redis": 0.5}
    assert figures["cpu_us_each"] == 200_000.0
    assert figures["pss_mib"] == {"peer": 9.0, "redis": 1.0}
    assert figures["busy_elsewhere_seconds"] == 1.0


WORK = """
import subprocess, sys, time
count = int(sys.argv[sys.argv.index("--count") + 1])
{body}
"""
GOOD = """
print("begin", flush=True)
print('end {"count": %d, "seconds": 1, "p50_ms": null, "p99_ms": null, "verified": "x"}' % count)
"""


def run_work(folder: Path, body: str, timeout_seconds: float = 30.0) -> _driver.Record:
    """One workload of a peer that consists of this program."""
    (folder / "work.py").write_text(WORK.format(body=body))
    peer = _peer.Peer("made-up", folder, "Made up", "none", "", (), {"drain": 10}, {})
    plan = _driver.Plan([peer], ("drain",), 1, False, folder, timeout_seconds)
    environment = _peer.Environment(folder, Path(sys.executable))
    [found] = _driver.run_turn(plan, peer, environment, 0)
    return found


@needs_proc
@pytest.mark.slow
def test_a_workload_that_did_its_work_is_a_record(tmp_path: Path) -> None:
    found = run_work(tmp_path, GOOD)

    assert "error" not in found
    assert (found["count"], found["rate"], found["verified"]) == (10, 10.0, "x")
    assert [path.name for path in tmp_path.iterdir()] == ["work.py"]


@needs_proc
@pytest.mark.slow
@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (GOOD + "sys.exit(3)", "exit code 3 after `end`"),
        ("sys.exit('no such library')", "no such library"),
        ("print('hello', flush=True); time.sleep(60)", "expected `begin`, got `hello`"),
        ("print('begin', flush=True); time.sleep(60)", "no `end` after 1 s"),
    ],
)
def test_a_workload_that_failed_is_a_record_with_the_reason(
    tmp_path: Path, body: str, reason: str
) -> None:
    found = run_work(tmp_path, body, timeout_seconds=1.0)

    assert reason in found["error"]
    assert "rate" not in found


@needs_proc
@pytest.mark.slow
def test_children_that_outlive_their_workload_are_ended(tmp_path: Path) -> None:
    # In a session of its own, it is found only because it was seen before its parent ended.
    child = "child = subprocess.Popen(['sleep', '60'], start_new_session=True)\n"
    note = f"open({str(tmp_path / 'pid')!r}, 'w').write(str(child.pid))\ntime.sleep(0.2)\n"

    found = run_work(tmp_path, child + note + GOOD + "sys.stdout.flush(); time.sleep(0.3)")

    assert "error" not in found
    pid = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 5.0
    while pid in _process.entries() and time.monotonic() < deadline:
        if _process.entries()[pid].is_zombie:
            break
    left = _process.entries().get(pid)
    assert left is None or left.is_zombie


def test_every_peer_of_this_repository_can_be_read() -> None:
    peers = _peer.find_all()

    assert peers[0].name == "taquba"
    assert len({peer.name for peer in peers}) == len(peers)
    for peer in peers:
        assert (peer.folder / "work.py").exists(), peer.name
        assert peer.counts, peer.name


def test_the_readme_names_every_peer_and_no_other() -> None:
    readme = (_peer.FOLDER / "README.md").read_text().partition("## Peers")[2]
    named = {line.split("`")[1] for line in readme.splitlines() if line.startswith("| `")}

    assert named == {peer.name for peer in _peer.find_all()}


def test_variants_share_a_folder_and_differ_where_they_say_so(tmp_path: Path) -> None:
    place = tmp_path / "shop" / "peer.toml"
    place.parent.mkdir()
    place.write_text(
        "title = 'Shop'\ndurability = 'fsync'\nservers = []\n[counts]\nsteps = 40\n"
        "[variants.shop_a]\n[variants.shop_b]\ntitle = 'Shop B'\ncounts = { drain = 4_000 }\n"
    )

    first, second = _peer.read(place)

    assert (first.name, first.title, first.counts) == ("shop_a", "Shop", {"steps": 40})
    assert (second.name, second.title, second.counts) == ("shop_b", "Shop B", {"drain": 4000})
    assert (second.count("drain", quick=True), first.count("steps", quick=True)) == (200, 20)
    assert (first.width("steps"), first.width("latency")) == (512, 1)


@pytest.mark.parametrize("line", ["titel = 'x'", "[counts]\nstep = 1"])
def test_a_description_with_an_unknown_word_is_refused(tmp_path: Path, line: str) -> None:
    place = tmp_path / "peer.toml"
    place.write_text(f"title = 'x'\ndurability = 'y'\n{line}\n")

    with pytest.raises(_peer.PeerError, match="unknown"):
        _peer.read(place)


def test_a_missing_server_names_its_package() -> None:
    with pytest.raises(servers.ServerError, match="apt-get install some-package"):
        servers.find_program("no-such-program-of-any-kind", "some-package")


def test_a_program_keeps_the_name_it_is_linked_by(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Debian's `redis-server` is a link to `redis-check-rdb`: a server only if called by that name.
    (tmp_path / "one-for-all").write_text("")
    (tmp_path / "one-for-all").chmod(0o755)
    (tmp_path / "the-server").symlink_to("one-for-all")
    monkeypatch.setenv("PATH", str(tmp_path))

    assert servers.find_program("the-server", "some-package") == tmp_path / "the-server"


def test_what_prepare_depends_on_is_in_its_fingerprint(tmp_path: Path) -> None:
    (tmp_path / "prepare").write_text("one")
    (tmp_path / "work.py").write_text("one")
    before = _peer.fingerprint(tmp_path)

    (tmp_path / "work.py").write_text("two")
    unchanged = _peer.fingerprint(tmp_path)
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "main.go").write_text("one")

    assert unchanged == before
    assert _peer.fingerprint(tmp_path) != before
