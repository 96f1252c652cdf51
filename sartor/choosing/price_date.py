"""How old the price of the remote model is that costs were computed with."""

import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sartor.choosing.choose import ChooseConfig
from sartor.generation.prices import Price, load_prices, user_prices_file

MOST_DAYS = 180  # assumed: services change their list prices about once or twice a year


def remote_price(config: ChooseConfig) -> Price | None:
    """The entry of the price table for the remote model; None where there is no model or no price."""
    if config.api is None or config.api_base_url is None:
        return None
    table = load_prices(Path(config.prices) if config.prices else None)
    return table.find(urlsplit(config.api_base_url).netloc.rpartition("@")[2], config.api)


def price_as_json(price: Price | None) -> dict[str, Any] | None:
    return None if price is None else price.model_dump(mode="json")


def old_price(price: Price | None, today: datetime.date) -> list[dict[str, Any]]:
    """A warning, as choice.json wants it, about a price that was last known to hold long ago."""
    if price is None or (today - price.as_of).days <= MOST_DAYS:
        return []
    what = (
        f"the price of {price.models[0]} at {price.host} was last known to hold on {price.as_of}, "
        f"{(today - price.as_of).days:,} days ago"
    )
    hint = f"look it up and put it, with its date, into {user_prices_file()} or a file given with --prices"
    return [{"kind": "old price", "path": None, "what": what, "hint": hint, "rows": []}]
