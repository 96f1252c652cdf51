import datetime
from pathlib import Path

import pytest

from sartor.base.errors import UsageError
from sartor.generation.prices import SHIPPED_PRICES, load_prices


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "sartor").mkdir()
    return tmp_path / "sartor" / "prices.yaml"


def entry(host: str, model: str, price: float) -> str:
    prices = f"input_per_million: {price}, output_per_million: {price}"
    return f"  - {{host: '{host}', models: ['{model}'], {prices}, as_of: 2026-01-31}}\n"


def test_shipped_prices_are_dated_sourced_and_named_once() -> None:
    table = load_prices()
    names = [(price.host, model) for price in table.prices for model in price.models]
    assert len(names) == len(set(names))
    for price in table.prices:
        assert price.source.startswith("https://") and price.as_of > datetime.date(2025, 1, 1)
        assert price.output_per_million >= price.input_per_million > 0
    assert SHIPPED_PRICES.read_text().startswith("#") and "Edit me" in SHIPPED_PRICES.read_text()


def test_a_cost_by_hand() -> None:
    price = load_prices().find("api.openai.com", "gpt-4o-mini")
    assert price is not None
    assert price.cost(1_000_000, 0) == 0.15 and price.cost(2_000, 1_000) == pytest.approx(0.0003 + 0.0006)


def test_the_given_file_wins_over_the_users_own_which_wins_over_the_shipped(home: Path, tmp_path: Path) -> None:
    home.write_text("prices:\n" + entry("api.openai.com", "gpt-4o-mini", 7) + entry("other.example", "a", 7))
    assert load_prices().find("api.openai.com", "gpt-4o-mini").input_per_million == 7  # type: ignore[union-attr]
    given = tmp_path / "given.yaml"
    given.write_text("prices:\n" + entry("api.openai.com", "gpt-4o-mini", 9))
    table = load_prices(given)
    assert table.find("api.openai.com", "gpt-4o-mini").input_per_million == 9  # type: ignore[union-attr]
    assert table.find("other.example", "a").input_per_million == 7  # type: ignore[union-attr]
    assert table.find("api.openai.com", "gpt-4o").input_per_million == 2.5  # type: ignore[union-attr]


def test_a_named_model_comes_before_any_model_of_the_host(home: Path) -> None:
    home.write_text("prices:\n" + entry("localhost:8000", "*", 0) + entry("localhost:8000", "big", 3))
    table = load_prices()
    assert table.find("localhost:8000", "small").cost(10**6, 10**6) == 0  # type: ignore[union-attr]
    assert table.find("localhost:8000", "big").input_per_million == 3  # type: ignore[union-attr]
    assert table.find("localhost:9000", "small") is None and table.find("localhost", "small") is None


def test_unknown_is_none_even_for_a_known_model_elsewhere() -> None:
    assert load_prices().find("proxy.example", "gpt-4o-mini") is None
    assert load_prices().find("api.openai.com", "gpt-of-the-future") is None


@pytest.mark.parametrize("change", ["input_per_million: -1", "input_per_million: .nan", "as_of: soon", "modles: [x]"])
def test_bad_entries_name_their_place(home: Path, change: str) -> None:
    lines = {
        "host": "h",
        "models": "[m]",
        "input_per_million": "1",
        "output_per_million": "1",
        "as_of": "2026-01-31",
    }
    key, value = change.split(": ")
    lines[key] = value
    home.write_text("prices:\n  - " + "\n    ".join(f"{key}: {value}" for key, value in lines.items()) + "\n")
    with pytest.raises(UsageError) as caught:
        load_prices()
    assert str(home) in str(caught.value) and key in str(caught.value)
