"""Exports by other people's habits, and a webhook, for the tests of mappings."""

import gzip
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

FIRST, SECOND = datetime(2026, 3, 1, 13, 5, tzinfo=UTC), datetime(2026, 3, 14, 0, 30, tzinfo=UTC)


@dataclass(frozen=True)
class Export:
    """Two purchases as somebody's export has them: 1234.50 by c1 at FIRST, and 9.90, a fraud, by c2 at SECOND."""

    name: str
    content: bytes
    ids: tuple[str, str] = ("0001", "0002")
    kind: str = ""  # how its labels are said, where `suggest` can't know

    def write(self, folder: Path) -> Path:
        path = folder / self.name
        path.write_bytes(self.content)
        return path


def text(*rows: str, encoding: str = "utf-8", end: str = "\n") -> bytes:
    return end.join((*rows, "")).encode(encoding)


def parquet(**columns: Any) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue().to_pybytes()


NESTED = [
    {"order": {"id": "0001", "created_at": 1772370300000, "total_price": "1234.50"}, "customer": {"id": "c1"},
     "line_items": [{"sku": "p1", "quantity": 2, "price": "600.00"}, {"sku": "p2", "quantity": 1, "price": 34.5}],
     "status": "paid"},
    {"order": {"id": "0002", "created_at": 1773448200000, "total_price": 9.9}, "customer": {"id": "c2"},
     "line_items": [], "status": "chargeback"},
]  # fmt: skip


EXPORTS = {
    "German, Excel": Export(
        "bestellungen.csv",
        text(
            "Bestellnr;Datum;Uhrzeit;Kunde;Betrag;Betrug", '0001;01.03.2026;13:05;c1;"1.234,50 €";nein',
            "0002;14.03.2026;00:30;c2;9,90 €;ja", encoding="cp1252", end="\r\n",
        ),
        kind='fraud = ["ja"]\nlegitimate = ["nein"]',
    ),
    "German, with Excel's line of the separator": Export(
        "auftraege.csv",
        text(
            "sep=;", "Auftragsnr;Bestelldatum;Kundennr;Summe;Chargeback", "0001;01.03.2026 13:05:00;c1;1.234,50;N",
            "0002;14.03.2026 00:30:00;c2;9,90;J", end="\r\n",
        ),
    ),
    "a date in parts": Export(
        "card_transactions.csv",
        text(
            "User,Card,Year,Month,Day,Time,Amount,Is Fraud?", "c1,0,2026,3,1,13:05,$1234.50,No",
            "c2,0,2026,3,14,00:30,$9.90,Yes",
        ),
        ids=("1", "2"),
    ),
    "tabs": Export(
        "orders.tsv",
        text(
            "order_id\tcreated_at\tuser_id\ttotal\tis_fraud", "0001\t2026-03-01T14:05:00+01:00\tc1\t1,234.50\tf",
            "0002\t2026-03-13T19:30:00-05:00\tc2\t9.90\tt",
        ),
    ),
    "apostrophes for thousands, UTF-16": Export(
        "umsatz.csv",
        text(
            "id,timestamp,customer,amount,fraud", "0001,2026-03-01 13:05:00,c1,1'234.50,0",
            "0002,2026-03-14 00:30:00,c2,9.90,1", encoding="utf-16",
        ),
    ),
    "byte order mark, quoted line breaks": Export(
        "notes.csv",
        text(
            "\ufeffid,note,date,client_id,amount,fraud", '0001,"he said\n""soon"", twice",2026-03-01 13:05,c1,1234.5,0',
            '0002,"",2026-03-14 00:30,c2,9.90,1',
        ),
    ),
    "nanoseconds": Export(
        "events.psv",
        text(
            "txid|event_timestamp|account_id|value|label", "0001|1772370300000000000|c1|1234.5|0",
            "0002|1773448200000000000|c2|9.9|1",
        ),
    ),
    "American, with a 12-hour clock": Export(
        "report.csv",
        text(
            "Transaction ID,Transaction Date,Customer ID,Amount,Is Fraud",
            '0001,03/01/2026 01:05:00 PM,c1,"$1,234.50",No',
            "0002,03/14/2026 12:30:00 AM,c2,$9.90,Yes",
        ),
    ),
    "chargeback or nothing": Export(
        "disputes.csv",
        text(
            "payment_id,created,email,amount,outcome", "0001,1772370300,c1,1234.50,",
            "0002,1773448200,c2,9.90,chargeback",
        ),
    ),
    "nested JSON, zipped": Export("orders.jsonl.gz", gzip.compress(b"\n".join(map(msgspec.json.encode, NESTED)))),
    "a list in JSON": Export("orders.json", msgspec.json.encode(NESTED)),
    "no header, no id": Export(
        "dump.txt", text("2026-03-01 13:05:00;c1;1234.5;0", "2026-03-14 00:30:00;c2;9.9;1"), ids=("1", "2"),
    ),
    "numbers in minor units": Export(
        "ledger.csv",
        text(
            "trans_num,unix_time,cc_num,amount_cents,is_fraud", "0001,1772370300,c1,123450,0",
            "0002,1773448200,c2,990,1",
        ),
    ),
    "Parquet with times of a zone": Export(
        "part-0.parquet",
        parquet(
            TRANSACTION_ID=["0001", "0002"], TX_DATETIME=pa.array([FIRST, SECOND], pa.timestamp("us", "Europe/Zurich")),
            CUSTOMER_ID=["c1", "c2"], TX_AMOUNT=[1234.5, 9.9], TX_FRAUD=[False, True],
        ),
    ),
}  # fmt: skip


ORDER: dict[str, Any] = {
    "type": "order.paid",
    "order": {
        "id": 42, "created": 1772370300, "email": "a@example.org", "total": 1250, "currency": "jpy", "gateway": "x",
        "customer": {"id": None}, "attributes": [{"name": "device", "value": "d1"}],
        "lines": [{"sku": "p", "price": 1250}],
    },
}  # fmt: skip


WEBHOOK: dict[str, Any] = {
    "source": {"kind": "transaction", "format": "json", "shop": "tokyo"},
    "where": {"type": ["order.paid"]},
    "fields": {
        "transaction_id": "order.id",
        "event_time": {"path": "order.created", "time": "epoch_s"},
        "customer_id": {"path": ["order.customer.id", "order.email"]},
        "amount": {"path": "order.total", "unit": "minor"},
        "currency": {"path": "order.currency", "case": "upper"},
        "device_id": "order.attributes[name=device].value",
        "payment_method": {"path": "order.gateway", "map": {"stripe": "card"}, "other": "other"},
        "session_id": {"constant": "none"},
        "promo_code": {"path": "order.promo", "default": "-"},
    },
    "items": {
        "path": "order.lines", "product_id": "sku", "quantity": {"path": "count", "default": 1},
        "unit_price": {"path": "price", "unit": "minor"},
    },
}  # fmt: skip
