"""Settings of watching: when a fault becomes an incident, and who is told."""

from typing import ClassVar

from pydantic import Field, SecretStr

from fraudstream.settings.group import Group


class WatchSettings(Group):
    """When the Dag `watch_platform` opens an incident; docs/production.md names each check."""

    #: Readings are kept for so long: the dashboard *Operations* shows days of them.
    readings_days: ClassVar[int] = 30

    silence_seconds: float = Field(60, gt=0, description="nothing committed for so long while messages wait, seconds")
    p99_ms: float = Field(
        10_000, gt=0, description="p99 from arrival to commit, ms; more in each of five minutes is a fault"
    )
    lag_messages: int = Field(50_000, ge=1, description="messages that wait; more for five minutes is a fault")
    starts_per_hour: int = Field(5, ge=1, description="starts of the stream within an hour; more is a fault")
    reconciliation_minutes: float = Field(30, gt=0, description="the books were compared within so many minutes")
    dead_letter_percent: float = Field(
        1.0, gt=0, le=100, description="share of dead letters among the messages of five minutes, percent"
    )
    flagged_factor: float = Field(
        2.0, gt=1, description="the newest hour's share of flagged transactions, against the seven days before"
    )
    disk_hours: float = Field(24, gt=0, description="a disk that is full within so many hours, as it fills now, hours")
    certificate_days: float = Field(14, ge=0, description="a certificate that expires within so many days; 0: never")
    secret_days: float = Field(365, ge=0, description="a secret that is older, days; 0: never")
    snapshot_hours: float = Field(36, ge=0, description="the newest profile snapshot is older, hours; 0: never")
    backup_hours: float = Field(0, ge=0, description="the newest `fraudctl backup` is older, hours; 0: never")
    quiet_seconds: float = Field(
        300, ge=0, description="an incident closes by itself when its fault wasn't seen for so long, seconds"
    )
    burst_alerts: int = Field(
        20, ge=1, description="alerts within a minute that start the Dag `fraud_alert_response` at once"
    )
    incident_alerts: int = Field(
        3, ge=2, description="open alerts of one device, address or pattern within an hour that are one incident"
    )
    session_minutes: float = Field(
        30, gt=0, description="how long before an alert its session's browse events are looked for, minutes"
    )


class NotifySettings(Group):
    """Who is told of incidents. Off while `URLS` is empty."""

    urls: SecretStr = Field(
        SecretStr(""),
        description="services, as apprise spells them, separated by spaces: `mailtos://…`, `slack://…`, `jsons://…`",
    )


class MetricsSettings(Group):
    """Figures for Prometheus, at `/fraudstream/metrics` of Airflow's API server (docs/metrics.md)."""

    token: SecretStr = Field(
        SecretStr(""), description="the bearer token that Prometheus sends; empty: there are no metrics"
    )
