"""Topics of a shop's own form: what a folder of mappings says, and the fate of each message."""

from datetime import timedelta
from pathlib import Path

import msgspec
import pyarrow as pa
import pytest

from fraudstream.messages.contracts import BrowseEvent, Label, Transaction
from fraudstream.messages.mapping import fields as mapping_fields
from fraudstream.messages.mapping import sources
from fraudstream.messages.mapping.live import SKIPPED, LiveDecoder, Mapped, event_of, live_decoder
from fraudstream.messages.mapping.sources import LiveSource, SourceError, read_sources
from fraudstream.messages.reasons import DeadLetterReason
from fraudstream.messages.refusal import Rejection
from fraudstream.messages.trusted import trusting_decoder
from fraudstream.messages.validation import MAX_MESSAGE_BYTES, decode
from spark_jobs.bucket import Kind, Message, Outcome
from spark_jobs.mapped_messages import _create_mapping
from tests.messages import NOW, browse_event, transaction
from tests.unit.kept_log import KeptLog
from tests.unit.test_bucket import EUROS, LIMITS, purchase

NOW_MS = int(NOW.timestamp() * 1000)
MAX_FUTURE = timedelta(minutes=5)
ORDERS = """
[source]
topic = "shop-a.orders"
kind = "transaction"
format = "json"
shop = "a"
[where]
state = ["paid"]
[fields]
transaction_id = { path = "order.no", prefix = "a-" }
customer_id = "order.who.id"
event_time = { path = "order.at", time = "epoch_ms" }
amount = { path = "order.total", unit = "cents" }
"""
DISPUTES = """
[source]
topic = "disputes"
kind = "label"
format = "json"
[fields]
transaction_id = "charge"
is_fraud = "reason"
labelled_at = { path = "created", time = "epoch_s" }
[labels]
fraud = ["fraudulent"]
other = "legitimate"
"""


def order(number: int = 7, state: str = "paid", **fields: object) -> bytes:
    content = {"no": number, "who": {"id": "c-1"}, "at": NOW_MS, "total": 1999} | fields
    return msgspec.json.encode({"state": state, "order": content})


def source(text: str = ORDERS) -> LiveSource:
    return LiveSource("shop-a.orders", mapping_fields.Kind.TRANSACTION, Path("a.toml"), text)


def read(value: bytes | None, text: str = ORDERS, size: int | None = None) -> Mapped:
    return live_decoder(source(text)).read(b"any key", value, size, NOW_MS, MAX_FUTURE)


def test_a_message_becomes_one_of_our_own_form_with_our_key() -> None:
    mapped = read(order())
    assert (mapped.key, mapped.fate, mapped.detail) == (b"c-1", "transaction", None)
    event = event_of(mapped.fate, mapped.value, mapped.detail)
    assert isinstance(event, Transaction)
    assert (event.transaction_id, event.amount, event.shop, event.event_time) == ("a-7", 19.99, "a", NOW)


def test_what_was_mapped_would_be_accepted_as_our_own_form() -> None:
    mapped = read(order())
    ours = decode("transactions", mapped.key, mapped.value, NOW_MS, MAX_FUTURE)
    assert msgspec.to_builtins(ours) == msgspec.to_builtins(event_of(*_after(mapped)))


@pytest.mark.parametrize(
    ("struct", "content"),
    [
        (Transaction, transaction(items=[{"product_id": "p-1", "quantity": 2, "unit_price": 1.5}], promo_code=None)),
        (Transaction, {"schema_version": 1, "transaction_id": "t", "customer_id": "c", "event_time": NOW, "amount": 1}),
        (BrowseEvent, browse_event()),
        (Label, {"schema_version": 1, "transaction_id": "t", "is_fraud": True, "source": "a", "labelled_at": NOW}),
    ],
)
def test_an_event_that_is_trusted_is_the_one_that_was_checked(
    struct: type[msgspec.Struct], content: dict[str, object]
) -> None:
    value = msgspec.json.encode(content)
    checked, trusted = msgspec.json.decode(value, type=struct), trusting_decoder(struct)(value)
    assert isinstance(trusted, struct)
    assert msgspec.json.encode(trusted) == msgspec.json.encode(checked)
    assert msgspec.structs.asdict(trusted).keys() == msgspec.structs.asdict(checked).keys()


def test_a_dispute_becomes_a_label_with_the_transaction_as_its_key() -> None:
    dispute = msgspec.json.encode({"charge": "tx-1", "reason": "fraudulent", "created": NOW_MS // 1000})
    mapped = read(dispute, DISPUTES)
    label = event_of(mapped.fate, mapped.value, mapped.detail)
    assert isinstance(label, Label)
    assert (mapped.key, label.transaction_id, label.is_fraud) == (b"tx-1", "tx-1", True)


@pytest.mark.parametrize(
    ("value", "reason", "told"),
    [
        (order(total="much"), DeadLetterReason.MAPPING_FAILED, "amount (from `order.total`)"),
        (order(who=None), DeadLetterReason.MAPPING_FAILED, "customer_id (from `order.who.id`)"),
        (order(total=-1), DeadLetterReason.INVALID_AMOUNT, "$.amount"),
        (order(at=NOW_MS + 3_600_000), DeadLetterReason.FUTURE_EVENT_TIME, "ahead of Kafka's clock"),
        (order(at=86_400_000), DeadLetterReason.ANCIENT_EVENT_TIME, "behind Kafka's clock"),
        (order(who={"id": "4111 1111 1111 1111"}), DeadLetterReason.CARD_NUMBER, "customer_id"),
        (b"[" + order() + b"]", DeadLetterReason.MAPPING_FAILED, "is no object"),
        (b"null", DeadLetterReason.NOT_AN_OBJECT, "null"),
        (b'{"state": "pa', DeadLetterReason.TRUNCATED_JSON, "truncated"),
        (b"\xff", DeadLetterReason.INVALID_UTF8, "utf-8"),
    ],
)
def test_what_cannot_be_used_is_refused_as_it_came(value: bytes, reason: DeadLetterReason, told: str) -> None:
    mapped = read(value)
    assert (mapped.key, mapped.value, mapped.fate) == (b"any key", value, reason)
    assert told in str(mapped.detail)
    assert event_of(*_after(mapped)) == Rejection(reason, str(mapped.detail))


def _after(mapped: Mapped) -> tuple[str, bytes | None, str | None]:
    return mapped.fate, mapped.value, mapped.detail


def test_what_is_too_large_is_refused_by_the_size_that_was_sent() -> None:
    assert read(order(), size=MAX_MESSAGE_BYTES + 1).fate == DeadLetterReason.TOO_LARGE


@pytest.mark.parametrize("value", [None, order(state="open")])
def test_what_is_left_out_and_what_has_no_value_is_skipped(value: bytes | None) -> None:
    assert read(value) == Mapped(b"any key", None, SKIPPED)
    assert event_of(SKIPPED, None, None) is None


def test_messages_of_our_own_form_pass_the_mapping_by() -> None:
    names = ("topic", "key", "value", "size", "ingest_ms")
    kinds = (pa.string(), pa.binary(), pa.binary(), pa.int64(), pa.int64())
    kind = pa.struct(list(zip(names, kinds, strict=True)))
    rows = [None, dict(zip(names, ("shop-a.orders", None, order(), 100, NOW_MS), strict=True)), None]
    mapped = _create_mapping([source()], MAX_FUTURE)(pa.array(rows, kind)).to_pylist()
    assert [row and row["fate"] for row in mapped] == [None, "transaction", None]
    assert _create_mapping([source()], MAX_FUTURE)(pa.array([None, None], kind)).to_pylist() == [None, None]


def handled(*messages: Message) -> list[Outcome]:
    return list(KeptLog().bucket(LIMITS, EUROS).handle(messages))


def of_topic(topic: str, offset: int, mapped: Mapped) -> Message:
    cut = mapped.detail is None
    return Message(topic, 0, offset, NOW_MS, mapped.key, mapped.value, None, cut, mapped.fate, mapped.detail)


def test_each_message_of_a_source_is_accounted_for_by_its_topic() -> None:
    topic = "shop-a.orders"
    messages = [read(order(1)), read(order(1)), read(order(2, state="open")), read(None), read(b"{")]
    outcomes = handled(*(of_topic(topic, offset, each) for offset, each in enumerate(messages)))
    found = {(outcome.kind, outcome.topic): outcome.messages for outcome in outcomes}
    assert found == {
        (Kind.TRANSACTION, topic): 1,
        (Kind.DUPLICATE, topic): 1,
        (Kind.SKIPPED, topic): 2,
        (Kind.DEAD, topic): 1,
    }


def test_purchases_of_both_forms_meet_in_the_customers_profile() -> None:
    ours, theirs = purchase(0, -60, customer_id="c-1"), of_topic("shop-a.orders", 0, read(order()))
    alone, together = (
        [outcome.features for outcome in handled(*messages) if outcome.topic == theirs.topic]
        for messages in ([theirs], [ours, theirs])
    )
    assert len(alone) == len(together) == 1
    assert repr(alone) != repr(together)


def test_a_folder_of_mappings_becomes_sources(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(ORDERS)
    (tmp_path / "b.toml").write_text(DISPUTES)
    (tmp_path / "notes.txt").write_text("not a mapping")
    found = read_sources(tmp_path)
    assert [(each.topic, each.kind.value) for each in found] == [
        ("shop-a.orders", "transaction"),
        ("disputes", "label"),
    ]
    assert sources.topics_of(found)[3:] == ("shop-a.orders", "disputes")
    ordered = sources.topics_in_order(found)
    assert ordered == ("browse-events", "transactions", "shop-a.orders", "transaction-labels", "disputes")
    assert read_sources(None) == ()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (('topic = "shop-a.orders"\n', ""), ("no source.topic", "say which topic")),
        (('"json"', '"csv"'), ("source.format = 'csv'", "are json")),
        (('"shop-a.orders"', '"transactions"'), ("source.topic = 'transactions'", "name the shop's")),
        (('"shop-a.orders"', '"scored-transactions"'), ("'scored-transactions'", "the platform's own")),
        (('shop = "a"', 'bootstrap_servers = "b:9092"'), ("source.bootstrap_servers = 'b:9092'", "mirror the topic")),
        (('amount = { path = "order.total", unit = "cents" }', ""), ("must have amount", "mapping check")),
        (('unit = "cents"', 'unit = "penny"'), ("unit", "penny")),
        (("[where]", "[where"), ("can't read the mapping", "")),
        (('time = "epoch_ms"', 'time = "sundial"'), ("'sundial'", "pattern")),
    ],
)
def test_a_mapping_that_cannot_be_read_live_is_told_by_file_and_value(
    tmp_path: Path, change: tuple[str, str], told: tuple[str, str]
) -> None:
    assert change[0] in ORDERS
    (tmp_path / "orders.toml").write_text(ORDERS.replace(*change))
    with pytest.raises(SourceError) as refused:
        read_sources(tmp_path)
    for words in (str(tmp_path / "orders.toml"), *told):
        assert words in str(refused.value)
    assert list(sources.problems(tmp_path)) == [str(refused.value)]


@pytest.mark.parametrize("form", ["avro", "protobuf", "json-schema"])
def test_a_topic_may_have_its_schemas_in_a_registry(tmp_path: Path, form: str) -> None:
    behind = '[source.registry]\nurl = "http://registry"\n[where]'
    (tmp_path / "a.toml").write_text(ORDERS.replace('"json"', f'"{form}"').replace("[where]", behind))
    assert [each.topic for each in read_sources(tmp_path)] == ["shop-a.orders"]
    (tmp_path / "a.toml").write_text(ORDERS.replace('"json"', f'"{form}"'))
    with pytest.raises(SourceError, match=rf"source\.format = '{form}': messages need \[source\.registry\] with a url"):
        read_sources(tmp_path)


def test_a_topic_has_one_mapping(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.toml").write_text(ORDERS)
    with pytest.raises(SourceError, match=r"b\.toml, source\.topic = 'shop-a\.orders': a\.toml reads it already"):
        read_sources(tmp_path)


def test_a_folder_without_a_mapping_is_told(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(SourceError, match="FRAUDSTREAM_SOURCES"):
            read_sources(folder)


def test_a_source_of_browsing_is_decoded_by_its_kind() -> None:
    browse = ORDERS.replace('"transaction"', '"browse"').split("[where]")[0] + (
        '[fields]\nevent_id = "id"\nsession_id = "s"\ncustomer_id = "c"\nevent_type = "t"\n'
        'event_time = { path = "at", time = "epoch_ms" }\n'
    )
    value = msgspec.json.encode({"id": 1, "s": "s-1", "c": "c-1", "t": "view_item", "at": NOW_MS})
    mapped = read(value, browse)
    assert isinstance(event_of(*_after(mapped)), BrowseEvent)
    (count,) = handled(of_topic("clicks", 0, mapped))
    assert (count.kind, count.topic, count.messages) == (Kind.BROWSE, "clicks", 1)
    assert isinstance(live_decoder(source(browse)), LiveDecoder)
