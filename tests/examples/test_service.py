"""The service of `examples/fastapi_service`, over HTTP, in a process of its own."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.examples.running import BEARER, SERVICE, Running, running

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One service for all tests that leave it as it was."""
    with running(tmp_path_factory.mktemp("service")) as service:
        yield service


def test_a_job_is_done_and_reported(service: Running) -> None:
    job_id = service.submit(text="to be or not to be")

    job = service.ended(job_id)

    assert (job["state"], job["report"], job["error"]) == ("succeeded", {"words": 6}, None)
    assert job["submitted_at_ms"] <= job["ended_at_ms"]


def test_a_job_that_is_submitted_again_is_the_same_job(service: Running) -> None:
    first = service.submit(text="once", job_id="order-1")
    again = service.submit(text="once", job_id="order-1")
    other = service.http.post("/jobs", json={"text": "another", "job_id": "order-1"})

    assert (first, again) == ("order-1", "order-1")
    assert (other.status_code, other.json()["code"]) == (409, "input-mismatch")


def test_a_batch_is_taken_as_a_whole(service: Running) -> None:
    lines = [json.dumps({"text": "word " * count}) for count in range(1, 4)]

    answer = service.http.post("/jobs/batch", content="\n".join(lines))

    reports = [service.ended(job_id)["report"] for job_id in answer.json()["job_ids"]]
    assert reports == [{"words": 1}, {"words": 2}, {"words": 3}]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("{", 422),
        ("[]", 422),
        ("", 422),
        ('{"text": 7}', 422),
        ('{"text": "a", "other": 1}', 422),
        ('{"text": "a", "job_id": "not an id"}', 400),
    ],
)
def test_a_batch_with_a_bad_line_is_refused_as_a_whole_and_the_line_named(
    service: Running, line: str, code: int
) -> None:
    good = json.dumps({"text": "good", "job_id": "of-a-bad-batch"})

    answer = service.http.post("/jobs/batch", content=f"{good}\n{line}\n{good}")

    assert (answer.status_code, answer.json()["detail"]["line"]) == (code, 2)
    assert service.http.get("/jobs/of-a-bad-batch").status_code == 404


def test_a_body_that_is_too_large_is_refused(service: Running) -> None:
    too_large = b" " * (16 * 1024 * 1024 + 1)

    single = service.http.post("/jobs", content=too_large)
    batch = service.http.post("/jobs/batch", content=too_large)

    assert (single.status_code, batch.status_code) == (413, 413)


def test_a_batch_of_too_many_jobs_is_refused(service: Running) -> None:
    answer = service.http.post("/jobs/batch", content='{"text": ""}\n' * 10_001)

    assert (answer.status_code, answer.json()["code"]) == (400, "batch-too-large")


@pytest.mark.parametrize(
    ("job_id", "code"), [("nobody", 404), ("not%20an%20id", 400), ("x" * 200, 400)]
)
def test_a_job_that_is_not_there_is_not_found(service: Running, job_id: str, code: int) -> None:
    asked = service.http.get(f"/jobs/{job_id}")
    cancelled = service.http.delete(f"/jobs/{job_id}")

    assert (asked.status_code, cancelled.status_code) == (code, code)


def test_a_job_is_stopped(service: Running) -> None:
    job_id = service.submit(text="slow", seconds=0.5)
    service.until(job_id, "running")

    answer = service.http.delete(f"/jobs/{job_id}")

    assert answer.json() == {"is_cancelled": True}
    assert service.ended(job_id)["state"] == "cancelled"
    assert service.http.delete(f"/jobs/{job_id}").json() == {"is_cancelled": False}


@pytest.mark.parametrize(
    "url", ["http://example.com/", "https://127.0.0.1/", "https://169.254.169.254/", "no url"]
)
def test_a_webhook_to_where_it_must_not_go_is_refused(service: Running, url: str) -> None:
    answer = service.http.post("/jobs", json={"text": "a", "callback_url": url})

    assert (answer.status_code, answer.json()["code"]) == (400, "invalid-argument")
    assert "callback_url" in answer.json()["detail"]


def test_it_says_that_it_lives_and_is_ready(service: Running) -> None:
    assert service.http.get("/healthz").json() == {"status": "ok"}
    assert service.http.get("/readyz").json() == {"status": "ready"}


def test_its_metrics_count_its_jobs(service: Running) -> None:
    service.ended(service.submit(text="counted"))

    answer = service.http.get("/metrics")

    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert 'queue="jobs"' in answer.text


def test_its_dashboard_is_at_admin(service: Running) -> None:
    info = service.http.get("/admin/api/info", headers=BEARER)
    page = service.http.get("/admin/", follow_redirects=True)
    stranger = service.http.get("/admin/api/info")

    assert (info.status_code, info.json()["can_submit_runs"]) == (200, ["jobs"])
    assert page.headers["content-type"].startswith("text/html")
    assert stranger.status_code == 401


def test_without_a_token_it_has_no_dashboard(tmp_path: Path) -> None:
    with running(tmp_path, admin_token="") as service:
        answer = service.http.get("/admin/api/health")

    assert answer.status_code == 404


def test_a_job_that_runs_is_done_before_the_process_ends_and_the_others_by_the_next_one(
    tmp_path: Path,
) -> None:
    with running(tmp_path) as old:
        runs = old.submit(text="one two", seconds=0.5)
        old.until(runs, "running")
        old.process.send_signal(signal.SIGTERM)
        assert old.end()[0] == -signal.SIGTERM

    with running(tmp_path) as new:
        job = new.http.get(f"/jobs/{runs}").json()
        assert (job["state"], job["report"]) == ("succeeded", {"words": 2})
        assert new.ended(new.submit(text="three"))["report"] == {"words": 1}


def test_an_open_dashboard_does_not_hold_up_the_end(tmp_path: Path) -> None:
    with (
        running(tmp_path) as service,
        service.http.stream("GET", "/admin/api/events", headers=BEARER) as events,
    ):
        assert next(events.iter_lines()) == "event: overview"

        service.process.send_signal(signal.SIGTERM)

        code, log = service.end()
    assert code == -signal.SIGTERM
    assert "Application shutdown complete" in log
    assert "Cancel" not in log
    assert "Traceback" not in log


def test_a_service_whose_store_is_taken_says_so_and_ends(tmp_path: Path) -> None:
    with running(tmp_path) as old, running(tmp_path) as new:
        refused = old.http.post("/jobs", json={"text": "too late"})
        assert (refused.status_code, refused.json()["code"]) == (503, "fenced")

        assert old.end()[0] == -signal.SIGTERM
        assert new.ended(new.submit(text="in time"))["state"] == "succeeded"


def test_a_service_without_a_secret_says_how_to_make_one(tmp_path: Path) -> None:
    child = subprocess.run(
        [sys.executable, str(SERVICE / "app.py")],
        env={"PATH": "/nowhere"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert child.returncode == 1
    assert "whsec_$(openssl rand -base64 32)" in child.stderr
    assert list(tmp_path.iterdir()) == []


def run_load(service: Path, *sizes: str) -> "subprocess.CompletedProcess[str]":
    """Runs the load of a service at a small size."""
    return subprocess.run(
        [sys.executable, str(service / "load.py"), *sizes],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_the_load_finds_every_job_done_and_every_webhook_signed() -> None:
    child = run_load(
        SERVICE, "--single", "40", "--batch", "300", "--webhooks", "60", "--customers", "3"
    )

    assert (child.returncode, child.stderr) == (0, "")
    *lines, last = child.stdout.splitlines()
    assert [line.split()[:3] for line in lines] == [
        ["single", "accepted", "40"],
        ["single", "completed", "40"],
        ["batch", "accepted", "300"],
        ["batch", "completed", "300"],
        ["webhooks", "accepted", "60"],
        ["webhooks", "completed", "60"],
        ["webhooks", "delivered", "60"],
    ]
    assert last == "every job ended with the right answer, every webhook was signed"


def copy_with(home: Path, file: str, old: str, new: str) -> Path:
    """The service with other words in one of its files."""
    home.mkdir()
    for source in SERVICE.glob("*.py"):
        text = source.read_text(encoding="utf-8")
        if source.name == file:
            assert old in text
            text = text.replace(old, new)
        (home / source.name).write_text(text, encoding="utf-8")
    return home


def test_the_load_fails_if_a_job_ends_with_a_wrong_answer(tmp_path: Path) -> None:
    home = copy_with(tmp_path / "wrong", "work.py", "work.text.split()", "work.text")

    child = run_load(home, "--single", "3", "--batch", "3", "--webhooks", "3")

    assert (child.returncode, "job 0 ended as" in child.stderr) == (1, True), child.stderr


def test_the_load_fails_if_a_webhook_is_signed_with_another_secret(tmp_path: Path) -> None:
    other = "secrets={'key-1': 'whsec_' + 'A' * 32}"
    told = 'secrets={"key-1": settings.webhook_secret}'
    home = copy_with(tmp_path / "wrong", "service.py", told, other)

    child = run_load(home, "--single", "3", "--batch", "3", "--webhooks", "3")

    assert (child.returncode, "3 webhooks were refused" in child.stderr) == (1, True), child.stderr
