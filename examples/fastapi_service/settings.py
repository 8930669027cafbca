"""What the environment says about the service, checked once, at the start.

A service that lacks something it needs does not start: it says what, and how to get it.
"""

import os
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of one process.

    Args:
        store: Where everything durable lives: a URL or a directory. One process owns it.
        webhook_secret: Signs webhooks: `whsec_` and the base64 of 24 to 64 random bytes.
        loopback_ports: For trials only: webhooks may go to `http://127.0.0.1` on these ports, and
            nowhere else.
        admin_token: What `/admin` asks for; without one there is no `/admin`.
        host: Where the service listens.
        port: The same.
    """

    store: str
    webhook_secret: str
    loopback_ports: tuple[int, ...] = ()
    admin_token: str | None = None
    host: str = "127.0.0.1"
    port: int = 8000

    @classmethod
    def from_environment(cls) -> "Settings":
        """Reads the environment."""
        secret = os.environ.get("WEBHOOK_SECRET")
        if secret is None:
            make = 'export WEBHOOK_SECRET="whsec_$(openssl rand -base64 32)"'
            raise SystemExit(f"WEBHOOK_SECRET is missing; for a new one: {make}")
        loopback_ports = os.environ.get("WEBHOOK_LOOPBACK_PORTS", "").split()
        return cls(
            store=os.environ.get("TAQUBA_URL", ".taquba-service"),
            webhook_secret=secret,
            loopback_ports=tuple(int(port) for port in loopback_ports),
            admin_token=os.environ.get("TAQUBA_ADMIN_TOKEN") or None,
            host=os.environ.get("SERVICE_HOST", "127.0.0.1"),
            port=int(os.environ.get("SERVICE_PORT", "8000")),
        )

    def webhook_rules(self) -> dict[str, Any]:
        """Where webhooks may go: to public addresses by https, unless this is a trial."""
        if not self.loopback_ports:
            return {}
        return {
            "allow_http": True,
            "allow_networks": ["127.0.0.0/8"],
            "allowed_hosts": ["127.0.0.1"],
            "ports": self.loopback_ports,
        }
