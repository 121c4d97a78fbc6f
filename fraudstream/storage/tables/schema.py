"""The schema, and columns that several of its tables have."""

from sqlalchemy import Column, DateTime, Integer, MetaData, Numeric, Text, func

SCHEMA = "fraud"
metadata = MetaData(
    schema=SCHEMA,
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "ck": "%(table_name)s_%(constraint_name)s_check",
        "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
    },
)

Timestamp = DateTime(timezone=True)
#: Without a limit: currencies differ in their minor units, and sums must not stop the stream.
Money = Numeric()


def window_width(seconds: int, thinned: str = "minutes, then to hours") -> Column[object]:
    """A rollup's column `seconds`; `seconds` are those that the stream makes its windows."""
    comment = f"width of the window; older ones are thinned to {thinned}"
    return Column("seconds", Integer, nullable=False, server_default=str(seconds), comment=comment)


def shop(*, primary_key: bool = False) -> Column[object]:
    """The column `shop`. What was stored before messages could name one has the default."""
    told = "which of several shops; FRAUDSTREAM_SHOP__NAME where the message named none"
    return Column("shop", Text, primary_key=primary_key, nullable=False, server_default="main", comment=told)


def created_at(name: str) -> Column[object]:
    """A column with the time at which a row was inserted."""
    return Column(name, Timestamp, nullable=False, server_default=func.now())


def exchange_rate(default: str | None = "1") -> Column[object]:
    """The column `exchange_rate` of a row that has an amount."""
    # What was stored before there were rates was taken for the shop currency.
    told = "of event_time: units of the shop currency for one of currency; null: none known"
    return Column("exchange_rate", Money, server_default=default, comment=told)
