"""Secrets in text: what looks like one is replaced before the text leaves the process.

Used for everything that others wrote and that goes into a log, a span, a metric, a table or a page:
errors of runners, messages of stores, headers. It knows the usual shapes of secrets (names beside
values, authorization schemes, URLs with a password or a signature, keys with a known prefix), so it
is the last door and not the only one: what needs no text of others shows none.

Invariants:
    1. Time and length of the answer grow with the text, not faster: no rule looks twice at what it
       has passed, or not further than a fixed number of characters.
    2. What was redacted once stays as it is.
    3. A name is kept, its value is not: `password=[redacted]` tells where to look.

Not here:
    Control characters and the length of a text are the business of whoever shows it.
"""

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

__all__ = ["REDACTED", "redact_headers", "redact_text"]

REDACTED: Final = "[redacted]"
"""What stands where a secret stood."""

# Counts of the tokens of a language model are no secrets, and stand in many errors.
_NAMES: Final = r"""(?:
    authorization | cookie | passw(?:or)?d | passphrase | secret | credential
  | api[-_]?key | (?:access|account|private|signing|encryption)[-_]?key
  | token(?!s|iz|[-_]?(?:count|limit|usage|budget))
)"""
# Names that mean a secret as parameters of a URL only.
_PARAMETERS: Final = "(?:auth|code|jwt|key|pass|pwd|sas|sig|signature)"


@dataclass(frozen=True, slots=True)
class _Rule:
    """Texts without one of `hints` (lower case) are not searched; the groups of a match are kept.

    A pattern that ends in letters goes on to the end of the word: else a second pass might begin
    where the first one could not.
    """

    hints: tuple[str, ...]
    pattern: str
    replacement: str
    flags: re.RegexFlag


def _rule(hints: str, pattern: str, replacement: str, flags: re.RegexFlag = re.ASCII) -> _Rule:
    replacement = replacement.replace("*", REDACTED)
    return _Rule(tuple(hints.split()), pattern, replacement, flags | re.ASCII | re.VERBOSE)


_RULES: Final = (
    # Private keys, whole, also if the end was cut off.
    _rule(
        "private",
        r"-----BEGIN[ ][A-Z ]{0,32}PRIVATE[ ]KEY.*?(?:-----END[ ][A-Z ]{0,32}-----|\Z)",
        "*",
        re.DOTALL,
    ),
    # Secret keys of AWS have no prefix: 40 characters, neither a word nor a hexadecimal digest.
    _rule(
        "",
        r"""(?<![A-Za-z0-9/+])(?<!\[redacted\])
            (?=[A-Za-z0-9/+]{0,39}[A-Z])(?=[A-Za-z0-9/+]{0,39}[a-z])(?=[A-Za-z0-9/+]{0,39}[0-9])
            [A-Za-z0-9/+]{40}(?![A-Za-z0-9/+=])(?!\[redacted\])""",
        "*",
    ),
    # Their key ids.
    _rule("akia asia", r"(?<![A-Za-z0-9])(?:AKIA|ASIA)[A-Z0-9]{12}[A-Za-z0-9_\-]*+", "*"),
    _rule("whsec_", r"(whsec_)[A-Za-z0-9+/=_\-]++", r"\1*"),
    # Keys that say by their prefix whose they are.
    _rule(
        "sk- sk_ rk_ ghp_ gho_ ghu_ ghs_ ghr_ github_pat_ glpat- xox aiza npm_ hf_ eyj",
        r"""(?<![A-Za-z0-9])(?:
              (?:sk|rk)[-_][A-Za-z0-9_\-]{16}
            | (?:gh[pousr]_|npm_|hf_)[A-Za-z0-9]{16}
            | (?:github_pat_|glpat-|xox[a-z]-)[A-Za-z0-9_\-]{10}
            | AIza[A-Za-z0-9_\-]{30}
            | eyJ[A-Za-z0-9_\-]{8,}+\.[A-Za-z0-9_\-]{4,}+\.
            )[A-Za-z0-9_\-]*+""",
        "*",
    ),
    # A header of HTTP and its value, which reaches to the end of the line if it is not quoted.
    _rule(
        "authorization cookie",
        r"""((?:authorization|cookie) (?:=|:(?!:)) [ \t]{0,4}) [^\s"'] [^\r\n"']*+""",
        r"\1*",
        re.IGNORECASE,
    ),
    # A name and its value: quoted, perhaps inside of a call, perhaps cut off; quoted in a quoted
    # text; bare.
    _rule(
        "authorization cookie passw passphrase secret credential key token",
        rf"""({_NAMES}[A-Za-z0-9_\-]{{0,64}}+ \\{{0,3}}["']? \s{{0,4}}(?:=>|:=|:(?!:)|=)\s{{0,4}})
            (?:
              ([A-Za-z_.]{{0,32}}\(?) (?: (")(?:\\.|[^"\\\n])*+"? | (')(?:\\.|[^'\\\n])*+'? )
            | (\\{{1,3}}["']) [^"'\\\n]++
            | [^\s"'&,;<>(){{}}|\\]++
            )""",
        r"\1\2\3\4\5*\3\4",
        re.IGNORECASE,
    ),
    _rule(
        "=",
        rf"""((?:[?&;]|\bx-[a-z]{{1,8}}-|\b(?=sig)){_PARAMETERS}=) [^\s"'&,;<>(){{}}|\\]++""",
        r"\1*",
        re.IGNORECASE,
    ),
    _rule("bearer", r"(\bbearer[ \t]{1,4})[^\s\"',;<>(){}|\\]++", r"\1*", re.IGNORECASE),
    # Prose has words after `basic`; base64 has more than small letters.
    _rule(
        "basic",
        r"(\b[Bb]asic[ \t]{1,4})(?=.[a-z]{0,64}[A-Z0-9+/=])[A-Za-z0-9+/=_\-]{6,}+",
        r"\1*",
    ),
    # Before the `@` of a URL; a password with an unescaped slash is no valid one, and is met.
    _rule(
        "://",
        r"""(?<=://)(?:
              [^\s/?#@"'<>]++
            | [^\s/?#@:"'<>]{0,128}:(?!\d{1,5}[/?#])[^\s@"'<>]{1,128}
            )@(?:[^\s/?#@"'<>]*+@)*+""",
        "*@",
    ),
    # The same where the text was cut off before it: neither a port nor the word for one.
    _rule(
        "://",
        r"""(?<=://)(?:\[redacted\]|[^\s/?#@:"'<>[])*+:
            (?!(?:\d{1,5}|[A-Z]+)\Z)[^\s/?#@"'<>]++\Z""",
        "*",
    ),
)


_SECRET_NAME: Final = re.compile(_NAMES, re.ASCII | re.IGNORECASE | re.VERBOSE)

# Whoever knows the path of a webhook can often send to it: what follows the host is not shown.
_WEBHOOK_URL: Final = "webhook.url"
_AFTER_HOST: Final = re.compile(r"(?<=//)([^/?#]*)[/?#].+", re.DOTALL)


def redact_text(text: str) -> str:
    """Replace what looks like a secret by `[redacted]`.

    Args:
        text: Any text, of any length.

    Returns:
        The text, at most four times as long as it was; the same text if nothing was found.

    Example:
        >>> redact_text("GET https://u:hunter2@host/?X-Amz-Signature=ab12 failed")
        'GET https://[redacted]@host/?X-Amz-Signature=[redacted] failed'
    """
    lower = text.lower()
    for rule in _RULES:
        if any(hint in lower for hint in rule.hints) or not rule.hints:
            text = _compiled(rule).sub(rule.replacement, text)
    return text


@functools.cache
def _compiled(rule: _Rule) -> re.Pattern[str]:
    # When first needed: to compile all of them takes as long as much of the package to import.
    return re.compile(rule.pattern, rule.flags)


def redact_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Replace the values of headers whose name means a secret, and secrets in the other values.

    Of the address of a webhook only the host stays.

    Args:
        headers: Names and values. Names are kept as they are, and their order too.
    """
    return {name: _redact_value(name, value) for name, value in headers.items()}


def _redact_value(name: str, value: str) -> str:
    if _SECRET_NAME.search(name):
        return REDACTED
    text = redact_text(value)
    if name == _WEBHOOK_URL:
        text = _AFTER_HOST.sub(rf"\1/{REDACTED}", text)
    return text
