"""The files of the dashboard, as they are in the package.

Invariants:
    1. Only files that were there when the app was made are served, by their exact names: a path
       is looked up, never opened, so none leads elsewhere.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from starlette.requests import Request
from starlette.responses import Response

__all__ = ["File", "find_files"]

_PLACE: Final = Path(__file__).parent / "static"
_INDEX: Final = "index.html"
_TYPES: Final[Mapping[str, str]] = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/x-icon",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".webmanifest": "application/manifest+json",
    ".woff2": "font/woff2",
}
_ETAG_DIGITS: Final = 32


@final
@dataclass(frozen=True, slots=True)
class File:
    """One file.

    Args:
        data: Its bytes.
        media_type: What they are.
        etag: What a browser that has it sends.
    """

    data: bytes
    media_type: str
    etag: str

    def answer(self, request: Request) -> Response:
        """Return the file, or word that the browser has it."""
        headers = {"ETag": self.etag, "Cache-Control": "no-cache"}
        known = {one.strip() for one in request.headers.get("if-none-match", "").split(",")}
        if self.etag in known:
            return Response(status_code=304, headers=headers)
        return Response(self.data, headers=headers, media_type=self.media_type)


def find_files() -> dict[str, File]:
    """Return the files by their paths below the app."""
    files: dict[str, File] = {}
    for file in sorted(_PLACE.rglob("*")):
        media_type = _TYPES.get(file.suffix)
        if media_type is not None and file.is_file():
            name = file.relative_to(_PLACE).as_posix()
            files[f"/static/{name}"] = _read(file, media_type)
            if name == _INDEX:
                files["/"] = files[f"/static/{name}"]
    return files


def _read(file: Path, media_type: str) -> File:
    data = file.read_bytes()
    digest = hashlib.sha256(data).hexdigest()[:_ETAG_DIGITS]
    return File(data, media_type, f'"{digest}"')
