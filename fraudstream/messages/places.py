"""Places as events have them: coordinates of an address, or of a whole city, which may not pass for one.

A city's coordinates lie on a grid of 1/128 of a degree, in both directions. No address does by chance: with six
decimals, it is one in 200 million. So whatever counts what happens at an address can leave cities out.
"""

from typing import Any

#: Lines of the grid in a degree: a city is moved by less than 450 m. A power of two, for which floats are exact.
CITY_LINES = 128


def on_city_grid(latitude: float, longitude: float) -> tuple[float, float]:
    """The point of the grid that is nearest to a city, in degrees."""
    return round(latitude * CITY_LINES) / CITY_LINES, round(longitude * CITY_LINES) / CITY_LINES


def is_city(latitude: Any, longitude: Any) -> Any:
    """Whether coordinates are those of a city: of degrees, or of arrays of them; NaN is none."""
    return (latitude * CITY_LINES % 1 == 0) & (longitude * CITY_LINES % 1 == 0)


def sql_is_city(latitude: str, longitude: str) -> str:
    """The same in SQL, of Postgres and DuckDB, for columns of double precision; NULL where one is."""
    lines = (f"floor({each} * {CITY_LINES}) = {each} * {CITY_LINES}" for each in (latitude, longitude))
    return f"({' AND '.join(lines)})"
