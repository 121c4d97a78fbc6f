"""The changes that a chart over time marks: new challengers, promotions, versions of the policy.

They are an annotation layer of Superset's, which it reads from its own database with a chart's rows, and asks no right
for. So whoever asks a chart for data copies them there from the platform's tables first, at most every few seconds. No
text that people wrote is among them: what a comment says of a customer would outlive an erasure here.
"""

import logging
import threading
import time
from collections.abc import Iterable
from datetime import datetime
from functools import cache

import runtime_file
from event_log import REFRESHES
from flask import request
from sqlalchemy import create_engine, text
from sqlalchemy.engine import Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool
from superset import db
from superset.models.annotations import Annotation, AnnotationLayer

log = logging.getLogger("fraudstream.superset")

LAYER = "Changes"
#: A change is seen so many seconds after it was made, at most, and with the next refresh.
SECONDS = 10.0
#: The newest so many; times in UTC. A model that was promoted as it was registered is told once.
_CHANGES = """
SELECT at AT TIME ZONE 'UTC' AS at, told FROM (
    SELECT registered_at AS at, 'Challenger ' || version AS told FROM fraud.model_versions
    WHERE promoted_at IS NULL OR promoted_at > registered_at + interval '1 minute'
    UNION ALL
    SELECT promoted_at, 'Model ' || version || ' promoted' FROM fraud.model_versions
    UNION ALL
    SELECT approved_at, 'Policy ' || policy_version || COALESCE(', back to ' || rolled_back_to, '')
    FROM fraud.policy_versions
) AS changes
WHERE at IS NOT NULL ORDER BY at DESC, told LIMIT 200
"""
Change = tuple[datetime, str]


class Copier:
    """Copies the changes, by one request at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._due = 0.0

    def before_request(self) -> None:
        """Copies them before a chart is asked, when they weren't for `SECONDS`; charts answer without them, too."""
        if not REFRESHES.match(request.path) or time.monotonic() < self._due or not self._lock.acquire(blocking=False):
            return
        try:
            keep(changes())
        except SQLAlchemyError:
            db.session.rollback()
            log.warning("The changes that charts mark weren't copied: the next one who asks tries again", exc_info=True)
        finally:
            self._due = time.monotonic() + SECONDS
            self._lock.release()


@cache
def _engine() -> Engine:
    uri = runtime_file.load().charts_uri
    return create_engine(uri, poolclass=NullPool, connect_args={"application_name": "changes"})


def changes() -> list[Change]:
    """The platform's changes, newest first: when (UTC, without a zone) and what. Raises SQLAlchemyError."""
    with _engine().connect() as connection:
        return [(at, told) for at, told in connection.execute(text(_CHANGES))]


def layer() -> AnnotationLayer:
    """The layer, which is made when it isn't there."""
    found = db.session.query(AnnotationLayer).filter_by(name=LAYER).order_by(AnnotationLayer.id).first()
    if found is None:
        found = AnnotationLayer(name=LAYER, descr="Challengers, promotions and versions of the policy; kept up to date")
        db.session.add(found)
        db.session.commit()
    return found


def keep(wanted: Iterable[Change]) -> None:
    """Makes the layer's annotations these. Raises SQLAlchemyError."""
    into, missing = layer(), set(wanted)
    for annotation in list(into.annotation):
        change = (annotation.start_dttm, annotation.short_descr)
        if change in missing:
            missing.remove(change)
        else:
            db.session.delete(annotation)
    for at, told in sorted(missing):
        db.session.add(Annotation(layer_id=into.id, start_dttm=at, end_dttm=at, short_descr=told, long_descr=""))
    db.session.commit()
