"""Prices carry their date, and old ones are warned about."""

import datetime
from pathlib import Path

from sartor.choosing.choose import ChooseConfig
from sartor.choosing.price_date import old_price, price_as_json, remote_price

PRICES = """
prices:
  - {host: "there:8000", models: [m], input_per_million: 1, output_per_million: 2, as_of: 2026-01-31}
"""


def config(tmp_path: Path, **settings: str) -> ChooseConfig:
    (tmp_path / "prices.yaml").write_text(PRICES)
    values = {"api": "m", "api_base_url": "http://There:8000/v1", "prices": str(tmp_path / "prices.yaml")} | settings
    return ChooseConfig(task="t", out="o", **values)


def test_the_price_is_found_with_its_date(tmp_path: Path) -> None:
    price = remote_price(config(tmp_path))
    assert price is not None and price.as_of == datetime.date(2026, 1, 31)
    shown = price_as_json(price)
    assert shown is not None and shown["as_of"] == "2026-01-31" and shown["output_per_million"] == 2
    assert remote_price(config(tmp_path, api="another")) is None
    assert remote_price(ChooseConfig(task="t", out="o")) is None
    assert price_as_json(None) is None


def test_only_an_old_price_is_warned_about(tmp_path: Path) -> None:
    price = remote_price(config(tmp_path))
    assert old_price(price, datetime.date(2026, 7, 30)) == []
    assert old_price(None, datetime.date(2030, 1, 1)) == []
    (warning,) = old_price(price, datetime.date(2026, 7, 31))
    assert warning["kind"] == "old price" and "2026-01-31, 181 days ago" in warning["what"]
