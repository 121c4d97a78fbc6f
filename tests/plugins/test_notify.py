"""People are told: over a real SMTP server and a real web server, and no secret reaches an error or a log."""

import email
import email.policy
import logging
import os
import socketserver
import threading
import unittest
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http import HTTPStatus
from unittest.mock import patch

from fraudstream_airflow import notify

from fraudstream.settings import Settings, load_settings
from fraudstream.watch.checks import Severity
from fraudstream.watch.incidents import Incident
from tests.hooks import Hooks

OPENED = datetime(2026, 3, 1, 12, tzinfo=UTC)
DISK = Incident(7, "disk", "/data", Severity.CRITICAL, "full in 3 hours", OPENED, None, None)
LAG = Incident(6, "lag", "", Severity.WARNING, "60000 messages wait", OPENED, None, None)
OVER = Incident(5, "books", "", Severity.CRITICAL, "1 difference", OPENED, None, OPENED)
SECRET = "hush-hush-3141"


class Mailbox(socketserver.ThreadingTCPServer):
    """An SMTP server (RFC 5321) that takes every message, without TLS."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _SmtpSession)
        self.messages: list[str] = []


class _SmtpSession(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        self._say("220 mailbox")
        for line in self.rfile:
            command = line.strip().upper()
            if command == b"DATA":
                self._say("354 go on")
                text = b"".join(iter(self.rfile.readline, b".\r\n"))
                self.server.messages.append(text.decode())  # type: ignore[attr-defined]
            if command == b"QUIT":
                self._say("221 bye")
                return
            self._say("250 ok")

    def _say(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())


@contextmanager
def serving(server: socketserver.BaseServer) -> Iterator[int]:
    """The server's port, while it serves."""
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def settings_for(*urls: str) -> Settings:
    with patch.dict(os.environ, {"FRAUDSTREAM_NOTIFY__URLS": " ".join(urls)}):
        return load_settings()


class NotifyTest(unittest.TestCase):
    def test_nobody_is_told_by_default(self) -> None:
        self.assertFalse(notify.is_on(load_settings()))

    def test_a_mail_names_the_most_important_first(self) -> None:
        mailbox = Mailbox()
        with serving(mailbox) as port:
            settings = settings_for(f"mailto://127.0.0.1:{port}?from=watch@shop.example&to=night@shop.example")
            self.assertTrue(notify.is_on(settings))
            notify.send(settings, [LAG, DISK])
        [text] = mailbox.messages
        mail = email.message_from_string(text, policy=email.policy.default)
        self.assertEqual(mail["Subject"], "Fraudstream, critical: disk /data: full in 3 hours (and 1 more)")
        self.assertIn("night@shop.example", mail["To"])
        body = mail.get_body(("plain", "html")).get_content()
        self.assertLess(body.index("full in 3 hours"), body.index("60000 messages wait"))
        self.assertIn("./fraudctl incidents", body)

    def test_a_webhook_is_told_what_is_over_as_a_success(self) -> None:
        hooks = Hooks()
        with serving(hooks) as port:
            settings = settings_for(f"json://127.0.0.1:{port}/alerts", f"json://127.0.0.1:{port}/board")
            notify.send(settings, [DISK])
            notify.send(settings, [OVER])
        self.assertEqual([path for path, _ in hooks.posted], ["/alerts", "/board"] * 2)
        self.assertEqual([body["type"] for _, body in hooks.posted], ["warning"] * 2 + ["success"] * 2)
        self.assertIn("over, 2026-03-01 12:00 UTC, number 5: books: 1 difference", str(hooks.posted[-1][1]["message"]))

    def test_a_service_that_fails_is_named_and_the_others_are_told(self) -> None:
        hooks, broken = Hooks(), Hooks()
        broken.status = HTTPStatus.INTERNAL_SERVER_ERROR
        with serving(hooks) as port, serving(broken) as broken_port, self.assertLogs(level=logging.DEBUG) as logged:
            bad = (f"json://user:{SECRET}@127.0.0.1:{broken_port}/x?-{SECRET}={SECRET}", f"nonsense{SECRET}")
            settings = settings_for(*bad, f"json://127.0.0.1:{port}/ok")
            notify.send(settings, [DISK])
            with self.assertRaises(notify.NotTakenError) as raised:
                notify.send(settings_for(*bad), [DISK])
        told = (
            "of the services in FRAUDSTREAM_NOTIFY__URLS, number 1 (json) didn't take it; number 2 isn't a URL that "
            "apprise knows"
        )
        self.assertEqual(str(raised.exception), f"{told}; it is tried again at the next run")
        self.assertEqual(logged.output, [f"ERROR:fraudstream_airflow.notify:{told}; the others were told"])
        self.assertEqual(len(hooks.posted), 1)
        self.assertNotIn(SECRET, str(settings))


if __name__ == "__main__":
    unittest.main()
