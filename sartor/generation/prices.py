"""What a remote model costs: a dated table of list prices that the user can edit.

Order of trust: a file given by the user (`--prices FILE`), `~/.config/sartor/prices.yaml`, the shipped table.
A model that none of them names has no known price, and its cost is None, never 0.
"""

import datetime
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from sartor.base.configuration import Config, build, load_yaml

SHIPPED_PRICES = Path(__file__).with_name("prices.yaml")
ANY_MODEL = "*"


class Price(Config):
    """US dollars for a million tokens of some `models` at one `host`, as known to hold on the day `as_of`."""

    host: str = Field(min_length=1)
    models: tuple[str, ...] = Field(min_length=1)
    input_per_million: float = Field(ge=0, allow_inf_nan=False)
    output_per_million: float = Field(ge=0, allow_inf_nan=False)
    as_of: datetime.date = Field(description="the day the price was known to hold, as 2026-01-31")
    source: str = ""

    def cost(self, prompt_tokens: int, completion_tokens: int) -> float:
        """US dollars at list price: an upper bound where the service gives discounts (cached input)."""
        return (prompt_tokens * self.input_per_million + completion_tokens * self.output_per_million) / 1e6


class _PriceFile(Config):
    prices: tuple[Price, ...]


@dataclass(frozen=True)
class PriceTable:
    """Prices in order of trust."""

    prices: tuple[Price, ...]

    def find(self, host: str, model: str) -> Price | None:
        """The first price that names the model, else the first for any model of the host."""
        for name in (model, ANY_MODEL):
            for price in self.prices:
                if price.host.lower() == host.lower() and name in price.models:
                    return price
        return None


def load_prices(given: str | os.PathLike[str] | None = None) -> PriceTable:
    """The table from the `given` file, the user's own file if there is one, and the shipped one.

    UsageError with `file:line` for entries that cannot be read.
    """
    files: list[Path] = [Path(given)] if given is not None else []
    own = user_prices_file()
    if own.is_file():
        files.append(own)
    return PriceTable(tuple(_read([*files, SHIPPED_PRICES])))


def user_prices_file() -> Path:
    """Where the user's own prices are looked for (XDG base directory specification)."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "sartor" / "prices.yaml"


def _read(files: Iterable[Path]) -> Iterable[Price]:
    for file in files:
        yield from build(_PriceFile, load_yaml(file)).prices
