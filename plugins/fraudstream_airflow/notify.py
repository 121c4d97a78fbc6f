"""Telling people: mail, Slack, webhooks and what else apprise knows, as the settings name them."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from fraudstream.errors import FraudstreamError
from fraudstream.settings import Settings
from fraudstream.watch import messages
from fraudstream.watch.incidents import Incident

URLS = "FRAUDSTREAM_NOTIFY__URLS"
#: Loggers that write down URLs, which hold tokens.
_TALKATIVE = ("apprise", "urllib3.connectionpool")


log = logging.getLogger(__name__)


class NotTakenError(FraudstreamError):
    """Nobody was told. The message names services by their place in the setting, and never a URL: it holds secrets."""


def is_on(settings: Settings) -> bool:
    """True when the settings name anybody to tell."""
    return bool(settings.notify.urls.get_secret_value().strip())


def send(settings: Settings, incidents: Sequence[Incident]) -> None:
    """Tells every service. Raises NotTakenError when none took it.

    Where one did, the others' failures are in the log alone: to try again would tell that one again and again. The
    provider's AppriseHook would drop apprise's answer, and with it whether anybody was told.
    """
    urls = settings.notify.urls.get_secret_value().split()
    failed = [failure for number, url in enumerate(urls, start=1) if (failure := _send(number, url, incidents))]
    if failed:
        told = f"of the services in {URLS}, {'; '.join(failed)}"
        if len(failed) == len(urls):
            raise NotTakenError(f"{told}; it is tried again at the next run")
        log.error("%s; the others were told", told)


def _send(number: int, url: str, incidents: Sequence[Incident]) -> str:
    """Tells one service. Returns what failed, or nothing."""
    import apprise  # here, since every component of Airflow loads the Dags

    kind = apprise.NotifyType.SUCCESS if messages.is_over(incidents) else apprise.NotifyType.WARNING
    with _unlogged():
        service = apprise.Apprise()
        if not service.add(url):
            return f"number {number} isn't a URL that apprise knows"
        if not service.notify(messages.text(incidents), messages.title(incidents), notify_type=kind):
            return f"number {number} ({url.partition(':')[0]}) didn't take it"
    return ""


@contextmanager
def _unlogged() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in _TALKATIVE]
    before = [logger.disabled for logger in loggers]
    for logger in loggers:
        logger.disabled = True
    try:
        yield
    finally:
        for logger, disabled in zip(loggers, before, strict=True):
            logger.disabled = disabled
