"""Fill an empty database with a catalog and a log of clicks.

python seed.py ADDRESS

Customers like a material and two brands, and buy within a few categories: what they have in common
is what a recommender can find.
"""

import sys

import numpy as np
from store import Store

MATERIALS = ("Oak", "Steel", "Linen", "Glass", "Cork", "Ceramic")
BRANDS = ("Nord", "Sól", "Atelier 9", "Grün & Co", "Plain", "Tama", "Hill", "Onda")
CATEGORIES = ("Lamps", "Chairs", "Pots", "Blankets", "Bowls", "Tables", "Vases", "Clocks")


def products(count: int, rng: np.random.Generator) -> list[tuple[str, str, str, str, str, float]]:
    """Return the catalog."""
    found = []
    for number in range(count):
        brand, category, material = (
            str(rng.choice(words)) for words in (BRANDS, CATEGORIES, MATERIALS)
        )
        title = f"{material} {category[:-1].lower()} {number + 1}"
        price = round(float(rng.lognormal(3.5, 0.7)), 2)
        found.append((f"SKU-{number + 1:04d}", title, brand, category, material, price))

    return found


def clicks(
    catalog: list[tuple[str, str, str, str, str, float]], users: int, rng: np.random.Generator
) -> list[tuple[str, str, int]]:
    """Return the log."""
    brand, category, material = (np.array([row[at] for row in catalog]) for at in (2, 3, 4))
    liked_at_all = rng.pareto(2.0, len(catalog)) + 0.2
    found = []
    for user in range(users):
        worth = liked_at_all * np.where(material == rng.choice(MATERIALS), 8, 1)
        worth *= np.where(np.isin(brand, rng.choice(BRANDS, 2, replace=False)), 5, 1)
        worth *= np.where(np.isin(category, rng.choice(CATEGORIES, 3, replace=False)), 4, 1)
        count = int(rng.integers(8, 40))
        items = rng.choice(len(catalog), count, replace=False, p=worth / worth.sum())
        times = 1_700_000_000 + np.sort(rng.integers(0, 90 * 86_400, count))
        pairs = zip(items.tolist(), times.tolist(), strict=True)
        found += [(f"u{user + 1:04d}", catalog[item][0], at) for item, at in pairs]

    return found


def main() -> None:
    """Fill it."""
    store = Store(sys.argv[1])
    rng = np.random.default_rng(0)
    catalog = products(400, rng)
    store.create()
    store.add("products", catalog)
    store.add("clicks", log := clicks(catalog, 500, rng))
    print(f"{len(catalog)} products, {len(log):,} clicks")


if __name__ == "__main__":
    main()
