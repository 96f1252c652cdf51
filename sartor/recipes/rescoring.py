"""Whether a model that was written says what the live one says: log-probabilities of the same tokens, before and after.

Both are computed in float32 whatever the weights are stored as, so the difference is what storing did and nothing
else.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedModel

from sartor.base.configuration import load_yaml
from sartor.base.console import say
from sartor.base.errors import QualityError, SartorError
from sartor.data.bad_rows import BadRows
from sartor.data.batches import micro_batches
from sartor.data.chat import ChatFormat, Rendered
from sartor.data.formats import read_examples
from sartor.data.records import Conversation, Message
from sartor.data.split import split_dev
from sartor.recipes.examples import asked_before_the_answer
from sartor.train.log_probs import batch_log_probs

MOST_ROWS, MOST_TOKENS = 64, 4096  # some seconds of work for a small model on a CPU
MICRO_BATCH_TOKENS = 1024
# Measured on SmolLM2-135M with a merged adapter, 2,633 tokens of held-out rows, in nats a token: largest and mean
# difference 8e-5 and 4e-6 (f32), 0.012 and 0.0013 (f16), 0.14 and 0.013 (bf16), 0.8 and 0.053 (q8_0,
# whose steps are about 4 times bf16's). Allowed is a few times that; leaving the adapter out made 1.6 on average.
TOLERANCES = {"f32": 1e-3, "f16": 0.1, "bf16": 1.0, "q8_0": 4.0}
MEAN_TOLERANCES = {"f32": 1e-4, "f16": 0.005, "bf16": 0.05, "q8_0": 0.2}
LEAST_KEPT = 0.5  # of what an adapter does, at least


@dataclass(frozen=True)
class Probe:
    """Conversations to compare on, and where they are from."""

    conversations: list[Conversation]
    source: str


@dataclass(frozen=True)
class Scored:
    """What one model says: `rows` as its tokenizer writes them, `log_probs` [N] of all tokens but each row's first,
    its tokens that end an answer, its chat template. `instead` says what the rows are where the probe's do not fit."""

    rows: list[Rendered]
    log_probs: Tensor
    stop_ids: frozenset[int]
    template: str
    instead: str | None = None


@dataclass(frozen=True)
class Rescoring:
    """The comparison. Differences are of a token's log-probability in nats; `adapter_effect` is the mean difference
    that the adapter makes to its base (None without one)."""

    rows: int
    tokens: int
    source: str
    largest_difference: float
    largest_allowed: float
    mean_difference: float
    mean_allowed: float
    adapter_effect: float | None

    def sentence(self) -> str:
        effect = "" if self.adapter_effect is None else f"; the adapter's own effect is {self.adapter_effect:.2g}"
        return (
            f"read back and scored again on {self.rows} rows, {self.tokens:,} tokens ({self.source}): a token's "
            f"log-probability differs by at most {self.largest_difference:.2g} (allowed: {self.largest_allowed:g}), "
            f"{self.mean_difference:.2g} on average (allowed: {self.mean_allowed:.2g}){effect}"
        )


def probe_rows(run: Path) -> Probe:
    """The held-out rows of the fine-tuning run in the folder `run`; built-in conversations where there are none."""
    if not (run / "config.yaml").is_file():
        return BUILT_IN
    try:
        settings = load_yaml(run / "config.yaml").values
        if "data" not in settings:
            return BUILT_IN
        data = str(settings.get("dev") or settings["data"])
        examples = read_examples(data, settings.get("format"), BadRows("skip")).examples
        if not settings.get("dev"):
            _, examples = split_dev(examples, asked_before_the_answer)
    except SartorError as error:
        say(f"the run's rows cannot be read ({error.what}); built-in conversations are compared instead")
        return BUILT_IN
    return Probe([example.messages for example in examples[:MOST_ROWS]], f"held-out rows of {Path(data).name}")


def score(model: PreTrainedModel, chat: ChatFormat, probe: Probe, context_tokens: int) -> Scored:
    """What `model` says of the probe's rows that fit its context, up to MOST_TOKENS; where none does, of the built-in
    conversations. QualityError when none of those does either."""
    rows, instead = _rows_that_fit(chat, probe, context_tokens), None
    if not rows:
        rows = _rows_that_fit(chat, BUILT_IN, context_tokens)
        instead = f"{BUILT_IN.source}, as all {probe.source} are too long"
    if not rows:
        raise QualityError("no row is short enough to compare on", hint="the model reads too few tokens to be checked")
    return Scored(rows, all_log_probs(model, rows), frozenset(chat.stop_ids), chat.template, instead)


def _rows_that_fit(chat: ChatFormat, probe: Probe, context_tokens: int) -> list[Rendered]:
    """Every token of them is scored."""
    rows: list[Rendered] = []
    for conversation in probe.conversations:
        for row in chat.render(conversation):
            if len(row.ids) <= context_tokens and sum(len(each.ids) for each in rows) + len(row.ids) <= MOST_TOKENS:
                rows.append(Rendered(row.ids, [True] * len(row.ids)))
    return rows


@torch.inference_mode()
def all_log_probs(model: PreTrainedModel, rows: Sequence[Rendered]) -> Tensor:
    """log p of every token after each row's first, float32 [N] on the CPU; their order depends on the rows only."""
    device = next(model.parameters()).device
    batches = micro_batches(rows, MICRO_BATCH_TOKENS)
    return torch.cat([batch_log_probs(model, batch.to(device)).float().cpu() for batch in batches])


def compare(live: Scored, written: Scored, probe: Probe, storage: str, base: Tensor | None) -> Rescoring:
    """QualityError unless `written` says the same as `live`, as far as `storage` can hold it. `base` are the
    log-probabilities without the adapter, of which enough must be left."""
    if [row.ids for row in live.rows] != [row.ids for row in written.rows]:
        raise _different("its tokenizer or chat template writes a row with other tokens")
    if live.stop_ids != written.stop_ids or live.template != written.template:
        raise _different("its chat template or the tokens that end an answer are others")
    difference = (live.log_probs - written.log_probs).abs()
    effect = None if base is None else float((live.log_probs - base).abs().mean())
    allowed = MEAN_TOLERANCES[storage]
    if effect is not None:
        allowed = max(MEAN_TOLERANCES["f32"], min(allowed, (1 - LEAST_KEPT) * effect))
    result = Rescoring(
        rows=len(live.rows),
        tokens=len(difference),
        source=live.instead or probe.source,
        largest_difference=float(difference.max()),
        largest_allowed=TOLERANCES[storage],
        mean_difference=float(difference.mean()),
        mean_allowed=allowed,
        adapter_effect=effect,
    )
    if not (result.largest_difference <= result.largest_allowed and result.mean_difference <= allowed):
        hint = "please report it" if storage == "f32" else "--dtype f32 keeps the weights as they are"
        raise _different(result.sentence(), hint)
    return result


def _different(what: str, hint: str = "please report it") -> QualityError:
    return QualityError(f"the written model is not the live one: {what}", hint=f"nothing was published; {hint}")


def _chat(*turns: str) -> Conversation:
    return [Message(role=("user", "assistant")[place % 2], content=turn) for place, turn in enumerate(turns)]


BUILT_IN = Probe(
    [
        _chat("What is the capital of Norway?", "The capital of Norway is Oslo."),
        _chat("Add 17 and 25, then double it.", "17 + 25 = 42, and twice 42 is 84.", "Halve it.", "84 / 2 = 42."),
        _chat(
            "Write a function that reverses a list.",
            "```python\ndef reverse(items):\n    return items[::-1]\n```\n\nIt copies; the list itself stays.",
        ),
        _chat("Übersetze: „Der Käse schmeckt gut.“", "“The cheese tastes good.” (日本語: チーズはおいしいです。)"),
        [
            Message(role="system", content="You answer questions of customers, briefly and politely."),
            *_chat(
                "My parcel 00481-2026 has not arrived!!  What now?",
                "I am sorry to hear that. Parcel 00481-2026 left on 3 March; please allow two more days.",
            ),
        ],
        _chat(
            "Tell me about the moon.",
            "The Moon is the only natural satellite of the Earth. It moves around it in about 27.3 days, at a mean "
            "distance of 384,400 km, and always shows it the same side. Its gravity causes most of the tides.",
        ),
    ],
    "built-in conversations",
)
