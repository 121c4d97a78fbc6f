"""Amounts in the shop currency, in SQL: of a row's own amounts and exchange rate, so that they never change.

Null without a rate. With four digits after the point, as the smallest minor unit of ISO 4217 has.
"""

#: Of a row with `amount` and `exchange_rate`.
SHOP_AMOUNT = "round(amount * exchange_rate, 4)"
#: Of a line `item` of a row with `exchange_rate`.
SHOP_PRICE = "round(item.unit_price * exchange_rate, 4)"
