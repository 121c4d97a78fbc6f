"""Columns to Arrow tables with the contracts' names and types: what history files hold and messages are made of."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from fraudstream.messages.contracts import BROWSE_EVENT_TYPES, PAYMENT_METHODS
from fraudstream.settings import ShopSettings
from fraudstream.simulator.catalogue import CATEGORIES
from fraudstream.simulator.columns import Array
from fraudstream.simulator.identifiers import hexadecimal, identifiers
from fraudstream.simulator.labels import SOURCES, Labels
from fraudstream.simulator.lacking import browse_events_without, transactions_without
from fraudstream.simulator.mix import SCENARIO_NAMES
from fraudstream.simulator.sessions import (
    DEVICE_TYPES,
    PROMO_CODES,
    TRAFFIC_SOURCES,
    BrowseEvents,
    Transactions,
)
from fraudstream.simulator.shop import Shop

DEFAULT_CURRENCY = ShopSettings().currency
_TIME = pa.timestamp("ms", tz="UTC")
_RUN_DIGITS, _SESSION_DIGITS, _NUMBER_DIGITS, _IDENTITY_DIGITS = 12, 12, 3, 16


class _Vocabulary:
    """The words of the dictionary columns, made once."""

    def __init__(self, shop: Shop, currency: str) -> None:
        self.customers = _words(shop.customers.customer_id)
        self.products = _words(shop.catalogue.products.product_id)
        self.cities = _words(shop.geography.cities.name)
        self.countries = _words(shop.geography.countries)
        self.event_types = _words(BROWSE_EVENT_TYPES)
        self.traffic_sources = _words(TRAFFIC_SOURCES)
        self.device_types = _words(DEVICE_TYPES)
        self.currencies = _words((currency,))
        self.payments = _words(PAYMENT_METHODS)
        self.promos = _words(PROMO_CODES)
        self.scenarios = _words(SCENARIO_NAMES)
        self.sources = _words(SOURCES)


class Tables:
    """Writes columns of `shop` as tables. `run` (48 bits) marks every identifier of this run; `lacks`: `LACKS`."""

    def __init__(
        self, shop: Shop, run: int, currency: str = DEFAULT_CURRENCY, lacks: frozenset[str] = frozenset()
    ) -> None:
        self.shop = shop
        self.run = run
        self._lacks = lacks
        self._words = _Vocabulary(shop, currency)

    def browse_events(self, events: BrowseEvents) -> pa.Table:
        """Columns of `contracts.BrowseEvent`, without schema_version."""
        session = self._session(events.session)
        table = pa.table(
            {
                "event_id": _strings(identifiers("e-", session, hexadecimal(events.number, _NUMBER_DIGITS))),
                "session_id": _strings(identifiers("s-", session)),
                "customer_id": _coded(events.customer, self._words.customers),
                "event_type": _coded(events.type, self._words.event_types),
                "event_time": _times(events.time),
                "product_id": _coded(events.product, self._words.products),
                "traffic_source": _coded(events.source, self._words.traffic_sources),
                "device_id": _identities("d-", events.device),
                "device_type": _coded(events.device_type, self._words.device_types),
            }
        )
        return browse_events_without(table, self._lacks)

    def transactions(self, rows: Transactions) -> pa.Table:
        """Columns of `contracts.Transaction`, without schema_version."""
        cities = self.shop.geography.cities
        session = self._session(rows.session)
        table = pa.table(
            {
                "transaction_id": self._transaction_ids(rows),
                "session_id": _strings(identifiers("s-", session)),
                "customer_id": _coded(rows.customer, self._words.customers),
                "event_time": _times(rows.time),
                "amount": rows.amount,
                "currency": _coded(np.zeros(len(rows), np.int8), self._words.currencies),
                "items": self._items(rows),
                "payment_method": _coded(rows.payment, self._words.payments),
                "card_token": _identities("k-", rows.card, missing=rows.card == 0),
                "promo_code": _coded(rows.promo, self._words.promos),
                "promo_amount": rows.promo_amount,
                "shipping_fee": rows.shipping_fee,
                "shipping_city": _coded(rows.city, self._words.cities),
                "shipping_country": _coded(cities.country[rows.city], self._words.countries),
                "shipping_latitude": rows.latitude,
                "shipping_longitude": rows.longitude,
                "ip_country": _coded(rows.ip_country, self._words.countries),
                "device_id": _identities("d-", rows.device),
            }
        )
        return transactions_without(table, self._lacks)

    def truth(self, rows: Transactions | BrowseEvents) -> pa.Table:
        """Columns of `contracts.SimulationTruth`, without schema_version.

        For browse events, transaction_id is that of their session's purchase, if it comes to one.
        """
        return pa.table(
            {
                "transaction_id": self._transaction_ids(rows),
                "session_id": _strings(identifiers("s-", self._session(rows.session))),
                "customer_id": _coded(rows.customer, self._words.customers),
                "event_time": _times(rows.time),
                "is_fraud": rows.scenario > 0,
                "scenario": _coded(rows.scenario, self._words.scenarios),
            }
        )

    def labels(self, labels: Labels, transactions: Transactions) -> pa.Table:
        """Columns of `contracts.Label`, without schema_version."""
        return pa.table(
            {
                "transaction_id": self._transaction_ids(transactions.take(labels.transaction)),
                "is_fraud": labels.is_fraud,
                "source": _coded(labels.source, self._words.sources),
                "labelled_at": _times(labels.time),
            }
        )

    def customers(self) -> pa.Table:
        """Columns of the Postgres table `fraud.customers`."""
        people, cities = self.shop.customers, self.shop.geography.cities
        return pa.table(
            {
                "customer_id": pa.array(people.customer_id, pa.string()),
                "registered_at": _times(people.registered_at),
                "home_city": pa.array(cities.name[people.city], pa.string()),
                "home_country": pa.array(self.shop.geography.countries[people.country], pa.string()),
                "home_latitude": people.latitude,
                "home_longitude": people.longitude,
                "age_years": people.age_years,
            }
        )

    def products(self) -> pa.Table:
        """Columns of the Postgres table `fraud.products`."""
        products = self.shop.catalogue.products
        return pa.table(
            {
                "product_id": pa.array(products.product_id, pa.string()),
                "name": pa.array(products.name, pa.string()),
                "category": pa.array([CATEGORIES[number].name for number in products.category], pa.string()),
                "list_price": products.list_price,
            }
        )

    def _session(self, session: Array) -> Array:
        run = hexadecimal(np.full(1, self.run), _RUN_DIGITS)
        return np.concatenate(
            [np.broadcast_to(run, (len(session), _RUN_DIGITS)), hexadecimal(session, _SESSION_DIGITS)], axis=1
        )

    def _transaction_ids(self, rows: Transactions | BrowseEvents) -> pa.Array:
        # A session has at most one purchase, so that its identity is the transaction's, too.
        return _strings(identifiers("tx-", self._session(rows.session)))

    def _items(self, rows: Transactions) -> pa.Array:
        used = rows.product >= 0
        offsets = np.concatenate([[0], np.cumsum(used.sum(axis=1))]).astype(np.int32)
        lines = pa.StructArray.from_arrays(
            [
                _coded(rows.product[used], self._words.products).cast(pa.string()),
                pa.array(rows.quantity[used], pa.int32()),
                pa.array(rows.unit_price[used]),
            ],
            names=["product_id", "quantity", "unit_price"],
        )
        return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), lines)


def _strings(rows: Array) -> pa.Array:
    """A string column from rows of as many bytes each."""
    count, width = rows.shape
    offsets = np.arange(count + 1, dtype=np.int32) * np.int32(width)
    return pa.StringArray.from_buffers(count, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(rows)))


def _identities(prefix: str, values: Array, missing: Array | None = None) -> pa.Array:
    # The same few devices and cards come again and again: a dictionary is smaller, and quicker to compress.
    distinct, code = np.unique(values, return_inverse=True)
    words = _strings(identifiers(prefix, hexadecimal(distinct, _IDENTITY_DIGITS)))
    return pa.DictionaryArray.from_arrays(pa.array(code.astype(np.int32), mask=missing), words)


def _coded(codes: Array, words: pa.Array) -> pa.DictionaryArray:
    """A dictionary column; a negative code is null."""
    negative = codes < 0
    indices = pa.array(codes.astype(np.int32), mask=negative if negative.any() else None)
    return pa.DictionaryArray.from_arrays(indices, words)


def _words(values: Sequence[str] | Array) -> pa.Array:
    return pa.array(values, pa.string())


def _times(milliseconds: Array) -> pa.Array:
    return pa.array(milliseconds.astype("datetime64[ms]")).cast(_TIME)
