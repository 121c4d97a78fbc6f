"""The products: names that read like a shop's, in categories with log-normal prices."""

from dataclasses import dataclass

import numpy as np

from fraudstream.simulator.columns import Array, Columns

_BRANDS = (
    "Nordhaven", "Kestrel", "Alder & Ash", "Lumira", "Tessel", "Brightwater", "Corvo", "Juniper", "Halden", "Mirador",
    "Oakridge", "Pallas", "Quillon", "Solveig", "Tern", "Umbra", "Vantor", "Wren", "Zephyr", "Marlow",
)  # fmt: skip
_COLOURS = ("Black", "White", "Graphite", "Navy", "Sand", "Forest Green", "Terracotta", "Sky Blue", "Silver", "Plum")
_SIZES = ("S", "M", "L", "XL", "36", "38", "40", "42", "44", "46")
_EDITIONS = ("2nd Edition", "Illustrated", "Paperback", "Hardcover", "Box Set", "Pocket", "Deluxe", "Audio", "Signed")
_PACKS = ("250 g", "500 g", "1 kg", "Pack of 3", "Pack of 6", "100 ml", "250 ml", "500 ml", "Refill", "Gift Set")
_MODELS = ("128 GB", "256 GB", "512 GB", "1 TB", "Pro", "Lite", "Plus", "Max", "Mini", "2026")


@dataclass(frozen=True)
class Category:
    """A category: median price in EUR, spread (sigma of the logarithm), share of views, nouns and variants."""

    name: str
    price: float
    spread: float
    share: float
    nouns: tuple[str, ...]
    variants: tuple[str, ...]


CATEGORIES = (
    Category("Smartphones", 420, 0.50, 5, ("Smartphone", "5G Phone", "Folding Phone", "Rugged Phone"), _MODELS),
    Category("Laptops", 850, 0.45, 4, ("Ultrabook", "Notebook", "Gaming Laptop", "Convertible Laptop"), _MODELS),
    Category("Audio", 85, 0.70, 6, ("Headphones", "Earbuds", "Soundbar", "Bluetooth Speaker", "Turntable"), _COLOURS),
    Category("Cameras", 380, 0.65, 2, ("Mirrorless Camera", "Action Camera", "Zoom Lens", "Tripod"), _MODELS),
    Category("Gaming", 48, 0.75, 6, ("Controller", "Gaming Mouse", "Mechanical Keyboard", "Game Console"), _COLOURS),
    Category("Phone Accessories", 17, 0.55, 6, ("Phone Case", "USB-C Charger", "Power Bank", "Cable"), _COLOURS),
    Category("Watches", 160, 0.75, 3, ("Smartwatch", "Chronograph", "Fitness Tracker", "Dress Watch"), _COLOURS),
    Category("Jewellery", 75, 0.85, 3, ("Necklace", "Bracelet", "Ring", "Earrings", "Pendant"), _COLOURS),
    Category("Women's Fashion", 42, 0.60, 9, ("Dress", "Blouse", "Cardigan", "Jeans", "Trench Coat"), _SIZES),
    Category("Men's Fashion", 44, 0.55, 7, ("Shirt", "Chinos", "Jumper", "Polo", "Rain Jacket"), _SIZES),
    Category("Shoes", 72, 0.50, 7, ("Running Shoes", "Sneakers", "Ankle Boots", "Sandals", "Loafers"), _SIZES),
    Category("Kids", 24, 0.50, 5, ("Building Blocks", "Puzzle", "Plush Bear", "School Bag", "Mittens"), _COLOURS),
    Category("Books", 16, 0.40, 8, ("Cookbook", "Novel", "Travel Guide", "Field Guide", "Art Book"), _EDITIONS),
    Category("Beauty", 22, 0.60, 7, ("Face Cream", "Serum", "Shampoo", "Eau de Parfum", "Lipstick"), _PACKS),
    Category("Groceries", 9, 0.45, 6, ("Olive Oil", "Coffee Beans", "Green Tea", "Dark Chocolate", "Honey"), _PACKS),
    Category("Kitchen", 46, 0.70, 6, ("Chef's Knife", "Frying Pan", "Kettle", "Stand Mixer", "Tumblers"), _COLOURS),
    Category("Furniture", 210, 0.70, 3, ("Desk", "Armchair", "Bookcase", "Side Table", "Floor Lamp"), _COLOURS),
    Category("Home Textiles", 34, 0.50, 4, ("Duvet Cover", "Wool Throw", "Towel Set", "Cushion", "Curtains"), _COLOURS),
    Category("Garden", 38, 0.75, 3, ("Pruning Shears", "Planter", "Garden Hose", "Parasol", "Bird Feeder"), _COLOURS),
    Category("Tools", 62, 0.70, 3, ("Cordless Drill", "Socket Set", "Work Light", "Spirit Level"), _MODELS),
    Category("Sports", 52, 0.70, 5, ("Yoga Mat", "Dumbbell Set", "Trekking Poles", "Tent", "Bike Helmet"), _COLOURS),
    Category("Pets", 21, 0.55, 4, ("Dog Bed", "Cat Tree", "Dry Food", "Leash", "Aquarium Filter"), _PACKS),
)  # fmt: skip


def category_numbers(*names: str) -> Array:
    """The codes of categories in the simulator's columns. Raises ValueError for a name that isn't one."""
    known = [category.name for category in CATEGORIES]
    return np.array([known.index(name) for name in names])


@dataclass
class Products(Columns):
    """One row a product, sorted by category and price; `category` indexes `CATEGORIES`. Prices in EUR."""

    product_id: Array
    name: Array
    category: Array
    list_price: Array


@dataclass(frozen=True)
class Catalogue:
    """The products, where each category begins, and which neighbour in price is the popular one."""

    products: Products
    first: Array
    size: Array
    bestseller: Array

    def choose(self, category: Array, level: Array) -> Array:
        """Products of `category` at the quantile `level` (0 to 1) of the category's prices."""
        within = (np.clip(level, 0, 0.9999) * self.size[category]).astype(np.int64)
        return self.first[category] + within


def build_catalogue(count: int, seed: int) -> Catalogue:
    """Makes `count` products (at least two in each category)."""
    rng = np.random.default_rng([seed, 1])
    shares = np.array([category.share for category in CATEGORIES], dtype=np.float64)
    size = np.maximum(2, np.floor(count * shares / shares.sum())).astype(np.int64)
    size[np.argmax(size)] += count - size.sum()
    category = np.repeat(np.arange(len(CATEGORIES)), size)
    median = np.array([c.price for c in CATEGORIES])[category]
    spread = np.array([c.spread for c in CATEGORIES])[category]
    price = _shelf_price(median * np.exp(spread * rng.standard_normal(count)))
    order = np.lexsort((price, category))
    products = Products(
        product_id=np.array([f"p-{number:06d}" for number in range(count)], dtype=object),
        name=np.array([name for c, n in zip(CATEGORIES, size, strict=True) for name in _names(c, int(n), rng)], object),
        category=category,
        list_price=price[order],
    )
    return Catalogue(products, np.cumsum(size) - size, size, _bestsellers(category, rng))


def _shelf_price(price: Array) -> Array:
    # Shops end prices in .99, .95 or .90 when cheap, and in 9 euros when dear.
    cheap = np.floor(price) + np.array([0.99, 0.95, 0.90, 0.49])[(price * 97).astype(np.int64) % 4]
    dear = np.floor(price / 10) * 10 + 9
    return np.round(np.maximum(np.where(price < 120, cheap, dear), 1.49), 2)


def _names(category: Category, count: int, rng: np.random.Generator) -> list[str]:
    combinations = len(_BRANDS) * len(category.nouns) * len(category.variants)
    names = []
    for number, code in enumerate(rng.permutation(max(count, combinations))[:count]):
        brand, rest = divmod(int(code) % combinations, len(category.nouns) * len(category.variants))
        noun, variant = divmod(rest, len(category.variants))
        series = "" if code < combinations else f" Series {1 + number}"
        names.append(f"{_BRANDS[brand]} {category.nouns[noun]}{series} {category.variants[variant]}")
    return names


def _bestsellers(category: Array, rng: np.random.Generator) -> Array:
    # Within each run of eight neighbours in price one product sells best.
    block = category * 1_000_000 + np.arange(len(category)) // 8
    order = np.lexsort((rng.random(len(category)), block))
    leaders = order[np.unique(block[order], return_index=True)[1]]
    return leaders[np.unique(block, return_inverse=True)[1]]
