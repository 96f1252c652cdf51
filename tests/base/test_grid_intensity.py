"""Grams of carbon dioxide: by country, by number, and by the user's own table before the shipped one."""

import pytest
import yaml

from sartor.base.configuration import load_yaml
from sartor.base.errors import UsageError
from sartor.base.grid_intensity import SHIPPED_TABLE, grid_intensity


@pytest.fixture(autouse=True)
def settings(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "sartor").mkdir()
    return tmp_path / "sartor" / "grid_intensity.yaml"


def test_a_place_has_grams_a_year_and_a_source():
    france, world = grid_intensity("fr"), grid_intensity("world")
    assert france.place == "FR" and france.grams_per_kwh < world.grams_per_kwh
    assert france.grams(2000) == pytest.approx(2 * france.grams_per_kwh)
    assert (world.as_of, "Ember" in world.source) == (2023, True)
    assert str(world) == f"481 g/kWh (world, 2023; {world.source})"


def test_norway_is_no_truth_value():
    assert grid_intensity("NO").grams_per_kwh == 30
    assert all(isinstance(place, str) for place in load_yaml(SHIPPED_TABLE).values["grams_per_kwh"])


def test_a_number_is_taken_as_it_is():
    given = grid_intensity("32.5")
    assert (given.grams_per_kwh, given.as_of, given.place) == (32.5, None, "as given")
    assert given.grams(1000) == 32.5


def test_the_users_own_table_wins_place_by_place(settings):
    shipped = grid_intensity("SE").grams_per_kwh
    settings.write_text(
        yaml.safe_dump({"as_of": 2026, "source": "our contract", "grams_per_kwh": {"DE": 12, "hall": 7}})
    )
    assert (grid_intensity("de").grams_per_kwh, grid_intensity("de").as_of) == (12, 2026)
    assert grid_intensity("hall").source == "our contract"
    assert grid_intensity("SE").grams_per_kwh == shipped


@pytest.mark.parametrize("named", ["atlantis", "-1", "nan", "inf", ""])
def test_what_is_neither_is_refused(named):
    with pytest.raises(UsageError, match="grid|grams"):
        grid_intensity(named)


def test_a_table_that_cannot_be_read_is_named(settings):
    settings.write_text("as_of: 2026\ngrams: {}\n")
    with pytest.raises(UsageError, match="grid_intensity.yaml"):
        grid_intensity("DE")
