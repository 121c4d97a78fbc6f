"""SQL expressions that several parts share: the stream, its books, retention, the sender of verdicts and the watch."""

#: The key of `retired_transactions` for a row named `of`.
ID_HASH = "encode(substring(sha256(convert_to({of}.transaction_id, 'UTF8')) FOR 16), 'hex')::uuid"
_FLAGGED = "coalesce({of}decision <> 'allow' AND {of}review_probability IS NULL, {of}is_fraud)"
#: True for a transaction that was flagged: decided to be reviewed or blocked, and not by chance. Rows from before there
#: were decisions go by the model's flag.
FLAGGED = _FLAGGED.format(of="")
#: True for a transaction that has an alert: flagged, or sent to review by chance.
ALERTED = "coalesce(decision <> 'allow', is_fraud)"
#: What was decided with a transaction; of rows from before there were decisions, by the model's flag.
DECISION = "coalesce(decision, CASE WHEN is_fraud THEN 'review' ELSE 'allow' END)"
#: True when the transaction `of` is fraud: by its newest label, whichever of label and transaction comes first; without
#: one, while it is flagged.
VERDICT = f"""coalesce((
        SELECT l.is_fraud FROM fraud.transaction_labels l WHERE l.transaction_id = {{of}}.transaction_id
        ORDER BY l.labelled_at DESC, l.label_id DESC LIMIT 1
    ), {_FLAGGED.format(of="{of}.")})"""  # noqa: S608 (constants)
#: In the shop currency, of a row with `amount` and `exchange_rate`, which never change; null without a rate. Four
#: digits after the point, as the smallest minor unit of ISO 4217 has.
SHOP_AMOUNT = "round(amount * exchange_rate, 4)"
#: The same, of a line `item` of a row with `exchange_rate`.
SHOP_PRICE = "round(item.unit_price * exchange_rate, 4)"
#: True for a row that a map can show.
PLACED = "num_nulls(shipping_country, shipping_city, shipping_latitude, shipping_longitude) = 0"
#: The verdicts that wait to be sent, due or not: one that a newer verdict took the place of isn't among them.
WAITING_VERDICTS = """FROM fraud.analyst_verdicts v
WHERE published_at IS NULL AND undone_at IS NULL AND verdict <> 'unsure' AND NOT EXISTS (
    SELECT FROM fraud.analyst_verdicts newer
    WHERE newer.transaction_id = v.transaction_id AND newer.revision > v.revision AND newer.undone_at IS NULL
)"""
#: A shipping address's cell of 0.0001 degrees, as lists and entity risk name it, such as 525200:134100; null without an
#: address. An index of scored_transactions has it: only in these words is that found.
ADDRESS_CELL = (
    "((floor(shipping_latitude * 10000::float8 + 0.5::float8)::bigint::text || ':') || "
    "floor(shipping_longitude * 10000::float8 + 0.5::float8)::bigint::text)"
)
