"""Who has logged in: sessions of browsers, and how often a wrong token was given.

Invariants:
    1. A session is known by the digest of its id: what is in memory opens nothing.
    2. A session ends `SESSION_SECONDS` after it began, or when somebody logs out; never later.
    3. Tokens are compared in a time that says nothing of them.
    4. More than `WRONG_COUNT_MAX` wrong tokens and malformed logins within a minute are all told to
       wait; the right token never is.
"""

import hashlib
import hmac
import secrets
import time
from collections import OrderedDict, deque
from typing import Final, final

from taquba.admin._refusal import Refusal

__all__ = ["SESSION_SECONDS", "Sessions", "new_token"]

SESSION_SECONDS: Final = 12 * 3600
"""How long a session lasts: a shift, and a night is longer."""

WRONG_COUNT_MAX: Final = 10
_WRONG_SECONDS: Final = 60.0
_SESSION_COUNT_MAX: Final = 1_000
_SECRET_BYTES: Final = 32


def new_token() -> str:
    """Make a token for `create_app`: 32 random bytes, as text that is safe in URLs and headers.

    Example:
        >>> app = create_app(queue, token=new_token())
    """
    return secrets.token_urlsafe(_SECRET_BYTES)


@final
class Sessions:
    """The token of an app, the sessions that were opened with it, and what proves a page's origin.

    Args:
        token: What opens a session; `None` if no one needs to log in.
    """

    def __init__(self, token: str | None) -> None:
        self._token = None if token is None else _digest(token.encode())
        self._key = secrets.token_bytes(_SECRET_BYTES)
        self._ends_by_digest: OrderedDict[bytes, float] = OrderedDict()
        self._wrong_at: deque[float] = deque(maxlen=WRONG_COUNT_MAX)

    @property
    def has_token(self) -> bool:
        """Whether a token is needed."""
        return self._token is not None

    def check_token(self, given: bytes) -> None:
        """Compare a token.

        Raises:
            Refusal: It is wrong, or one of too many wrong ones.
        """
        if self._token is not None and hmac.compare_digest(_digest(given), self._token):
            return
        self.count_wrong()
        message = "the token is wrong"
        raise unauthorized(message)

    def count_wrong(self) -> None:
        """Count a wrong token, or a login that is none.

        Raises:
            Refusal: It is one of too many.
        """
        now = time.monotonic()
        is_full = len(self._wrong_at) == WRONG_COUNT_MAX
        if is_full and now - self._wrong_at[0] < _WRONG_SECONDS:
            message = "too many wrong tokens: wait a minute"
            raise Refusal(429, "too-many-wrong-tokens", message, headers={"Retry-After": "60"})
        self._wrong_at.append(now)

    def begin(self) -> str:
        """Open a session, and return its id."""
        session = secrets.token_urlsafe(_SECRET_BYTES)
        self._ends_by_digest[_digest(session.encode())] = time.monotonic() + SESSION_SECONDS
        while len(self._ends_by_digest) > _SESSION_COUNT_MAX:
            self._ends_by_digest.popitem(last=False)
        return session

    def is_open(self, session: str) -> bool:
        """Return whether a session goes on."""
        digest = _digest(session.encode(errors="replace"))
        ends = self._ends_by_digest.get(digest)
        if ends is not None and ends <= time.monotonic():
            del self._ends_by_digest[digest]
            return False
        return ends is not None

    def end(self, session: str) -> None:
        """Close a session, if it is open."""
        self._ends_by_digest.pop(_digest(session.encode(errors="replace")), None)

    def proof(self, session: str | None) -> str:
        """Return what a page has to send with each change: only pages of this app can read it."""
        digest = b"" if session is None else _digest(session.encode(errors="replace"))
        return hmac.new(self._key, digest, "sha256").hexdigest()


def unauthorized(message: str) -> Refusal:
    """Return the refusal that asks for a token."""
    return Refusal(
        401,
        "unauthorized",
        message,
        headers={"WWW-Authenticate": "Bearer"},
        extra={"needs_login": True},
    )


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()
