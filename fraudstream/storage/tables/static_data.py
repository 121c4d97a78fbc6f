"""Static data that the stream joins, exchange rates and entity risk among them."""

from sqlalchemy import BigInteger, CheckConstraint, Column, Date, Double, Identity, Integer, Table, Text

from fraudstream.storage.tables.schema import Money, Timestamp, created_at, metadata

static_versions = Table(
    "static_versions",
    metadata,
    Column("version", BigInteger, Identity(), primary_key=True),
    created_at("published_at"),
    Column("customers", Integer, nullable=False),
    Column("products", Integer, nullable=False),
    Column("currency_rates", Integer, nullable=False, server_default="0"),
    comment="A row a refresh of the static data; the stream re-reads it when the newest version changes",
)

customers = Table(
    "customers",
    metadata,
    Column("customer_id", Text, primary_key=True),
    Column("registered_at", Timestamp, nullable=False),
    Column("home_city", Text, nullable=False),
    Column("home_country", Text, nullable=False),
    Column("home_latitude", Double, nullable=False),
    Column("home_longitude", Double, nullable=False),
    Column("age_years", Integer, nullable=False),
    comment="Registered customers",
)

products = Table(
    "products",
    metadata,
    Column("product_id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("category", Text, nullable=False),
    Column("list_price", Money, nullable=False),
    comment="The catalogue",
)

currency_rates = Table(
    "currency_rates",
    metadata,
    Column("currency", Text, primary_key=True, comment="ISO 4217"),
    Column("valid_from", Date, primary_key=True, comment="from midnight, UTC, until the next one"),
    Column("rate", Money, nullable=False, comment="units of the shop currency for one of currency"),
    CheckConstraint("rate > 0", name="rate"),
    comment="Exchange rates into the shop currency",
)

entity_risk = Table(
    "entity_risk",
    metadata,
    Column("entity_type", Text, primary_key=True, comment="device, shipping_address, card_token or category"),
    Column("entity_id", Text, primary_key=True),
    Column("as_of", Timestamp, nullable=False),
    Column("transactions", Integer, nullable=False),
    Column("frauds", Integer, nullable=False),
    Column("customers", Integer, nullable=False, comment="distinct ones"),
    Column("risk", Double, nullable=False, comment="smoothed share of fraud, 0 to 1, from delayed labels"),
    Column(
        "component_customers",
        Integer,
        comment="customers whom shared devices, cards and addresses tie to this one's, them included; "
        "null: it ties none",
    ),
    Column("component_frauds", Integer, comment="transactions of these customers that are labelled as fraud"),
    comment="Entities with a labelled fraud or with several customers, over 30 days as of the last refresh",
)

entity_risk_versions = Table(
    "entity_risk_versions",
    metadata,
    Column("version", BigInteger, Identity(), primary_key=True),
    Column("as_of", Timestamp, nullable=False, comment="counted are events and labels before it"),
    created_at("published_at"),
    Column("transactions", BigInteger, nullable=False, comment="the shop's, over 30 days"),
    Column("frauds", BigInteger, nullable=False, comment="of these, labelled as fraud"),
    Column("entities", Integer, nullable=False, comment="rows of entity_risk"),
    comment="A row a refresh of entity_risk; the stream re-reads it when the newest version changes",
)

terminal_hours = Table(
    "terminal_hours",
    metadata,
    Column("terminal_id", Text, primary_key=True),
    Column("hour", Timestamp, primary_key=True, comment="of event_time: its beginning"),
    Column("transactions", Integer, nullable=False),
    Column("priced", Integer, nullable=False, comment="of these, with an amount in the shop currency"),
    Column("cents", BigInteger, nullable=False, comment="their amounts, hundredths of the shop currency"),
    comment="Transactions an hour of terminals with a fraud, over 60 days as of the last refresh of entity_risk",
)

terminal_frauds = Table(
    "terminal_frauds",
    metadata,
    Column("terminal_id", Text, primary_key=True),
    Column("hour", Timestamp, primary_key=True, comment="of event_time: its beginning"),
    Column("known_from", Timestamp, primary_key=True, comment="the first hour that began with the label"),
    Column(
        "known_until", Timestamp, primary_key=True, comment="the hour that began with another one; 9999-12-31: none yet"
    ),
    Column("cents", BigInteger, primary_key=True, comment="of each, hundredths of the shop currency; 0: not known"),
    Column("frauds", Integer, nullable=False),
    comment="Frauds at terminals by when they were known, over 60 days as of the last refresh of entity_risk",
)
