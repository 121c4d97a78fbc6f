"""Named failpoints: places around every commit step where a test lets the streaming job die, fail or pause.

For tests, set by `FRAUDSTREAM_STREAM__FAILPOINTS`, for example `after-commit=kill@3,before-publish=error`:

- `NAME=kill`: SIGKILL to the whole process group: driver and JVM, or the Python daemon and its workers
- `NAME=error`: raises FailpointError
- `NAME=pause:SECONDS`: sleeps

`@N` lets it fire at the N-th passing instead of the first. Each fires once a process. When none is set, passing one
costs a look into an empty dict.
"""

import logging
import os
import signal
import time
from dataclasses import dataclass, field
from enum import StrEnum

from fraudstream.errors import FraudstreamError

log = logging.getLogger(__name__)

PROBLEM = "failpoints are set ({spec}), which are for tests: unset FRAUDSTREAM_STREAM__FAILPOINTS"


class Failpoint(StrEnum):
    """The places, by who passes them (a micro-batch, the archive, an erasure, …), each in the order of the passing."""

    BEFORE_FENCING = "before-fencing"  # the checkpoint was looked at, the epoch is still the older driver's
    AFTER_FENCING = "after-fencing"  # the older driver is fenced, nothing is published anew yet
    BEFORE_PLAN = "before-plan"  # the offset ranges are known, nothing has run
    IN_STATE_UPDATE = "in-state-update"  # worker: a bucket's messages are applied, its state isn't stored yet
    IN_SCORING = "in-scoring"  # worker: features are known, scores aren't
    AFTER_PLAN = "after-plan"  # all outcomes are in the driver, no transaction is open
    AFTER_LEDGER_CHECK = "after-ledger-check"  # in the transaction: fence and ledger agree
    AFTER_COPY = "after-copy"  # in the transaction: rows are staged
    AFTER_APPLY = "after-apply"  # in the transaction: rows are in their tables, rollups moved
    BEFORE_COMMIT = "before-commit"  # in the transaction: the ledger's row is written
    AFTER_COMMIT = "after-commit"  # committed to Postgres, nothing published
    BEFORE_PUBLISH = "before-publish"  # a batch's messages are about to be read back
    DURING_PUBLISH = "during-publish"  # a batch's first message is with the producer
    BEFORE_MARK_PUBLISHED = "before-mark-published"  # Kafka acknowledged all, the ledger doesn't know
    AFTER_MARK_PUBLISHED = "after-mark-published"  # all done but Spark's own commit
    IN_ARCHIVE_READ = "in-archive-read"  # archive: messages are read, nothing is written
    BEFORE_ARCHIVE_APPEND = "before-archive-append"  # archive: rows are made, the table doesn't have them
    AFTER_ARCHIVE_APPEND = "after-archive-append"  # archive: the table has rows and offsets, nothing is compared
    BEFORE_ARCHIVE_NOTE = "before-archive-note"  # archive: compared with the ledger, not noted
    IN_ARCHIVE_COMPACTION = "in-archive-compaction"  # archive: a day's small files are one, the next day's aren't
    BEFORE_ARCHIVE_VACUUM = "before-archive-vacuum"  # archive: replaced files still lie there
    IN_RESCORING = "in-rescoring"  # rescoring: a part of the period is scored, nothing is kept
    BEFORE_RESCORING_COMMIT = "before-rescoring-commit"  # rescoring: the outcome is written in an open transaction
    AFTER_RESCORING_COMMIT = "after-rescoring-commit"  # rescoring: the outcome is kept, and told to nobody
    IN_ERASURE_ROWS = "in-erasure-rows"  # erasure: rows are gone in an open transaction
    AFTER_ERASURE_ROWS = "after-erasure-rows"  # erasure: rows are gone, the stream doesn't know
    AFTER_ERASURE_CONTROL = "after-erasure-control"  # erasure: Kafka has the control message, the certificate doesn't
    IN_ERASURE_LAKE = "in-erasure-lake"  # erasure: rows are out of a table of the archive, its files aren't
    IN_ERASURE_SNAPSHOTS = "in-erasure-snapshots"  # erasure: a snapshot's new files lie beside the old ones
    IN_ERASURE_HISTORIES = "in-erasure-histories"  # erasure: a history's new file lies beside the old one
    BEFORE_ERASURE_FINISH = "before-erasure-finish"  # erasure: all is done, the certificate doesn't say so
    AFTER_IMPORT_MAPPING = "after-import-mapping"  # import: a shop's files are a history, nothing is made of it
    AFTER_IMPORT_PROFILES = "after-import-profiles"  # import: all profiles are written, as a draft
    BEFORE_IMPORT_COMMIT = "before-import-commit"  # import: the snapshot is whole, Postgres doesn't know
    AFTER_IMPORT_COMMIT = "after-import-commit"  # import: done, but for what it replaced and may be deleted
    IN_EXPORT_FILE = "in-export-file"  # export: a day's rows are written, its file isn't there yet
    AFTER_EXPORT_FILE = "after-export-file"  # export: a day's file is there
    BEFORE_EXPORT_MANIFEST = "before-export-manifest"  # export: all files are there, the manifest says they aren't
    BEFORE_VERDICT_COMMIT = (
        "before-verdict-commit"  # desk, in the transaction: a verdict is inserted, the claim given back
    )
    BEFORE_VERDICT_SEND = "before-verdict-send"  # verdicts: those that are due are locked, Kafka has none
    DURING_VERDICT_SEND = "during-verdict-send"  # verdicts: the first label is with the producer
    AFTER_VERDICT_SEND = "after-verdict-send"  # verdicts: Kafka acknowledged all, none is noted as sent
    BEFORE_VERDICT_NOTE = "before-verdict-note"  # verdicts, in the transaction: all are noted as sent
    AFTER_POLICY_INSERT = (
        "after-policy-insert"  # policy, in the transaction: the version is there, the log says nothing
    )
    BEFORE_POLICY_COMMIT = "before-policy-commit"  # policy, in the transaction: the log has it, too
    IN_POLICY_APPROVAL = "in-policy-approval"  # policy, in the transaction: approved, the log says nothing
    IN_POLICY_LIST = (
        "in-policy-list"  # policy, in the transaction: replaced entries are off a list, new ones aren't on it
    )


#: Passed in Spark's Python workers; all others in the driver.
ON_WORKERS = frozenset({Failpoint.IN_STATE_UPDATE, Failpoint.IN_SCORING})
#: Passed by the Dag `archive_transactions`, not by the streaming job.
IN_ARCHIVE = frozenset(name for name in Failpoint if "archive" in name)
#: Passed by the Dag `rescore_history`.
IN_RESCORE = frozenset(name for name in Failpoint if "rescoring" in name)
#: Passed by the Dag `erase_customer`.
IN_ERASURE = frozenset(name for name in Failpoint if "erasure" in name)
#: Passed by `./fraudctl history import` and `history export`.
IN_IMPORT = frozenset(name for name in Failpoint if "import" in name)
IN_EXPORT = frozenset(name for name in Failpoint if "export" in name)
#: Passed by the desk, which inserts a verdict, and the Dag `publish_verdicts`, which sends it.
IN_VERDICTS = frozenset(name for name in Failpoint if "verdict" in name)
#: Passed by whoever changes the policy: the desk and `./fraudctl policy`, `rules` and `lists`.
IN_POLICY = frozenset(name for name in Failpoint if "policy" in name)


class FailpointError(FraudstreamError):
    """A failpoint that is set to `error` was passed."""


@dataclass
class _Armed:
    """An action at a failpoint, and the passing at which it happens."""

    name: Failpoint
    action: str
    seconds: float
    passing: int
    passed: int = field(default=0, compare=False)

    def reach(self) -> None:
        self.passed += 1
        if self.passed != self.passing:
            return
        log.warning("failpoint %s fires at passing %d: %s", self.name, self.passing, self.action)
        if self.action == "kill":
            os.killpg(os.getpgrp(), signal.SIGKILL)
        elif self.action == "error":
            raise FailpointError(f"failpoint {self.name} is set to fail; unset FRAUDSTREAM_STREAM__FAILPOINTS")
        else:
            time.sleep(self.seconds)


_armed: dict[str, _Armed] = {}


def reach(name: Failpoint) -> None:
    """Passes a failpoint. Raises FailpointError when it is set to `error`; may not return at all."""
    if armed := _armed.get(name):
        armed.reach()


def arm(spec: str) -> None:
    """Sets this process's failpoints. Those that are set already keep their counts. Raises ValueError."""
    wanted = parse(spec)
    for name in _armed.keys() - wanted.keys():
        del _armed[name]
    for name, armed in wanted.items():
        if _armed.get(name) != armed:
            _armed[name] = armed


def parse(spec: str) -> dict[str, _Armed]:
    """The failpoints of a setting, by name. Raises ValueError, which names what is wrong and what there is."""
    return {armed.name.value: armed for armed in map(_parse_one, filter(None, spec.split(",")))}


def _parse_one(text: str) -> _Armed:
    name, _, rest = text.strip().partition("=")
    if name not in set(Failpoint):
        raise ValueError(f"no failpoint {name!r}: choose among {', '.join(Failpoint)}")
    action, _, passing = rest.partition("@")
    kind, _, seconds = action.partition(":")
    try:
        armed = _Armed(Failpoint(name), kind, float(seconds or 0), int(passing or 1))
    except ValueError:
        armed = None
    takes_seconds = kind == "pause"
    if not armed or kind not in {"kill", "error", "pause"} or armed.passing < 1 or bool(seconds) != takes_seconds:
        raise ValueError(f"failpoint {text.strip()!r}: say {name}=kill, =error or =pause:SECONDS, and @N for a passing")
    return armed


def problem(spec: str) -> str:
    """The line that status and doctor show about set failpoints; empty when none is set."""
    return PROBLEM.format(spec=spec) if spec else ""
