"""Preference pairs as training reads them: read, split, rendered, certified."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from sartor.base.console import say, say_marked
from sartor.base.errors import DataError
from sartor.data.bad_rows import BadRows
from sartor.data.chat import ChatFormat, Rendered
from sartor.data.formats import read_records
from sartor.data.packing import shared_prefix_tokens
from sartor.data.pairs import Pair, render_pair
from sartor.data.records import Preference
from sartor.data.split import split_dev
from sartor.models.hub import ModelLocation, context_tokens, load_tokenizer
from sartor.recipes.preference_settings import PairConfig
from sartor.train.certificate import CLOSE_MARK, OPEN_MARK, certify


@dataclass(frozen=True)
class PreparedPairs:
    """Everything that training on pairs needs but the model: nothing was written, everything was checked."""

    location: ModelLocation
    chat: ChatFormat
    train: list[Pair]
    dev: list[Pair]
    certificate: dict[str, Any]
    bad_rows: BadRows


def prepare_pairs(
    config: PairConfig, location: ModelLocation, shown: Callable[[Rendered], Rendered] = lambda row: row
) -> PreparedPairs:
    """Read, split and render the pairs, and certify what will be learnt. `shown(row)` marks what is read of a row."""
    bad_rows = BadRows(config.on_bad_row)
    train, dev = _read(config, bad_rows)
    chat = ChatFormat(load_tokenizer(location.folder))
    longest = min(config.max_row_tokens, context_tokens(location.folder))
    rendered, rendered_dev = ([render_pair(each, chat) for each in pairs] for pairs in (train, dev))
    kept, kept_dev = ([pair for pair in pairs if pair.longest <= longest] for pairs in (rendered, rendered_dev))
    if not kept:
        hint = f"rows may have {longest} tokens: raise --max-row-tokens"
        raise DataError("there is nothing to learn: no pair fits", where=config.data, hint=hint)
    if not kept_dev:
        hint = "raise --max-row-tokens, or give --dev"
        raise DataError("no held-out pair fits", where=config.dev or config.data, hint=hint)
    certificate = _certificate(kept, len(rendered) - len(kept), chat, longest, shown)
    if len(kept_dev) < len(rendered_dev):
        say(f"{len(rendered_dev) - len(kept_dev):,} held-out pairs left out: too long")
    return PreparedPairs(location, chat, kept, kept_dev, certificate, bad_rows)


def _read(config: PairConfig, bad_rows: BadRows) -> tuple[list[Preference], list[Preference]]:
    found = read_records(config.data, Preference, config.format, bad_rows)
    say(f"{config.data}: {found.description}")
    if config.dev is not None:
        return found.examples, read_records(config.dev, Preference, config.format, bad_rows).examples
    try:
        train, dev = split_dev(found.examples, asked_of)
    except DataError:
        raise DataError(
            "all pairs answer the same prompt, so none can be held out",
            where=config.data,
            hint="give held-out pairs with --dev",
        ) from None
    say(f"{len(dev)} pairs held out by a hash of their prompt, {len(train)} left to learn from")
    return train, dev


def asked_of(preference: Preference) -> str:
    """What both answers answer: pairs that ask the same stay on one side of a split."""
    return "\n".join(message["content"] for message in preference.prompt)


def _certificate(
    pairs: Sequence[Pair], too_long: int, chat: ChatFormat, longest: int, shown: Callable[[Rendered], Rendered]
) -> dict[str, Any]:
    """certificate.json, told: that of all rows, and what is particular to pairs."""
    rows = [shown(row) for pair in pairs for row in (pair.chosen, pair.rejected)]
    whole = replace(certify(rows, chat, longest), rows_too_long=2 * too_long)
    shared = sum(shared_prefix_tokens((pair.chosen, pair.rejected)) for pair in pairs)
    say(f"{len(pairs):,} pairs; a prompt is computed once for both answers: {shared / whole.row_tokens:.0%} less work")
    for sentence in whole.sentences():
        say(sentence)
    for name, text in zip(("chosen", "rejected"), whole.shown, strict=False):
        say_marked(f"the first pair, {name}", text, OPEN_MARK, CLOSE_MARK)
    return {"pairs": len(pairs), "pairs_too_long": too_long, "shared_prompt_tokens": shared, **asdict(whole)}
