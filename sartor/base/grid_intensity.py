"""How much carbon dioxide a kilowatt hour stands for: a dated table of countries that the user can edit.

Order of trust: `~/.config/sartor/grid_intensity.yaml`, then the shipped table. Grams that follow from it are always an
estimate, whichever way the energy was found: they hold for a year's average of a country's power stations.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from sartor.base.configuration import Config, build, load_yaml
from sartor.base.errors import UsageError

SHIPPED_TABLE = Path(__file__).with_name("grid_intensity.yaml")
WORLD = "world"
GIVEN = "as given"


class _Table(Config):
    as_of: int = Field(ge=1990, le=2100)
    source: str = Field(min_length=1)
    grams_per_kwh: dict[str, float]


@dataclass(frozen=True)
class GridIntensity:
    """Grams of carbon dioxide equivalent for a kilowatt hour at a `place`; `as_of` is the year, None for a number that
    was given."""

    place: str
    grams_per_kwh: float
    as_of: int | None
    source: str

    def grams(self, watt_hours: float) -> float:
        """Of so much energy."""
        return self.grams_per_kwh * watt_hours / 1000

    def __str__(self) -> str:
        year = "" if self.as_of is None else f", {self.as_of}"
        return f"{self.grams_per_kwh:g} g/kWh ({self.place}{year}; {self.source})"


def grid_intensity(named: str) -> GridIntensity:
    """The intensity of a place in the table, or the number that `named` is. UsageError for neither."""
    try:
        return GridIntensity(GIVEN, _checked(float(named)), None, "--grid")
    except ValueError:
        pass
    tables = [build(_Table, load_yaml(file)) for file in (user_grid_file(), SHIPPED_TABLE) if file.is_file()]
    for table in tables:
        for place, grams in table.grams_per_kwh.items():
            if place.casefold() == named.strip().casefold():
                return GridIntensity(place, _checked(grams), table.as_of, table.source)
    raise UsageError(
        f"no grid is known as {named!r}",
        where="--grid",
        hint=f"a country's two letters such as DE, or grams for a kilowatt hour; others belong in {user_grid_file()}",
    )


def user_grid_file() -> Path:
    """Where the user's own figures are looked for (XDG base directory specification)."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "sartor" / "grid_intensity.yaml"


def _checked(grams: float) -> float:
    if not 0 <= grams < float("inf"):
        raise UsageError(f"{grams:g} is no number of grams for a kilowatt hour", where="--grid", hint="0 or more")
    return grams
