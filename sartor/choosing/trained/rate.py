"""The learning rate of a fine-tuned path: searched for where its share of the time allows, else the default."""

import json
from dataclasses import asdict
from pathlib import Path

from sartor.base.console import say
from sartor.base.durable import replace_json
from sartor.choosing.fitting.budget import Share
from sartor.choosing.prompted.prompting import Tried
from sartor.recipes.examples import prepare
from sartor.recipes.finetune import FinetuneConfig
from sartor.recipes.rate_trials import RateSearch, search_rate
from sartor.recipes.training import trainable_model

SEARCH_SHARE = 0.15  # of what is left of a path's time, at most
LEAST_SEARCH_SECONDS = 30.0  # loading the model and timing its steps takes a good part of less (assumed)
RATE_FILE = "learning_rate.json"  # of a path: what the search came to, so that a resumed training keeps its rate


def learning_rate(config: FinetuneConfig, folder: Path, share: Share) -> tuple[float | None, list[Tried]]:
    """The rate to train with (None: the default) and what was tried on dev rows for it; decided once for a path."""
    file = folder / RATE_FILE
    if file.is_file():
        kept = json.loads(file.read_text())
        return kept["learning_rate"], [Tried(**each) for each in kept["tried"]]
    found = _search(config, SEARCH_SHARE * share.left)
    rate = None if found is None else found.learning_rate
    tried = [] if found is None else tried_rates(found)
    say(
        f"learning rate: {config.peak_learning_rate:.2g}, the default" if rate is None else f"learning rate: {rate:.2g}"
    )
    replace_json(file, {"learning_rate": rate, "tried": [asdict(each) for each in tried]})
    return rate, tried


def tried_rates(search: RateSearch) -> list[Tried]:
    """A line for each rate with its held-out loss, and one for the rate that was taken."""
    lines = [
        Tried(
            f"learning rate {each.rate:.2g}: "
            + (f"held-out loss {each.losses[each.steps]:.4f} after {each.steps} steps, " if each.losses else "")
            + each.state,
            None,
        )
        for each in search.found.tried
    ]
    low, high = search.found.plateau
    taken = f"learning rate {search.learning_rate:.2g}, as rates from {low:.2g} to {high:.2g} did equally well"
    return [*lines, Tried(taken, None, chosen=True)]


def _search(config: FinetuneConfig, seconds: float) -> RateSearch | None:
    if seconds < LEAST_SEARCH_SECONDS:
        say(
            f"no search for a learning rate: {SEARCH_SHARE:.0%} of the time is under {LEAST_SEARCH_SECONDS:.0f} seconds"
        )
        return None
    prepared = prepare(config)
    return search_rate(config, prepared, trainable_model(config, prepared.base), seconds)
