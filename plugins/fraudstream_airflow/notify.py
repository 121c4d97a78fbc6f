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


class NotTakenError(FraudstreamError):
    """A service wasn't told. The message names its place in the setting, and never its URL, which holds secrets."""


def is_on(settings: Settings) -> bool:
    """True when the settings name anybody to tell."""
    return bool(settings.notify.urls.get_secret_value().strip())


def send(settings: Settings, incidents: Sequence[Incident]) -> None:
    """Tells every service. Raises NotTakenError after all were tried.

    The provider's AppriseHook would drop apprise's answer, and with it whether anybody was told.
    """
    import apprise  # here, since every component of Airflow loads the Dags

    kind = apprise.NotifyType.SUCCESS if messages.is_over(incidents) else apprise.NotifyType.WARNING
    failed = []
    for number, url in enumerate(settings.notify.urls.get_secret_value().split(), start=1):
        with _unlogged():
            service = apprise.Apprise()
            if not service.add(url):
                failed.append(f"number {number} isn't a URL that apprise knows")
            elif not service.notify(messages.text(incidents), messages.title(incidents), notify_type=kind):
                failed.append(f"number {number} ({url.partition(':')[0]}) didn't take it")
    if failed:
        raise NotTakenError(f"of the services in {URLS}, {'; '.join(failed)}; it is tried again at the next run")


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
