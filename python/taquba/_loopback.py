"""Which names and addresses are this machine's own, for whoever serves and whoever asks."""

import ipaddress

__all__ = ["is_loopback"]


def is_loopback(name: str) -> bool:
    """Return whether a name or an address is this machine's own."""
    if name.lower() == "localhost":
        return True
    try:
        address = ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback
