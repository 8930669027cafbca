"""Webhooks: the ends of runs, and other news, sent to URLs that others have chosen."""

from taquba.exceptions import WebhookVerificationError
from taquba.webhooks._circuit import Circuit
from taquba.webhooks._hook import WebhookTerminalHook
from taquba.webhooks._order import webhook_job
from taquba.webhooks._signature import sign, verify
from taquba.webhooks._worker import WebhookWorker

__all__ = [
    "Circuit",
    "WebhookTerminalHook",
    "WebhookVerificationError",
    "WebhookWorker",
    "sign",
    "verify",
    "webhook_job",
]
