"""Features from the static join: customers and products."""

from dataclasses import dataclass
from itertools import chain
from zlib import crc32

import numpy as np
import pandas as pd

from model.durations import DAY_MS
from model.features.geo import distances_km
from model.features.spec import USUAL, FeatureSpec, of_transaction

#: Categories differ from shop to shop: the features are about their prices, not about their names.
STATIC_SPECS = (
    of_transaction("home_km", "from the customer's home to the shipping place", "km",
                   f"ships {{value}} away from the customer's home{USUAL}"),
    of_transaction("ships_abroad", "shipping country isn't the home country", "flag",
                   "ships to another country than the customer's home", "ships to the customer's home country"),
    of_transaction("ip_abroad", "IP address's country isn't the home country", "flag",
                   "bought from another country than the customer's home", "bought from the customer's home country"),
    of_transaction("account_days", "age of the customer's account", "days",
                   f"bought {{value}} after signing up{USUAL}"),
    of_transaction("customer_age", "customer's age, years", "count",
                   f"the customer is {{value:year}} old{USUAL}", f"the customer is less than a year old{USUAL}"),
    of_transaction("list_price_max", "highest list price among the products", "money",
                   f"the most expensive product has a list price of {{value}}{USUAL}"),
    of_transaction("price_to_list", "prices paid over list prices", "ratio",
                   "the prices paid are {value} the list prices[; usual: {usual} them]"),
    of_transaction("amount_to_list", "amount charged over list prices", "ratio",
                   "[{amount} is|the amount is] {value} the list prices[; usual: {usual} them]"),
    of_transaction("price_rank_mean", "rank of the products' list prices in their category, 0 lowest to 1 highest",
                   "share", "the products are {value:~price}[; usual: {usual:~price}]"),
    of_transaction("top_category_share", "share of the value in its largest category", "share",
                   f"{{value}} of the basket's value is of one category{USUAL}"),
    of_transaction("category_price", "median list price of the category of the most expensive product", "money",
                   f"products of this category cost about {{value}}{USUAL}"),
    FeatureSpec("new_category_share",
                "share of the value in categories that the customer's last 12 different products aren't in", "share",
                "customer", f"{{value}} of the basket's value is of categories new to this customer{USUAL}",
                f"bought of categories as before{USUAL}"),
)  # fmt: skip

CUSTOMER_COLUMNS = ("customer_id", "registered_at", "home_country", "home_latitude", "home_longitude", "age_years")
PRODUCT_COLUMNS = ("product_id", "name", "category", "list_price")


@dataclass(frozen=True)
class StaticData:
    """Customers and products, ready to be joined; picklable. `version` is the row of fraud.static_versions."""

    version: int
    customers: pd.DataFrame  # by customer_id: registered_ms, home_country, home_latitude, home_longitude, age_years
    products: pd.DataFrame  # by product_id: name, category (a number), list_price, price_rank, category_price
    categories: pd.Series  # by product_id: the category's name
    hashed: pd.Series  # by the product_id's hash, as in profiles: the category's number

    @classmethod
    def from_frames(cls, customers: pd.DataFrame, products: pd.DataFrame, version: int = 0) -> "StaticData":
        """Static data from tables as fraud.customers and fraud.products. Raises KeyError for a missing column."""
        people = customers[list(CUSTOMER_COLUMNS)].set_index("customer_id")
        people["registered_ms"] = _milliseconds(people.pop("registered_at"))
        people = people.astype({"home_latitude": float, "home_longitude": float, "age_years": float})
        goods = products[list(PRODUCT_COLUMNS)].set_index("product_id")
        goods["list_price"] = goods["list_price"].astype(float)
        by_category = goods.groupby("category")["list_price"]
        size = by_category.transform("size")
        goods["price_rank"] = ((by_category.rank() - 1) / (size - 1)).where(size > 1)
        goods["category_price"] = by_category.transform("median")
        categories = goods["category"]
        goods["category"] = pd.factorize(categories, sort=True)[0]
        hashes = [float(crc32(product.encode())) for product in goods.index]
        hashed = pd.Series(goods["category"].to_numpy(), hashes).groupby(level=0).first()  # equal ones are rare
        return cls(version, people, goods, categories, hashed)

    def features(self, transactions: pd.DataFrame, known_products: np.ndarray) -> np.ndarray:
        """STATIC_FEATURES of each transaction, float64 [n, features]; NaN for an unknown customer or product, or none.

        `known_products` [n, any number] are the hashes of products that the customer bought before, NaN for none.
        Needs the columns customer_id, event_time, amount, exchange_rate (NaN: none known), shipping_latitude,
        shipping_longitude, shipping_country, ip_country and items (a list of mappings with product_id, quantity and
        unit_price); the last five may have None.
        """
        if not len(transactions):
            return np.empty((0, len(STATIC_SPECS)))
        columns = self._customer_columns(transactions)
        listed = transactions["items"].notna().to_numpy()
        if listed.all():
            columns |= self._product_columns(transactions, known_products)
        elif listed.any():
            found = self._product_columns(transactions[listed], known_products[listed])
            columns |= {name: _placed(values, listed) for name, values in found.items()}
        unknown = np.full(len(transactions), np.nan)
        return np.column_stack([columns.get(spec.name, unknown) for spec in STATIC_SPECS])

    def _customer_columns(self, transactions: pd.DataFrame) -> dict[str, np.ndarray]:
        place = self.customers.index.get_indexer(pd.Index(transactions["customer_id"]))
        known = place >= 0

        def joined(column: str) -> np.ndarray:
            return _at(self.customers[column].to_numpy(float), place)

        home_country = _at(self.customers["home_country"].to_numpy(object), place)

        def is_abroad(column: str) -> np.ndarray:
            country = transactions[column].to_numpy(object)
            return np.where(known & pd.notna(country), (home_country != country).astype(float), np.nan)

        kilometres = distances_km(
            joined("home_latitude"),
            joined("home_longitude"),
            transactions["shipping_latitude"].to_numpy(float),
            transactions["shipping_longitude"].to_numpy(float),
        )
        age_ms = _milliseconds(transactions["event_time"]).to_numpy() - joined("registered_ms")
        return {
            "home_km": kilometres,
            "ships_abroad": is_abroad("shipping_country"),
            "ip_abroad": is_abroad("ip_country"),
            "account_days": np.maximum(age_ms, 0) / DAY_MS,
            "customer_age": joined("age_years"),
        }

    def _product_columns(self, transactions: pd.DataFrame, known_products: np.ndarray) -> dict[str, np.ndarray]:
        lists = transactions["items"].tolist()
        rows = len(lists)
        lines = np.fromiter(map(len, lists), int, rows)
        owner = np.repeat(np.arange(rows), lines)
        starts = np.concatenate([[0], np.cumsum(lines)[:-1]])
        items = list(chain.from_iterable(lists))
        place = self.products.index.get_indexer(pd.Index([item["product_id"] for item in items]))
        quantity = np.array([item["quantity"] for item in items], float)
        price = np.array([item["unit_price"] for item in items], float)

        def joined(column: str) -> np.ndarray:
            return _at(self.products[column].to_numpy(float), place)

        def total(values: np.ndarray) -> np.ndarray:
            return np.bincount(owner, values, rows)

        list_price = joined("list_price")
        rate = transactions["exchange_rate"].to_numpy(float)
        listed = total(list_price * quantity)
        listed = np.where(listed > 0, listed, np.nan)
        top_price = np.maximum.reduceat(list_price, starts)
        # the first line with the highest list price; an unknown one counts as highest, and makes the feature unknown
        ranked = np.where(np.isnan(list_price), np.inf, list_price)
        is_top = ranked == np.maximum.reduceat(ranked, starts)[owner]
        first_top = np.minimum.reduceat(np.where(is_top, np.arange(len(items)), len(items)), starts)
        category = joined("category")
        known_category = _at(
            self.hashed.to_numpy(float), self.hashed.index.get_indexer(pd.Index(known_products.ravel()))
        )
        known_category = known_category.reshape(known_products.shape)
        is_new = (known_category[owner] != category[:, None]).all(axis=1)
        new_value = total(np.where(is_new, list_price * quantity, 0.0))
        return {
            "list_price_max": top_price,
            "price_to_list": total(price * quantity) * rate / listed,
            "amount_to_list": transactions["amount"].to_numpy(float) * rate / listed,
            "price_rank_mean": total(joined("price_rank")) / lines,
            "top_category_share": _largest_sum(owner, category, np.nan_to_num(list_price) * quantity, rows) / listed,
            "category_price": joined("category_price")[first_top],
            "new_category_share": np.where(np.isnan(known_category).all(axis=1), np.nan, new_value / listed),
        }


def _at(values: np.ndarray, place: np.ndarray) -> np.ndarray:
    """`values` at each place; NaN where the place is -1, which stands for unknown (all are, without static data)."""
    taken: np.ndarray = np.append(values, np.nan)[place]
    return taken


def _placed(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """A column with `values` at the rows (bool [n]) that have any."""
    column = np.full(len(rows), np.nan)
    column[rows] = values
    return column


def _largest_sum(owner: np.ndarray, category: np.ndarray, value: np.ndarray, rows: int) -> np.ndarray:
    """The largest sum of `value` over one category, for each of the owners 0 … rows-1."""
    codes = np.nan_to_num(category, nan=-1).astype(int) + 1
    categories = codes.max() + 1
    groups, inverse = np.unique(owner * categories + codes, return_inverse=True)
    largest = np.zeros(rows)
    np.maximum.at(largest, groups // categories, np.bincount(inverse, value))
    return largest


def _milliseconds(times: pd.Series) -> pd.Series:
    """Epoch milliseconds of times with a zone."""
    return times.astype("datetime64[ms, UTC]").astype("int64")
