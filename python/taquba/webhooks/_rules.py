"""Which receivers are sent to, as hook, worker and `webhook_job` are told it."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Final

from taquba import _taquba
from taquba._checks import (
    PORT_MAX,
    Seconds,
    check_between,
    check_count,
    check_instance,
    refuse,
    refuse_type,
)

__all__ = ["PORTS", "TIMEOUT", "make_rules", "read_timeout"]

PORTS: Final = (443, 80, 8443)
"""Ports on which receivers are met."""

TIMEOUT: Final = timedelta(seconds=20)
"""Receivers are asked to answer first and work afterwards; slower ones do the work first."""

_TIMEOUT_MIN: Final = timedelta(milliseconds=1)
# A delivery holds a place of the worker for as long.
_TIMEOUT_MAX: Final = timedelta(minutes=5)


def make_rules(
    *,
    allow_http: bool,
    allow_networks: Iterable[str],
    allowed_hosts: Iterable[str] | None,
    ports: Iterable[int],
) -> _taquba.WebhookRules:
    """Check settings, and make what checks URLs by them.

    Args:
        allow_http: Whether `http` is taken beside `https`.
        allow_networks: Networks that are taken although they are not public.
        allowed_hosts: Hosts that are taken; `None` takes all.
        ports: Ports that are taken.

    Raises:
        InvalidArgumentError: A value is outside its bounds; the message names both.
    """
    check_instance("allow_http", allow_http, bool)
    check_instance("ports", ports, Iterable)
    kept_ports = list(ports)
    if not kept_ports:
        refuse("ports", kept_ports, "give at least one port, such as 443")
    for port in kept_ports:
        check_count("ports", port, PORT_MAX)
    return _taquba.WebhookRules(
        allow_http=allow_http,
        ports=kept_ports,
        allowed_hosts=None if allowed_hosts is None else _texts("allowed_hosts", allowed_hosts),
        allow_networks=_texts("allow_networks", allow_networks),
    )


def read_timeout(value: Seconds) -> timedelta:
    """Read the timeout of a delivery, and refuse one outside its bounds."""
    timeout = _taquba.duration("timeout", value)
    check_between("timeout", timeout, _TIMEOUT_MIN, _TIMEOUT_MAX)
    return timeout


def _texts(name: str, values: Iterable[str]) -> list[str]:
    # A text is a collection of texts, and never what was meant.
    if isinstance(values, str) or not isinstance(values, Iterable):
        refuse_type(name, values, "give a list of `str`")
    return list(values)
