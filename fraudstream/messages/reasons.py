"""Why messages are refused: each stable code with what it means, an example, and what to do about it.

`docs/dead-letters.md` is made from it (`python -m fraudstream.docs`).
"""

from enum import StrEnum


class DeadLetterReason(StrEnum):
    """Reason of a refusal. Stable codes: people filter and replay by them.

    Where several apply, the first that is noticed is given: value, then key, then time.
    """

    meaning: str
    example: str
    remedy: str

    def __new__(cls, code: str, meaning: str, example: str, remedy: str) -> "DeadLetterReason":
        """A member whose value is `code`; the rest is for people, in Markdown."""
        member = str.__new__(cls, code)
        member._value_ = code
        member.meaning, member.example, member.remedy = meaning, example, remedy
        return member

    # --- the key --------------------------------------------------------------------------------------------------
    MISSING_KEY = "MISSING_KEY", "The message has no key.", "key: none", "Send the event's own id as the key."
    EMPTY_KEY = "EMPTY_KEY", "The key is there, but empty.", "key: ` `", "Send the event's own id as the key."
    KEY_NOT_UTF8 = (
        "KEY_NOT_UTF8",
        "The key isn't text in UTF-8, such as an id that was serialized as a number.",
        "key: `00 00 00 2A`",
        "Set the producer's key serializer to strings.",
    )
    KEY_MISMATCH = (
        "KEY_MISMATCH",
        "The key isn't the event's own `customer_id` (of a label: `transaction_id`).",
        "key: `c-2`, customer_id: `c-1`",
        "Send the event's own id as the key, without quotes or spaces.",
    )

    # --- the value as a whole -------------------------------------------------------------------------------------
    EMPTY_VALUE = (
        "EMPTY_VALUE",
        "The message has no value: a tombstone.",
        "value: none",
        "Don't delete by key here: these topics are read as a log.",
    )
    BLANK_VALUE = (
        "BLANK_VALUE",
        "The value has no bytes, or only white space.",
        "value: ` `",
        "Look for a serializer that failed in silence.",
    )
    TOO_LARGE = (
        "TOO_LARGE",
        "The value is larger than any event: 128 KiB. Only its first 4 KiB are kept.",
        "a note of 200,000 characters",
        "Drop the fields that aren't in the contract, or split the purchase.",
    )
    BYTE_ORDER_MARK = (
        "BYTE_ORDER_MARK",
        "The value starts with a byte order mark: UTF-16, UTF-32, or UTF-8 with a signature.",
        "`EF BB BF {…}`",
        "Write plain UTF-8; on Windows, UTF-8 without BOM.",
    )
    COMPRESSED_VALUE = (
        "COMPRESSED_VALUE",
        "The value itself is compressed: gzip, Zstandard or LZ4.",
        "`1F 8B 08 …`",
        "Send plain JSON, and set Kafka's `compression.type` instead.",
    )
    SCHEMA_REGISTRY_FRAME = (
        "SCHEMA_REGISTRY_FRAME",
        "The value starts with a zero byte, as schema registries' serializers for Avro, Protobuf or JSON Schema write.",
        "`00 00 00 00 07 {…}`",
        "Use a plain JSON serializer, or read the topic with a mapping that names the registry.",
    )
    INVALID_UTF8 = (
        "INVALID_UTF8",
        "The value isn't UTF-8.",
        "`Zürich` in Latin-1",
        "Encode the JSON in UTF-8.",
    )
    LONE_SURROGATE = (
        "LONE_SURROGATE",
        "A string has half of a surrogate pair, which is no character.",
        r"`\ud83d` without `\ude00`",
        "Don't cut strings in the middle of an emoji; cut by characters before encoding.",
    )
    NUL_CHARACTER = (
        "NUL_CHARACTER",
        r"A string has the character `\u0000`, which PostgreSQL can't store.",
        r'`"a\u0000b"`',
        "Remove padding from fixed-width fields.",
    )
    TRUNCATED_JSON = (
        "TRUNCATED_JSON",
        "The JSON ends before it is complete.",
        '`{"schema_version": 1, "ev`',
        "Look for a buffer or column of fixed size on the way.",
    )
    TRAILING_DATA = (
        "TRAILING_DATA",
        "Something follows after the JSON object, such as a second one.",
        "`{…}{…}`",
        "Send one event a message.",
    )
    TOO_DEEP = (
        "TOO_DEEP",
        "Arrays or objects are nested too deep to be read: hundreds of levels.",
        "`[[[[…]]]]`",
        "Look for a loop in what is serialized.",
    )
    MALFORMED_JSON = (
        "MALFORMED_JSON",
        "The value isn't JSON, for any other cause.",
        "`{'amount': 1}`",
        "Use a JSON library; `detail` names the byte.",
    )
    NOT_AN_OBJECT = (
        "NOT_AN_OBJECT",
        "The value is JSON, but not an object.",
        "`[{…}, {…}]`",
        "Send one event a message, not a batch, and not JSON within a string.",
    )
    NOT_FINITE = (
        "NOT_FINITE",
        "A number is NaN, infinite, or beyond what a 64-bit float holds.",
        "`NaN`, `1e999`",
        "Send `null` where the contract allows it, or hold the event back.",
    )
    DUPLICATE_FIELD = (
        "DUPLICATE_FIELD",
        "A field is given twice in an object, and a value of it is refused. (When both are valid, the last counts.)",
        '`{"amount": "x", "amount": 5}`',
        "Look for two steps that both add the field.",
    )

    MAPPING_FAILED = (
        "MAPPING_FAILED",
        "A message of a shop's own form can't be read as its mapping says; the detail names the field and its place.",
        "amount (from `total`): 'abc' is not an amount",
        "Try `./fraudctl mapping check`; mend the mapping, then replay.",
    )

    # --- a shop's own formats ------------------------------------------------------------------------------------
    NO_SCHEMA_REGISTRY_FRAME = (
        "NO_SCHEMA_REGISTRY_FRAME",
        "The source's format is one of a schema registry, and the value doesn't begin with a schema's id.",
        "`{…}`, and `format` is `avro`",
        "Say the mapping's `format` as the producer writes it, or mend that producer's serializer.",
    )
    UNKNOWN_SCHEMA = (
        "UNKNOWN_SCHEMA",
        "The schema registry has no schema with the id of the message.",
        "the registry has no schema 7",
        "Look for a producer with another registry; register the schema, then replay.",
    )
    SCHEMA_MISMATCH = (
        "SCHEMA_MISMATCH",
        "The value isn't of its schema, or the schema isn't one of the source's format.",
        "schema 7 is of PROTOBUF, and `format` is `avro`",
        "Look for a producer that writes another schema's id; compare the mapping's `format`.",
    )
    NOT_AN_ENVELOPE = (
        "NOT_AN_ENVELOPE",
        "The source's envelope is Debezium's, and the message is none.",
        "no `op`",
        "Leave out `envelope` where the connector unwraps rows; have it send whole rows after an update.",
    )

    # --- which event it is ----------------------------------------------------------------------------------------
    MISSING_VERSION = (
        "MISSING_VERSION",
        "There is no `schema_version`.",
        "`{}`",
        "Add it; read the contract of that version.",
    )
    UNSUPPORTED_VERSION = (
        "UNSUPPORTED_VERSION",
        "`schema_version` isn't one that this release reads.",
        '`"schema_version": 2`',
        "Upgrade the platform first, then replay; or send a version that it knows.",
    )
    WRONG_TOPIC = (
        "WRONG_TOPIC",
        "It is a valid event, of another topic.",
        "a browse event in `transactions`",
        "Send it to the topic that `detail` names.",
    )

    # --- fields in general ----------------------------------------------------------------------------------------
    MISSING_FIELD = (
        "MISSING_FIELD",
        "A required field isn't there.",
        "no `amount`",
        "Send it: an id, a time, the customer and the amount is the least that a transaction has.",
    )
    NULL_FIELD = (
        "NULL_FIELD",
        "A field is `null` that must have a value.",
        '`"amount": null`',
        "Find out where the value got lost.",
    )
    WRONG_TYPE = (
        "WRONG_TYPE",
        "A field has another JSON type.",
        '`"items": "p-1"`',
        "Send the type that `detail` names.",
    )
    NUMBER_AS_TEXT = (
        "NUMBER_AS_TEXT",
        "A number is sent as a string.",
        '`"amount": "42.50"`',
        "Send numbers without quotes; check how decimals are serialized.",
    )
    INVALID_VALUE = (
        "INVALID_VALUE",
        "A field's value is out of its domain, for fields without a code of their own.",
        '`"shipping_city": ""`',
        "`detail` names the field and its limits.",
    )

    # --- fields with a code of their own --------------------------------------------------------------------------
    EMPTY_IDENTIFIER = (
        "EMPTY_IDENTIFIER",
        "An identifier is empty.",
        '`"transaction_id": ""`',
        "Send the id, or `null` where the contract allows that.",
    )
    IDENTIFIER_TOO_LONG = (
        "IDENTIFIER_TOO_LONG",
        "An identifier has more than 64 characters.",
        "a whole token as `device_id`",
        "Send a hash of it instead.",
    )
    INVALID_AMOUNT = (
        "INVALID_AMOUNT",
        "`amount` isn't above 0, or `promo_amount` or `shipping_fee` is below 0, or one is above 10,000,000.",
        '`"amount": -42.5`',
        "Don't send refunds here; send units of the currency, not cents.",
    )
    INVALID_PRICE = (
        "INVALID_PRICE",
        "An item's `unit_price` isn't between 0 and 10,000,000.",
        '`"unit_price": -1`',
        "Send discounts as `promo_amount`.",
    )
    INVALID_CURRENCY = (
        "INVALID_CURRENCY",
        "`currency` isn't three capital letters.",
        '`"currency": "€"`',
        "Send ISO 4217's code.",
    )
    INVALID_COUNTRY = (
        "INVALID_COUNTRY",
        "`shipping_country` or `ip_country` isn't two capital letters.",
        '`"shipping_country": "Switzerland"`',
        "Send ISO 3166-1's alpha-2 code.",
    )
    INVALID_COORDINATES = (
        "INVALID_COORDINATES",
        "A latitude isn't between -90 and 90 degrees, or a longitude not between -180 and 180.",
        '`"shipping_latitude": 181`',
        "Send degrees; check that the two aren't swapped.",
    )
    INVALID_QUANTITY = (
        "INVALID_QUANTITY",
        "An item's `quantity` isn't a whole number from 1 to 10,000.",
        '`"quantity": 1.5`',
        "Send pieces, and returns elsewhere.",
    )
    NO_ITEMS = "NO_ITEMS", "A transaction has no items.", '`"items": []`', "Send the purchase with what was bought."
    TOO_MANY_ITEMS = (
        "TOO_MANY_ITEMS",
        "A transaction has more than 200 items.",
        "a bulk order of 500 lines",
        "Sum up lines of the same product.",
    )
    CARD_NUMBER = (
        "CARD_NUMBER",
        "A text holds what passes for a card number, or an id is written as one. None may ever be sent.",
        '`"card_token": "4111…"`, `"promo_code": "4111 1111 …"`',
        "Stop that producer, send a random token, and delete the message from the source topic.",
    )

    # --- times ----------------------------------------------------------------------------------------------------
    INVALID_TIME = (
        "INVALID_TIME",
        "A time isn't ISO-8601 with date, time and seconds.",
        '`"event_time": "yesterday"`',
        "Send `2026-01-31T23:59:59.123Z`.",
    )
    NO_TIME_ZONE = (
        "NO_TIME_ZONE",
        "A time has no zone, so that nobody knows when it was.",
        '`"2026-01-31T23:59:59"`',
        "Send UTC with a `Z`.",
    )
    TIME_AS_NUMBER = (
        "TIME_AS_NUMBER",
        "A time is a number, such as of seconds or milliseconds since 1970.",
        '`"event_time": 1769903999`',
        "Send `2026-01-31T23:59:59.123Z`.",
    )
    FUTURE_EVENT_TIME = (
        "FUTURE_EVENT_TIME",
        "The event is further ahead of Kafka's clock than `FRAUDSTREAM_STREAM__MAX_FUTURE_SECONDS`.",
        "tomorrow",
        "Set the producer's clock or time zone right. Once the time has come, a replay is accepted.",
    )
    ANCIENT_EVENT_TIME = (
        "ANCIENT_EVENT_TIME",
        "The event is more than ten years behind Kafka's clock.",
        "`1970-01-01T00:00:00Z`",
        "Look for a time that was never set.",
    )

    # --- against what is known ------------------------------------------------------------------------------------
    CUSTOMER_ERASED = (
        "CUSTOMER_ERASED",
        "Its customer was erased after it was sent (`./fraudctl erase`). Neither its key nor its value is kept.",
        "what is read again after a restore",
        "Nothing: it is only counted.",
    )
    ID_CONFLICT = (
        "ID_CONFLICT",
        "A transaction id that was scored before with other content.",
        "`tx-1` of 42.50, then of 99.00",
        "Give each purchase an id of its own; send a changed one as a new transaction.",
    )
