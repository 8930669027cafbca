"""Stores that do not do what they should, and what is said of each."""

import re

import pytest

from taquba.doctor import CheckStatus, examine
from taquba.testing import ChaosStore, FaultRule
from tests.doctor.fake_s3 import FakeS3
from tests.doctor.finding import found, worse_than_ok


async def test_a_server_that_ignores_conditions_of_creation_is_found(s3: FakeS3) -> None:
    s3.spoil.ignored_headers = frozenset({"if-none-match"})

    diagnosis = await examine(s3.store())

    assert found(diagnosis, "create-once").status is CheckStatus.FAILURE
    assert "was created although it was there" in found(diagnosis, "create-once").seen
    assert found(diagnosis, "race").seen.startswith("in 10 of 10 rounds several of 8 racers")
    assert "two owners" in str(found(diagnosis, "race").remedy)


async def test_a_server_that_ignores_versions_is_found(s3: FakeS3) -> None:
    s3.spoil.ignored_headers = frozenset({"if-match"})

    diagnosis = await examine(s3.store())

    assert worse_than_ok(diagnosis) == {"swap": "failure", "conditional-read": "warning"}


async def test_a_proxy_that_loses_metadata_is_found(s3: FakeS3) -> None:
    s3.spoil.lost_metadata = True

    diagnosis = await examine(s3.store())

    assert worse_than_ok(diagnosis) == {"metadata": "failure"}


@pytest.mark.parametrize(("offset", "told"), [(-3600, "behind"), (600, "ahead of")])
async def test_a_store_whose_clock_is_off_is_found(s3: FakeS3, offset: float, told: str) -> None:
    s3.spoil.clock_offset_seconds = offset

    diagnosis = await examine(s3.store())

    assert worse_than_ok(diagnosis) == {"clock": "warning"}
    check = found(diagnosis, "clock")
    assert f"{told} this machine" in check.seen
    assert check.figures["skew_seconds"] == pytest.approx(offset, abs=5)


RIGHTS = {
    "right-to-list": (r"GET /bucket\?", "s3:ListBucket"),
    "right-to-read": (r"GET /bucket/", "s3:GetObject"),
    "right-to-write": (r"PUT", "s3:PutObject"),
    "right-to-upload": (r"POST .*\?uploads", "s3:PutObject"),
    "right-to-abort": (r"DELETE .*uploadId", "s3:AbortMultipartUpload"),
    "right-to-delete": (r"DELETE (?!.*uploadId)|POST .*\?delete", "s3:DeleteObject"),
}


@pytest.mark.parametrize("name", RIGHTS)
async def test_a_right_that_is_missing_is_named(s3: FakeS3, name: str) -> None:
    pattern, right = RIGHTS[name]
    s3.spoil.forbidden = re.compile(pattern)

    diagnosis = await examine(s3.store())

    check = found(diagnosis, name)
    assert check.status is CheckStatus.FAILURE
    assert right in str(check.remedy)
    assert diagnosis.status is CheckStatus.FAILURE


async def test_what_cannot_be_deleted_is_named(s3: FakeS3) -> None:
    s3.spoil.forbidden = re.compile(RIGHTS["right-to-delete"][0])

    diagnosis = await examine(s3.store())

    check = found(diagnosis, "clean-up")
    left = s3.left
    assert check.status is CheckStatus.WARNING
    assert check.seen.startswith(f"{len(left)} objects may be left below taquba/doctor-")
    assert re.search(r"delete everything below taquba/doctor-[0-9a-f]{16}$", str(check.remedy))


async def test_a_bucket_that_is_not_there_is_a_failure(s3: FakeS3) -> None:
    diagnosis = await examine(s3.store("no-such-bucket"), request_timeout=5)

    assert diagnosis.status is CheckStatus.FAILURE
    assert "not-found" in found(diagnosis, "right-to-write").seen


async def test_credentials_that_are_refused_are_a_failure_and_not_shown(s3: FakeS3) -> None:
    s3.spoil.forbidden = re.compile("")

    diagnosis = await examine(s3.store())

    assert found(diagnosis, "right-to-read").status is CheckStatus.FAILURE
    assert found(diagnosis, "right-to-list").status is CheckStatus.FAILURE
    assert "denied" in found(diagnosis, "right-to-write").seen
    assert "test-secret" not in repr(diagnosis)


async def test_a_server_that_is_not_there_is_told_soon(unused_tcp_port: int) -> None:
    gone = FakeS3(endpoint=f"http://127.0.0.1:{unused_tcp_port}")

    diagnosis = await examine(gone.store(), request_timeout=0.3)

    assert found(diagnosis, "right-to-read").status is CheckStatus.FAILURE
    assert [check.name for check in diagnosis.checks if check.name == "race"] == []


async def test_an_examination_ends_in_time_and_says_what_it_lacks(s3: FakeS3) -> None:
    s3.spoil.delay_seconds = 0.03

    diagnosis = await examine(s3.store(), time_limit=1)

    assert found(diagnosis, "time").status is CheckStatus.FAILURE
    assert "clock" not in [check.name for check in diagnosis.checks]
    assert s3.left == []


async def test_a_store_that_hangs_is_told() -> None:
    store = ChaosStore(faults={"hang": FaultRule(paths=["/swap/"])}, hang_limit=30)

    diagnosis = await examine(store, request_timeout=0.1)

    assert "timeout" in found(diagnosis, "swap").seen
    assert found(diagnosis, "list").status is CheckStatus.OK


CHAOS = {
    "truncate_get": ("/read/", "read-after-write", "failure"),
    "flip_get": ("/part/", "range", "failure"),
    "conflict_absent": ("/create/", "create-once", "failure"),
    "conflict_own": ("/create/", "create-once", "warning"),
    "precondition_412": ("/swap/", "swap", "failure"),
    "list_duplicate": ("/doctor-", "list", "warning"),
    "list_reorder": ("/doctor-", "list", "warning"),
    "fail_before": ("/metadata/", "metadata", "failure"),
    "no_space": ("/read/", "read-after-write", "failure"),
    "deny_403": ("/delete/", "delete", "failure"),
}


@pytest.mark.parametrize("fault", CHAOS)
async def test_a_fault_shows_in_its_check(fault: str) -> None:
    place, name, status = CHAOS[fault]
    store = ChaosStore(
        faults={fault: FaultRule(paths=[place])},  # type: ignore[dict-item]
        deny_window=0.001,
    )

    diagnosis = await examine(store)

    assert str(found(diagnosis, name).status) == status


async def test_a_listing_that_is_old_is_found() -> None:
    store = ChaosStore(faults={"stale_list": 1.0}, stale_window=60)

    diagnosis = await examine(store)

    assert found(diagnosis, "list").status is CheckStatus.FAILURE
