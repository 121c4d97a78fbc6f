"""Features that a purchase has by itself."""

from math import nan

from fraudstream.messages.contracts import PAYMENT_METHODS, Item, Transaction
from model.durations import DAY_MS, HOUR_MS
from model.features.spec import USUAL, of_transaction

PURCHASE_SPECS = (
    of_transaction("amount", "amount charged", "money", f"{{value}} charged{USUAL}"),
    of_transaction("hour_of_day", "hour of the day, UTC", "hour", f"bought at {{value}}{USUAL}"),
    of_transaction("payment_method", "payment method; all unknown ones count as one", "method",
                   f"paid by {{value}}{USUAL}", f"paid by card{USUAL}"),
    of_transaction("uses_promo", "a promotion code was used", "flag",
                   "used a promotion code", "used no promotion code"),
    of_transaction("promo_to_amount", "promotion's value over amount plus promotion", "share",
                   f"the promotion took off {{value}} of the price{USUAL}", f"no promotion took anything off{USUAL}"),
    of_transaction("shipping_to_amount", "shipping fee over amount", "share",
                   f"the shipping fee is {{value}} of the amount[, {{amount}}]{USUAL}", f"no shipping fee{USUAL}"),
    of_transaction("ip_differs_from_shipping", "IP address's country isn't the shipping country", "flag",
                   "bought from another country than it ships to", "bought from the country that it ships to"),
    of_transaction("item_lines", "different products bought", "count", f"{{value:product}} bought{USUAL}"),
    of_transaction("item_quantity", "units bought", "count",
                   f"{{value:unit}} bought[, of {{item_lines:product}}]{USUAL}"),
    of_transaction("quantity_max", "most units of one product", "count",
                   f"{{value:unit}} of one product{USUAL}"),
    of_transaction("unit_price_mean", "mean price of a unit", "money",
                   f"a unit costs {{value}} on average{USUAL}"),
    of_transaction("unit_price_max", "highest price of a unit", "money",
                   f"the most expensive unit costs {{value}}{USUAL}"),
)  # fmt: skip

_METHOD_INDEX = {name: float(index) for index, name in enumerate(PAYMENT_METHODS)}
_OTHER_METHOD = float(len(PAYMENT_METHODS))


def purchase_values(transaction: Transaction, at: int, rate: float) -> list[float]:
    """Values of PURCHASE_SPECS at `at` (epoch milliseconds); a shop currency's unit is 1/`rate` of the transaction's.

    Shares are of amounts in one currency, and need no rate.
    """
    amount = max(transaction.amount, 0.01)  # a smaller one is valid, but must not make a ratio infinite
    promo, fee, method = transaction.promo_amount, transaction.shipping_fee, transaction.payment_method
    from_country, to_country = transaction.ip_country, transaction.shipping_country
    countries_differ = nan
    if from_country is not None and to_country is not None:
        countries_differ = 0.0 if from_country == to_country else 1.0
    uses_promo = nan
    if promo is not None or transaction.promo_code is not None:
        uses_promo = 0.0 if transaction.promo_code is None else 1.0
    lines = quantity = quantity_max = price_mean = price_max = nan
    if transaction.items is not None:
        lines, quantity, quantity_max, price_mean, price_max = _item_values(transaction.items, rate)
    return [
        transaction.amount * rate,  # amount
        at % DAY_MS / HOUR_MS,  # hour_of_day
        nan if method is None else _METHOD_INDEX.get(method, _OTHER_METHOD),  # payment_method
        uses_promo,  # uses_promo
        nan if promo is None else promo / (amount + promo),  # promo_to_amount
        nan if fee is None else fee / amount,  # shipping_to_amount
        countries_differ,  # ip_differs_from_shipping
        lines,  # item_lines
        quantity,  # item_quantity
        quantity_max,  # quantity_max
        price_mean,  # unit_price_mean
        price_max,  # unit_price_max
    ]


def _item_values(items: list[Item], rate: float) -> tuple[float, float, float, float, float]:
    """Different products, units, most units of a product, and the mean and the highest price of a unit."""
    units = most = 0
    value = highest = 0.0
    for item in items:
        quantity, price = item.quantity, item.unit_price
        units += quantity
        value += quantity * price
        if quantity > most:
            most = quantity
        if price > highest:
            highest = price
    return float(len(items)), float(units), float(most), value / units * rate, highest * rate
