"""A reader in another process sees what is there and disturbs nobody, on every store."""

import json
import os

from tests.conformance.backends import Place
from tests.conformance.children import owner, run_child
from tests.waiting import drain


async def test_a_reader_in_another_process_sees_all_and_fences_nobody(shared_place: Place) -> None:
    queue = await shared_place.open()
    ids = await queue.enqueue_batch("emails", [b"a", b"b"])
    await queue.kv_put("greeting", b"hello")

    child = run_child("read", shared_place)

    assert child.returncode == 0, child.stderr
    assert json.loads(child.stdout) == {
        "pending_count": 2,
        "jobs": ids,
        "value": "hello",
        "owner_pid": os.getpid(),
        "owner_is_alive": True,
    }
    # The owner is still the owner.
    assert len(await drain(queue, "emails")) == 2


async def test_a_reader_knows_that_nobody_owns_a_store_that_was_closed(shared_place: Place) -> None:
    with owner(shared_place) as process:
        process.communicate("", timeout=30)

    child = run_child("read", shared_place)

    assert child.returncode == 0, child.stderr
    seen = json.loads(child.stdout)
    assert (seen["owner_pid"], seen["owner_is_alive"]) == (None, False)
    assert seen["pending_count"] == 1
