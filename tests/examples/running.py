"""Running the service of `examples/fastapi_service` in a process of its own."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

SERVICE = Path(__file__).resolve().parents[2] / "examples" / "fastapi_service"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105 - that of the documents
ADMIN_TOKEN = "of-these-tests-and-no-others"  # noqa: S105 - of these tests only
BEARER = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
SECONDS_MAX = 30.0


@dataclass(frozen=True)
class Running:
    """A service that serves."""

    process: "subprocess.Popen[str]"
    http: httpx.Client

    def submit(self, **job: Any) -> str:
        """Submits a job, and returns its id."""
        answer = self.http.post("/jobs", json=job)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["job_id"])

    def ended(self, job_id: str) -> dict[str, Any]:
        """Waits for the end of a job."""
        answer = self.http.get(f"/jobs/{job_id}", params={"wait": 10})
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def until(self, job_id: str, state: str) -> None:
        """Waits until a job is in this state."""
        deadline = time.monotonic() + SECONDS_MAX
        while (found := self.http.get(f"/jobs/{job_id}").json()["state"]) != state:
            assert time.monotonic() < deadline, f"still {found}"
            time.sleep(0.01)

    def end(self) -> tuple[int, str]:
        """Waits for the end of the process, and returns its status and what it has logged."""
        _, log = self.process.communicate(timeout=SECONDS_MAX)
        return self.process.returncode, log


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(store: Path, admin_token: str = ADMIN_TOKEN) -> Iterator[Running]:
    """A service on a directory; told to end when the block is left, if it has not ended by then."""
    port = free_port()
    environment = {
        "WEBHOOK_SECRET": SECRET,
        "SERVICE_PORT": str(port),
        "TAQUBA_URL": str(store),
        "TAQUBA_ADMIN_TOKEN": admin_token,
    }
    with (
        subprocess.Popen(
            [sys.executable, str(SERVICE / "app.py")],
            env={**os.environ, **environment},
            stderr=subprocess.PIPE,
            text=True,
        ) as process,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=SECONDS_MAX) as http,
    ):
        try:
            _until_ready(process, http)
            yield Running(process, http)
        finally:
            try:
                if process.poll() is None:
                    process.send_signal(signal.SIGTERM)
                    process.communicate(timeout=SECONDS_MAX)
            finally:
                process.kill()


def _until_ready(process: "subprocess.Popen[str]", http: httpx.Client) -> None:
    deadline = time.monotonic() + SECONDS_MAX
    while time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()[1]
        try:
            if http.get("/readyz").status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.02)
    raise AssertionError("the service is not ready")
