"""Settings of retention: for how long what grows is kept."""

from typing import ClassVar, Self

from pydantic import Field, model_validator

from fraudstream.settings.group import ENV_PREFIX, Group

_PREFIX = f"{ENV_PREFIX}RETENTION__"


class RetentionSettings(Group):
    """For how long rows, rollups and logs are kept; the Dag `apply_retention` deletes older ones, and keeps their sums.

    Parts of days are allowed, as 0.25.
    """

    #: Imported transactions count in entity risk for 30 days, and at terminals for as long as this:
    #: `fraudstream.static_data.entities.TERMINAL_DAYS`.
    past_days: ClassVar[int] = 61

    ledger_days: float = Field(30, gt=0, description="micro-batches in the ledger, days; at most the rows' days")
    transactions_days: float = Field(
        125,
        gt=0,
        description="scored transactions, alerts, flagged sessions, ended incidents and list entries; a label changes "
        "sales only while its transaction is kept, and banks allow chargebacks for 120 days",
    )
    labels_days: float = Field(90, gt=0, description="labels, days; longer while their transaction is kept")
    dead_letters_days: float = Field(90, gt=0, description="refused messages, days; replays need them")
    sessions_days: float = Field(30, gt=0, description="browse events of sessions that ended in an alert, days")
    repeats_days: float = Field(
        90, gt=0, description="days for which a deleted transaction's id is known, to tell a repeat"
    )
    versions_days: float = Field(90, gt=0, description="refreshes of static data and entity risk, days")
    rollups_fine_hours: float = Field(
        48, ge=2, description="rollups of 10, 30 and 60 s; older ones become minutes, and sales of segments days"
    )
    rollups_minutes_days: float = Field(
        14, gt=0, description="rollups of 1 and 15 minutes, days; older ones become hours"
    )
    rollups_days: float = Field(800, gt=0, description="rollups of an hour and counts of rules, days")
    archive_days: float = Field(
        400, ge=1, description="archived transactions and labels, whole days of event time; files go a week later"
    )
    snapshots: int = Field(
        3, ge=1, le=1000, description="newest profile snapshots that the Dag `snapshot_profiles` keeps"
    )
    airflow_days: float = Field(14, gt=0, description="Airflow's runs in its database, and its tasks' logs, days")
    superset_log_days: float = Field(90, gt=0, description="what people did in Superset, days")
    disk_free_percent: float = Field(
        15, ge=0, lt=100, description="`status` warns when the disk has less free, and less than 20 GiB; 0: never"
    )

    @model_validator(mode="after")
    def _rows_outlive_their_batch(self) -> Self:
        for name in ("transactions_days", "labels_days", "dead_letters_days"):
            if getattr(self, name) < self.ledger_days:
                raise ValueError(
                    f"{_PREFIX}{name.upper()}={getattr(self, name):g} is less than {_PREFIX}LEDGER_DAYS="
                    f"{self.ledger_days:g}: a batch in the ledger is compared with its rows; lower LEDGER_DAYS, too"
                )
        if self.rollups_days < self.rollups_minutes_days:
            raise ValueError(f"{_PREFIX}ROLLUPS_DAYS={self.rollups_days:g} is less than {_PREFIX}ROLLUPS_MINUTES_DAYS")
        return self
