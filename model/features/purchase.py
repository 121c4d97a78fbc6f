"""Features that a purchase has by itself."""

from fraudstream.messages.contracts import PAYMENT_METHODS, Transaction
from model.durations import DAY_MS, HOUR_MS
from model.features.spec import of_transaction

PURCHASE_SPECS = (
    of_transaction("amount", "amount charged", "money", "amount {value}; usual: {usual}"),
    of_transaction("hour_of_day", "hour of the day, UTC", "hour", "bought at {value}; usual: {usual}"),
    of_transaction("payment_method", "payment method; all unknown ones count as one", "method",
                   "paid by {value}; usual: {usual}"),
    of_transaction("uses_promo", "a promotion code was used", "flag", "promotion code used", "no promotion code"),
    of_transaction("promo_to_amount", "promotion's value over amount plus promotion", "share",
                   "promotion worth {value} of the price; usual: {usual}"),
    of_transaction("shipping_to_amount", "shipping fee over amount", "share",
                   "shipping fee is {value} of the amount; usual: {usual}"),
    of_transaction("ip_differs_from_shipping", "IP address's country isn't the shipping country", "flag",
                   "IP country differs from shipping country", "IP country is the shipping country"),
    of_transaction("item_lines", "different products bought", "count", "{value} different products; usual: {usual}"),
    of_transaction("item_quantity", "units bought", "count", "{value} units; usual: {usual}"),
    of_transaction("quantity_max", "most units of one product", "count",
                   "{value} units of one product; usual: {usual}"),
    of_transaction("unit_price_mean", "mean price of a unit", "money", "mean unit price {value}; usual: {usual}"),
    of_transaction("unit_price_max", "highest price of a unit", "money", "highest unit price {value}; usual: {usual}"),
)  # fmt: skip

_METHOD_INDEX = {name: float(index) for index, name in enumerate(PAYMENT_METHODS)}
_OTHER_METHOD = float(len(PAYMENT_METHODS))


def purchase_values(transaction: Transaction, at: int) -> list[float]:
    """Values of PURCHASE_SPECS at `at` (epoch milliseconds)."""
    amount = max(transaction.amount, 0.01)  # a smaller one is valid, but must not make a ratio infinite
    promo = transaction.promo_amount
    units = most = 0
    value = highest = 0.0
    for item in transaction.items:
        quantity, price = item.quantity, item.unit_price
        units += quantity
        value += quantity * price
        if quantity > most:
            most = quantity
        if price > highest:
            highest = price
    return [
        transaction.amount,  # amount
        at % DAY_MS / HOUR_MS,  # hour_of_day
        _METHOD_INDEX.get(transaction.payment_method, _OTHER_METHOD),  # payment_method
        0.0 if transaction.promo_code is None else 1.0,  # uses_promo
        promo / (amount + promo),  # promo_to_amount
        transaction.shipping_fee / amount,  # shipping_to_amount
        0.0 if transaction.ip_country == transaction.shipping_country else 1.0,  # ip_differs_from_shipping
        float(len(transaction.items)),  # item_lines
        float(units),  # item_quantity
        float(most),  # quantity_max
        value / units,  # unit_price_mean
        highest,  # unit_price_max
    ]
