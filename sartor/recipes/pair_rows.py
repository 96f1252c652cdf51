"""Preference pairs, and answers rated one by one, as training reads them: read, split, rendered, certified."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Generic, Protocol, TypeVar

from sartor.base.console import say, say_marked
from sartor.base.errors import DataError
from sartor.data.bad_rows import BadRows
from sartor.data.chat import ChatFormat, Rendered
from sartor.data.formats import read_records
from sartor.data.packing import shared_prefix_tokens
from sartor.data.pairs import Pair, render_pair
from sartor.data.rated import Rated, render_rated
from sartor.data.records import Judged, Preference
from sartor.data.split import split_dev
from sartor.models.hub import ModelLocation, context_tokens, load_tokenizer
from sartor.recipes.preference_settings import PairConfig
from sartor.train.certificate import CLOSE_MARK, OPEN_MARK, certify


class Measured(Protocol):
    @property
    def num_tokens(self) -> int: ...
    @property
    def longest(self) -> int:
        """Tokens of the longest row."""
        ...


Item = TypeVar("Item", bound=Measured)
RecordType = TypeVar("RecordType", Preference, Judged)


@dataclass(frozen=True)
class PreparedRows(Generic[Item]):
    """Everything that training on preferences needs but the model: nothing was written, everything was checked."""

    location: ModelLocation
    chat: ChatFormat
    train: list[Item]
    dev: list[Item]
    certificate: dict[str, Any]
    bad_rows: BadRows


PreparedPairs = PreparedRows[Pair]
PreparedRated = PreparedRows[Rated]


def prepare_pairs(
    config: PairConfig, location: ModelLocation, shown: Callable[[Rendered], Rendered] = lambda row: row
) -> PreparedPairs:
    """Read, split and render the pairs, and certify what will be learnt. `shown(row)` marks what is read of a row."""
    bad_rows, chat = BadRows(config.on_bad_row), ChatFormat(load_tokenizer(location.folder))
    train, dev = (
        [render_pair(each, chat) for each in side] for side in _read(config, Preference, "pairs", bad_rows)
    )
    longest = min(config.max_row_tokens, context_tokens(location.folder))
    kept, kept_dev = _that_fit(train, dev, longest, "pair", config)
    shared = sum(shared_prefix_tokens((pair.chosen, pair.rejected)) for pair in kept)
    rows = [shown(row) for pair in kept for row in (pair.chosen, pair.rejected)]
    tokens = sum(row.num_tokens for row in rows)
    say(f"{len(kept):,} pairs; a prompt is computed once for both answers: {shared / tokens:.0%} less work")
    told = {"pairs": len(kept), "pairs_too_long": len(train) - len(kept), "shared_prompt_tokens": shared}
    certificate = told | _certificate(rows, 2 * (len(train) - len(kept)), chat, longest, ("chosen", "rejected"))
    return PreparedRows(location, chat, kept, kept_dev, certificate, bad_rows)


def prepare_rated(config: PairConfig, location: ModelLocation) -> PreparedRated:
    """The same for answers that were rated one by one. DataError where all are rated alike: then nothing is learnt."""
    bad_rows, chat = BadRows(config.on_bad_row), ChatFormat(load_tokenizer(location.folder))
    longest = min(config.max_row_tokens, context_tokens(location.folder))
    train, dev = (render_rated(side, chat, longest) for side in _read(config, Judged, "rated answers", bad_rows))
    kept, kept_dev = _that_fit(train, dev, longest, "rated answer", config)
    desirable = sum(each.desirable for each in kept)
    if desirable in (0, len(kept)):
        kind = "desirable" if desirable else "undesirable"
        raise DataError(f"all answers are {kind}", where=config.data, hint="add answers of the other kind")
    say(f"{len(kept):,} rated answers, {desirable:,} of them desirable")
    told = {"rated_answers": len(kept), "desirable": desirable, "rated_answers_too_long": len(train) - len(kept)}
    rows = [each.row for each in kept]
    certificate = told | _certificate(rows, len(train) - len(kept), chat, longest, ("",))
    return PreparedRows(location, chat, kept, kept_dev, certificate, bad_rows)


def _read(
    config: PairConfig, kind: type[RecordType], noun: str, bad_rows: BadRows
) -> tuple[list[RecordType], list[RecordType]]:
    found = read_records(config.data, kind, config.format, bad_rows)
    say(f"{config.data}: {found.description}")
    if config.dev is not None:
        return found.examples, read_records(config.dev, kind, config.format, bad_rows).examples
    try:
        train, dev = split_dev(found.examples, asked_of)
    except DataError:
        raise DataError(
            f"all {noun} answer the same prompt, so none can be held out",
            where=config.data,
            hint=f"give held-out {noun} with --dev",
        ) from None
    say(f"{len(dev)} {noun} held out by a hash of their prompt, {len(train)} left to learn from")
    return train, dev


def asked_of(record: Preference | Judged) -> str:
    """What is answered: rows that ask the same stay on one side of a split."""
    return "\n".join(message["content"] for message in record.prompt)


def _that_fit(
    train: Sequence[Item], dev: Sequence[Item], longest: int, noun: str, config: PairConfig
) -> tuple[list[Item], list[Item]]:
    kept, kept_dev = ([each for each in side if each.longest <= longest] for side in (train, dev))
    if not kept:
        hint = f"rows may have {longest} tokens: raise --max-row-tokens"
        raise DataError(f"there is nothing to learn: no {noun} fits", where=config.data, hint=hint)
    if not kept_dev:
        hint = "raise --max-row-tokens, or give --dev"
        raise DataError(f"no held-out {noun} fits", where=config.dev or config.data, hint=hint)
    if len(kept_dev) < len(dev):
        say(f"{len(dev) - len(kept_dev):,} held-out {noun}s left out: too long")
    return kept, kept_dev


def _certificate(
    rows: Sequence[Rendered], too_long: int, chat: ChatFormat, longest: int, names: Sequence[str]
) -> dict[str, Any]:
    """certificate.json, told; `names` of the first rows."""
    whole = replace(certify(rows, chat, longest), rows_too_long=too_long)
    for sentence in whole.sentences():
        say(sentence)
    for name, text in zip(names, whole.shown, strict=False):
        say_marked(f"the first row, {name}" if name else "the first row", text, OPEN_MARK, CLOSE_MARK)
    return asdict(whole)
