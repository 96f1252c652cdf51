"""The published sets of filters by name, each as one step (docs/filters.md has the table with sources)."""

from collections.abc import Mapping
from typing import Any, get_args

from sartor.base.configuration import Config, Layer, build, nearest
from sartor.base.errors import UsageError
from sartor.data.filters.c4 import C4Quality
from sartor.data.filters.fineweb import FineWebQuality
from sartor.data.filters.gopher_quality import GopherQuality
from sartor.data.filters.gopher_repetition import GopherRepetition
from sartor.data.filters.preset_names import PresetName
from sartor.data.filters.refinedweb_lines import RefinedWebLines
from sartor.data.filters.text_filter import FilterStep

Filter = GopherRepetition | GopherQuality | C4Quality | FineWebQuality | RefinedWebLines
Changes = Mapping[str, Mapping[str, Any]]

FILTERS: dict[PresetName, tuple[Filter, ...]] = {
    "gopher": (GopherRepetition(), GopherQuality()),
    "c4": (C4Quality(),),
    "refinedweb": (GopherRepetition(), GopherQuality(), RefinedWebLines()),
    # FineWeb found that C4's rule of terminal marks drops the most and helps the least, and left it out.
    "fineweb-2024": (GopherRepetition(), GopherQuality(), C4Quality(terminal_marks=None), FineWebQuality()),
}


def preset(name: PresetName, changes: Changes | None = None) -> FilterStep:
    """The step of a preset. `changes` sets thresholds: {"gopher_quality": {"min_words": 30}}.

    UsageError for a name, filter or threshold that there is not, or a value that it cannot have.
    """
    if name not in FILTERS:
        raise UsageError(f"there is no preset '{name}'", hint=f"known presets: {', '.join(get_args(PresetName))}")
    filters = {each.name: each for each in FILTERS[name]}
    for filter_name, values in (changes or {}).items():
        if filter_name not in filters:
            near = nearest(filter_name, filters)
            hint = f"did you mean '{near}'?" if near else f"its filters: {', '.join(filters)}"
            raise UsageError(f"preset '{name}' has no filter '{filter_name}'", hint=hint)
        filters[filter_name] = _changed(filters[filter_name], values)
    return FilterStep(name, tuple(filters.values()))


def _changed(before: Filter, values: Mapping[str, Any]) -> Filter:
    kind: type[Config] = type(before)
    changed = build(kind, Layer({**before.model_dump(), **values}))
    assert isinstance(changed, Filter)
    return changed
