"""Stores of every layout, as a process leaves them that was killed.

| name | log | what it is for |
|---|---|---|
| `disk` | files | tables, compactions, payload objects, memos beside the queue |
| `objects` | objects, one for each commit | as on an object store: written to S3, copied |
| `records` | files | every record is in one segment, where it can be damaged behind its checksum |
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

import obstore
import obstore.store

from tests.corruption import content
from tests.stores.s3 import BUCKET, REGION, S3Server, s3_server

PATH = "taquba"


@dataclass(frozen=True)
class Template:
    """A sound store: where it is, and what it gives back."""

    name: str
    directory: Path
    content: content.Content

    def files(self) -> list[Path]:
        """Its files, by their names below the directory."""
        files = (file for file in self.directory.rglob("*") if file.is_file())
        return sorted(file.relative_to(self.directory) for file in files)


async def make_disk(root: Path) -> Template:
    """A store on a local disk, of three owners."""
    origin, image = root / "disk-origin", root / "disk"
    queue, written = await content.write(origin, owner_count=3)
    await content.write_memos(origin)
    shutil.copytree(origin, image)
    await queue.close()
    shutil.rmtree(origin)
    return Template("disk", image, written)


async def make_records(root: Path) -> Template:
    """A store of which everything is in one segment of the log."""
    origin, image = root / "records-origin", root / "records"
    queue, written = await content.write(origin, owner_count=1)
    shutil.copytree(origin, image)
    await queue.close()
    shutil.rmtree(origin)
    return Template("records", image, written)


async def make_objects(root: Path) -> Template:
    """A store as it is in a bucket, in a directory: a database keeps the log that it began with."""
    image = root / "objects"
    with s3_server() as server:
        queue, written = await content.write(server.store(), owner_count=3)
        _copy(server, image)
        await queue.close()
    return Template("objects", image, written)


def _copy(server: S3Server, image: Path) -> None:
    bucket = obstore.store.S3Store(
        BUCKET,
        endpoint=server.endpoint,
        region=REGION,
        access_key_id="test-key",
        secret_access_key="test-secret",
        client_options={"allow_http": True},
    )
    for page in obstore.list(bucket):
        for found in page:
            file = image / found["path"]
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(obstore.get(bucket, found["path"]).bytes())
