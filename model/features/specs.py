"""What each feature is: declared once, for the model, for the sentences that explain a flag, and for the documentation.

The order here is the order of the values: `features.observe_transaction` computes `STATEFUL_SPECS`,
`static.StaticData.features` computes `STATIC_SPECS`, and `entity_risk.EntityRisk.features` computes `ENTITY_SPECS`. A
value is NaN where it isn't known.
"""

from dataclasses import dataclass
from typing import Literal

from fraudstream.static_data.entities import WINDOW_DAYS, EntityType

Unit = Literal[
    "count", "seconds", "hours", "days", "money", "ratio", "share", "deviations", "km", "km/h", "hour", "flag", "method"
]


@dataclass(frozen=True)
class FeatureSpec:
    """One feature.

    `template` is the sentence for a reason; `{value}` and `{usual}` (the median of legitimate training transactions)
    are written in the feature's unit. A flag has two sentences, `template` for 1 and `otherwise` for 0.
    """

    name: str
    definition: str
    unit: Unit
    window: str
    template: str
    otherwise: str = ""


def _session(name: str, definition: str, unit: Unit, template: str, otherwise: str = "") -> FeatureSpec:
    return FeatureSpec(name, definition, unit, "session", template, otherwise)


def _history(name: str, definition: str, unit: Unit, template: str, otherwise: str = "") -> FeatureSpec:
    return FeatureSpec(name, definition, unit, "customer", template, otherwise)


def _purchase(name: str, definition: str, unit: Unit, template: str, otherwise: str = "") -> FeatureSpec:
    return FeatureSpec(name, definition, unit, "transaction", template, otherwise)


def _windows() -> tuple[FeatureSpec, ...]:
    windows = (("10m", "10 min"), ("1h", "1 h"), ("1d", "1 day"), ("7d", "7 days"), ("30d", "30 days"))
    counts = tuple(
        FeatureSpec(
            f"transactions_{short}", "earlier transactions of the customer", "count", words,
            f"{{value}} earlier transactions in {words}; usual: {{usual}}",
        )
        for short, words in windows
    )  # fmt: skip
    sums = tuple(
        FeatureSpec(
            f"amount_{short}", "sum of the customer's earlier transactions", "money", words,
            f"{{value}} spent earlier within {words}; usual: {{usual}}",
        )
        for short, words in windows
    )  # fmt: skip
    means = tuple(
        FeatureSpec(
            f"amount_mean_{short}", "mean of the customer's earlier transactions", "money", words,
            f"earlier transactions within {words} are {{value}} on average; usual: {{usual}}",
        )
        for short, words in windows
    )  # fmt: skip
    maxima = tuple(
        FeatureSpec(
            f"amount_max_{short}", "largest of the customer's earlier transactions", "money", words,
            f"largest earlier transaction within {words} is {{value}}; usual: {{usual}}",
        )
        for short, words in windows
    )  # fmt: skip
    return counts + sums + means + maxima


SESSION_SPECS = (
    _session("direct_checkout", "bought without any browsing event in the session", "flag",
             "bought without browsing", "browsed before buying"),
    _session("session_events", "browsing events before the purchase", "count",
             "{value} browsing events before the purchase; usual: {usual}"),
    _session("session_seconds", "from the session's first event to the purchase", "seconds",
             "session lasted {value}; usual: {usual}"),
    _session("session_page_views", "page views and scrolls", "count", "{value} page views and scrolls; usual: {usual}"),
    _session("session_searches", "searches", "count", "{value} searches; usual: {usual}"),
    _session("session_lists", "lists of products looked at", "count", "{value} lists of products; usual: {usual}"),
    _session("session_item_views", "product pages viewed", "count", "{value} product pages viewed; usual: {usual}"),
    _session("session_promotion_views", "promotions viewed", "count", "{value} promotions viewed; usual: {usual}"),
    _session("session_cart_changes", "additions to and removals from cart and wish list", "count",
             "{value} changes of cart or wish list; usual: {usual}"),
    _session("session_checkout_steps", "begin_checkout and add_payment_info: how many of both came", "count",
             "{value} of 2 checkout steps; usual: {usual}"),
    _session("session_payment_entries", "times that payment details were entered", "count",
             "payment details entered {value} times; usual: {usual}"),
    _session("session_gap_mean", "mean time between events", "seconds",
             "{value} between clicks on average; usual: {usual}"),
    _session("session_gap_variation", "standard deviation of the time between events, over its mean", "ratio",
             "regularity of clicks {value} (0 is a machine's); usual: {usual}"),
    _session("session_gap_min", "shortest time between two events", "seconds",
             "shortest time between clicks {value}; usual: {usual}"),
    _session("session_gap_max", "longest time between two events, at most 30 min", "seconds",
             "longest time between clicks {value}; usual: {usual}"),
    _session("session_item_dwell", "mean time on a product page, until the next event", "seconds",
             "{value} on a product page on average; usual: {usual}"),
    _session("browse_to_buy", "from the session's last browsing event to the purchase", "seconds",
             "bought {value} after the last click; usual: {usual}"),
    _session("session_products_seen", "distinct products seen (a 64-bit sketch: up to ~20 it is nearly exact)", "count",
             "about {value} products seen; usual: {usual}"),
    _session("bought_seen_share", "share of the bought products seen in the session (from the same sketch)", "share",
             "{value} of the bought products were looked at; usual: {usual}"),
    _session("session_transactions", "earlier transactions of the same session", "count",
             "{value} earlier transactions in this session; usual: {usual}"),
    _session("session_other_device", "bought from another device than the session began on", "flag",
             "bought from another device than browsed", "bought from the device that browsed"),
)  # fmt: skip

HISTORY_SPECS = (
    *_windows(),
    _history("known_transactions", "earlier transactions known of the customer", "count",
             "{value} earlier transactions known; usual: {usual}"),
    _history("known_days", "since the customer's first known transaction", "days",
             "customer known for {value}; usual: {usual}"),
    _history("since_last", "since the customer's last transaction", "seconds",
             "{value} since the last transaction; usual: {usual}"),
    _history("pace_ratio", "time since the last transaction over the customer's mean time between them", "ratio",
             "time since the last transaction is {value} times the customer's own mean; usual: {usual}"),
    _history("amount_to_mean", "amount over the customer's own mean", "ratio",
             "amount is {value} times the customer's mean; usual: {usual}"),
    _history("amount_to_max", "amount over the customer's own maximum", "ratio",
             "amount is {value} times the customer's maximum; usual: {usual}"),
    _history("amount_deviation", "deviation of the amount's logarithm from the customer's own", "deviations",
             "amount is {value} standard deviations above the customer's habit; usual: {usual}"),
    _history("pace_to_habit", "mean time between clicks over the customer's own (geometric mean)", "ratio",
             "clicks at {value} times the customer's usual interval; usual: {usual}"),
    _history("promo_share", "share of the customer's earlier transactions with a promotion", "share",
             "{value} of earlier transactions used a promotion; usual: {usual}"),
    _history("km_since_last", "from the last shipping place to this one", "km",
             "{value} from the last shipping place; usual: {usual}"),
    _history("kmh_since_last", "that distance over the time since (at least one minute)", "km/h",
             "{value} from the last shipping place to this one; usual: {usual}"),
    _history("new_device", "device not known of the customer", "flag", "device new to this customer", "known device"),
    _history("new_card", "card not known of the customer", "flag", "card new to this customer", "known card"),
    _history("new_place", "shipping place (1 km) not known of the customer", "flag",
             "shipping place new to this customer", "known shipping place"),
    _history("new_shipping_country", "shipping country not known of the customer", "flag",
             "shipping country new to this customer", "known shipping country"),
    _history("new_ip_country", "IP address's country not known of the customer", "flag",
             "IP country new to this customer", "known IP country"),
    _history("device_hours", "since the customer first bought from this device", "hours",
             "device first used {value} ago; usual: {usual}"),
    _history("card_hours", "since the customer first paid with this card", "hours",
             "card first used {value} ago; usual: {usual}"),
    _history("place_hours", "since the customer first shipped to this place", "hours",
             "shipping place first used {value} ago; usual: {usual}"),
    _history("device_share", "share of the customer's earlier transactions from this device", "share",
             "device used in {value} of earlier transactions; usual: {usual}"),
    _history("card_share", "share of the customer's earlier transactions with this card", "share",
             "card used in {value} of earlier transactions; usual: {usual}"),
    _history("place_share", "share of the customer's earlier transactions to this place", "share",
             "shipping place used in {value} of earlier transactions; usual: {usual}"),
    *(
        FeatureSpec(f"{things}_{short}", f"distinct {words}, this one included", "count", window,
                    f"{{value}} {words} in {window}; usual: {{usual}}")
        for short, window in (("1h", "1 h"), ("1d", "1 day"))
        for things, words in (("devices", "devices"), ("cards", "cards"), ("places", "shipping places"))
    ),
)  # fmt: skip

PURCHASE_SPECS = (
    _purchase("amount", "amount charged", "money", "amount {value}; usual: {usual}"),
    _purchase("hour_of_day", "hour of the day, UTC", "hour", "bought at {value}; usual: {usual}"),
    _purchase("payment_method", "payment method", "method", "paid by {value}; usual: {usual}"),
    _purchase("uses_promo", "a promotion code was used", "flag", "promotion code used", "no promotion code"),
    _purchase("promo_to_amount", "promotion's value over amount plus promotion", "share",
              "promotion worth {value} of the price; usual: {usual}"),
    _purchase("shipping_to_amount", "shipping fee over amount", "share",
              "shipping fee is {value} of the amount; usual: {usual}"),
    _purchase("ip_differs_from_shipping", "IP address's country isn't the shipping country", "flag",
              "IP country differs from shipping country", "IP country is the shipping country"),
    _purchase("item_lines", "different products bought", "count", "{value} different products; usual: {usual}"),
    _purchase("item_quantity", "units bought", "count", "{value} units; usual: {usual}"),
    _purchase("quantity_max", "most units of one product", "count", "{value} units of one product; usual: {usual}"),
    _purchase("unit_price_mean", "mean price of a unit", "money", "mean unit price {value}; usual: {usual}"),
    _purchase("unit_price_max", "highest price of a unit", "money", "highest unit price {value}; usual: {usual}"),
)  # fmt: skip

STATEFUL_SPECS = SESSION_SPECS + HISTORY_SPECS + PURCHASE_SPECS

#: Categories differ from shop to shop: the features are about their prices, not about their names.
STATIC_SPECS = (
    _purchase("home_km", "from the customer's home to the shipping place", "km",
              "shipped {value} from home; usual: {usual}"),
    _purchase("ships_abroad", "shipping country isn't the home country", "flag",
              "shipped to another country than home", "shipped to the home country"),
    _purchase("ip_abroad", "IP address's country isn't the home country", "flag",
              "IP country isn't the home country", "IP country is the home country"),
    _purchase("account_days", "age of the customer's account", "days", "account is {value} old; usual: {usual}"),
    _purchase("customer_age", "customer's age, years", "count", "customer is {value} years old; usual: {usual}"),
    _purchase("list_price_max", "highest list price among the products", "money",
              "most expensive product lists at {value}; usual: {usual}"),
    _purchase("price_to_list", "prices paid over list prices", "ratio",
              "paid {value} times the list prices; usual: {usual}"),
    _purchase("amount_to_list", "amount charged over list prices", "ratio",
              "charged {value} times the list prices; usual: {usual}"),
    _purchase("price_rank_mean", "rank of the products' list prices in their category, 0 lowest to 1 highest", "share",
              "products at {value} of their category's price range; usual: {usual}"),
    _purchase("top_category_share", "share of the value in its largest category", "share",
              "{value} of the value in one category; usual: {usual}"),
    _purchase("category_price", "median list price of the category of the most expensive product", "money",
              "category's median price {value}; usual: {usual}"),
    FeatureSpec("new_category_share",
                "share of the value in categories that the customer's last 12 different products aren't in", "share",
                "customer", "{value} of the value in categories new to this customer; usual: {usual}"),
)  # fmt: skip


def _entity(entity: EntityType, words: str, risk: str = "") -> tuple[FeatureSpec, ...]:
    """What is known of an entity as of the last refresh."""
    window = f"{WINDOW_DAYS} days"
    return (
        FeatureSpec(f"{entity}_risk", risk or f"smoothed rate of labelled fraud of the {words}, over the shop's",
                    "ratio", window, f"fraud rate of the {words} is {{value}} times the shop's; usual: {{usual}}"),
        FeatureSpec(f"{entity}_frauds", f"transactions of the {words} that are labelled as fraud", "count", window,
                    f"{{value}} labelled frauds on the {words}; usual: {{usual}}"),
        FeatureSpec(f"{entity}_customers", f"distinct customers of the {words}, at least 1", "count", window,
                    f"{{value}} customers on the {words}; usual: {{usual}}"),
    )  # fmt: skip


ENTITY_SPECS = (
    *_entity(EntityType.DEVICE, "device"),
    *_entity(EntityType.SHIPPING_ADDRESS, "shipping address"),
    *_entity(EntityType.CARD_TOKEN, "card"),
    _entity(EntityType.CATEGORY, "product category",
            "smoothed rate of labelled fraud of the transaction's riskiest category, over the shop's")[0],
)  # fmt: skip

SPECS: dict[str, FeatureSpec] = {spec.name: spec for spec in STATEFUL_SPECS + STATIC_SPECS + ENTITY_SPECS}
