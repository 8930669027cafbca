"""Store servers that the tests start: what they are, and where they are kept.

``make servers`` installs what is not there yet, outside the clone, with the package managers of the
machine; the tests themselves never download anything. A server that cannot be installed is named,
and its tests say what is missing: they are skipped on a developer's machine and fail in CI.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

S3PROXY_VERSION = "4.1.0"
# The newest one that needs no newer node than distributions have.
AZURITE_VERSION = "3.35.0"
VERSITYGW_VERSION = "v1.8.0"

INSTALL_SECONDS_MAX = 1200


def cache() -> Path:
    """Where servers are kept, for all clones of this user."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "taquba-servers"


def s3proxy_jar() -> Path:
    """S3Proxy, one file with everything in it. Needs `java` to run."""
    return cache() / f"s3proxy-{S3PROXY_VERSION}.jar"


def azurite_program() -> Path:
    """Azurite's blob service. Needs `node` to run."""
    return cache() / f"azurite-{AZURITE_VERSION}" / "node_modules" / ".bin" / "azurite-blob"


def versitygw_program() -> Path:
    """The S3 gateway that stands in where no Java is."""
    on_path = shutil.which("versitygw")
    return Path(on_path) if on_path else cache() / f"versitygw-{VERSITYGW_VERSION}"


def run(*command: str | Path, **environment: str) -> None:
    """Runs one step of an installation."""
    subprocess.run(
        [str(part) for part in command],
        check=True,
        timeout=INSTALL_SECONDS_MAX,
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
        env=os.environ | environment,
    )


def install_s3proxy(work: Path) -> None:
    """Fetches the jar with Maven, into a repository of its own."""
    artifact = f"org.gaul:s3proxy:{S3PROXY_VERSION}:jar:jar-with-dependencies"
    options = [f"-Dmaven.repo.local={work}", "-Dtransitive=false", f"-Dartifact={artifact}"]
    run("mvn", "-q", "-B", "dependency:get", *options)
    [jar] = work.rglob(f"s3proxy-{S3PROXY_VERSION}-jar-with-dependencies.jar")
    jar.replace(s3proxy_jar())


def install_versitygw(work: Path) -> None:
    """Compiles the gateway: some minutes."""
    package = f"github.com/versity/versitygw/cmd/versitygw@{VERSITYGW_VERSION}"
    run("go", "install", "-ldflags=-s -w", package, GOBIN=str(work), GOFLAGS="")
    (work / "versitygw").replace(versitygw_program())


def install_azurite(work: Path) -> None:
    """Fetches Azurite with npm."""
    quiet = ["--no-audit", "--no-fund", "--loglevel=error"]
    run("npm", "install", *quiet, "--prefix", work, f"azurite@{AZURITE_VERSION}")
    work.replace(azurite_program().parents[2])


def attempt(
    name: str, program: Callable[[], Path], needs: list[str], install: Callable[[Path], None]
) -> bool:
    """Installs one server if it is not there. Returns whether it is there now."""
    if not program().exists():
        lacking = [tool for tool in needs if shutil.which(tool) is None]
        if lacking:
            print(f"== {name}: not installed, needs {' and '.join(lacking)}")
            return False
        print(f"== {name}: installing into {cache()}", flush=True)
        # Beside its destination, so that the last step is a rename: a second session that installs
        # at the same time, or a broken connection, leaves nothing half done.
        work = Path(tempfile.mkdtemp(prefix=".installing-", dir=cache()))
        try:
            install(work)
        except (OSError, subprocess.SubprocessError, ValueError) as error:
            if not program().exists():
                print(f"== {name}: not installed: {error}")
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return program().exists()


def main() -> None:
    """Installs everything that the machine can run."""
    cache().mkdir(parents=True, exist_ok=True)
    has_s3 = attempt("S3Proxy", s3proxy_jar, ["java", "mvn"], install_s3proxy)
    if not has_s3:
        attempt("versitygw", versitygw_program, ["go"], install_versitygw)
    attempt("Azurite", azurite_program, ["node", "npm"], install_azurite)


if __name__ == "__main__":
    main()
