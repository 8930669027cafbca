"""What a browser complains about while a page is used."""

from typing import final
from urllib.parse import urlsplit

from playwright.sync_api import ConsoleMessage, Dialog, Page, Request


@final
class Watch:
    """Collects complaints: errors and warnings, dialogs, and requests that leave this machine.

    Attributes:
        complaints: What was found, in order.
    """

    def __init__(self) -> None:
        self.complaints: list[str] = []
        self._expected: list[str] = []

    def expect(self, text: str) -> None:
        """Let complaints pass that have this text in them."""
        self._expected.append(text)

    def follow(self, page: Page) -> None:
        """Listen to a page."""
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self._add(f"uncaught: {error}"))
        page.on("dialog", self._on_dialog)
        page.on("request", self._on_request)

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self._add(f"{message.type}: {message.text} ({message.location['url']})")

    def _on_dialog(self, dialog: Dialog) -> None:
        self._add(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _on_request(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme != "data" and parts.hostname != "127.0.0.1":
            self._add(f"request to {request.url}")

    def _add(self, complaint: str) -> None:
        if not any(text in complaint for text in self._expected):
            self.complaints.append(complaint)
