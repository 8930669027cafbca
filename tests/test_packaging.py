"""The wheel: one for all Python versions, small, complete."""

import zipfile
from pathlib import Path

import pytest

from tests.needs import missing

DIST = Path(__file__).resolve().parents[1] / "dist"
WHEEL_BYTES_MAX = 25_000_000


@pytest.fixture
def wheel() -> Path:
    """The wheel that `make wheel` builds."""
    wheels = sorted(DIST.glob("taquba-*.whl"))
    if not wheels:
        missing("the wheel in dist/: run `make wheel`")
    assert len(wheels) == 1, "old wheels beside the new one"
    return wheels[0]


def test_one_wheel_serves_every_python_from_3_11(wheel: Path) -> None:
    assert "-cp311-abi3-" in wheel.name


def test_the_wheel_is_small(wheel: Path) -> None:
    assert wheel.stat().st_size < WHEEL_BYTES_MAX


def test_the_wheel_has_types_licences_and_nothing_of_the_tests(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()

    assert "taquba/py.typed" in names
    assert "taquba/_taquba.pyi" in names
    assert {Path(name).name for name in names if "/licenses/" in name} >= {
        "LICENSE-APACHE",
        "LICENSE-MIT",
    }
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if ".dist-info" not in top} == {"taquba"}


def test_the_wheel_needs_no_other_package(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith("/METADATA")]
        metadata = archive.read(name).decode()

    required = [line for line in metadata.splitlines() if line.startswith("Requires-Dist:")]
    assert [line for line in required if "extra ==" not in line] == []
    assert "License-Expression: Apache-2.0 OR MIT" in metadata
    assert "Requires-Python: >=3.11" in metadata
