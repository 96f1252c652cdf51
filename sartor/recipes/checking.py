"""The comparisons of `sartor check`, in float32, where rounding is small enough to leave nothing to hide in."""

import gc
import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import PreTrainedModel

from sartor.adapters.lora import adapters_off, lora_layers
from sartor.adapters.merge import merge_lora
from sartor.adapters.store import WEIGHTS_FILE, load_adapter, load_adapter_tensors
from sartor.base.console import say
from sartor.base.device import device
from sartor.base.durable import write_synced
from sartor.base.errors import DataError
from sartor.data.chat import ChatFormat, Rendered
from sartor.data.packing import shared_prefix_tokens
from sartor.data.records import Conversation, Example
from sartor.models.forward import load_packed
from sartor.models.hub import context_tokens, load_tokenizer, resolve
from sartor.recipes.check import CheckConfig, CheckReport, Finding
from sartor.recipes.examples import read_conversations, supervised_loss
from sartor.recipes.serving_checks import generation_finding, id_findings
from sartor.recipes.training import trainable_model, trained_files
from sartor.train.invariance import (
    Gradients,
    gradient_difference,
    gradients,
    largest_difference,
    log_probs,
    one_by_one,
    reference_gradients,
    reference_log_probs,
    root_mean_square,
    split_rows,
)

ROUNDING_FACTOR = 10.0  # another order of sums may round so much worse than transformers' own two orders differ
LEAST_TOLERANCE, MOST_TOLERANCE = 1e-4, 1e-2  # nats a token; share of a gradient
RELOADED_TOLERANCE = 1e-6
BFLOAT16_FACTOR = 1.5
UNTRAINED_STD = 0.02  # of the adapter's B, which is zero before training, so that there is something to compare
FEWEST_ROWS = 2


@dataclass(frozen=True)
class Chosen:
    """Rows to compare, by length, each with the conversation it renders, which ends with the answer to learn."""

    conversations: tuple[Conversation, ...]
    rows: tuple[Rendered, ...]

    @property
    def tokens(self) -> int:
        return sum(len(row.ids) for row in self.rows)


@dataclass(frozen=True)
class Tolerance:
    """What a difference may be, and the reason."""

    value: float
    why: str

    @staticmethod
    def from_rounding(rounding: float) -> "Tolerance":
        """By what transformers' own padded and single rows differ, which is rounding and nothing else."""
        value = min(max(ROUNDING_FACTOR * rounding, LEAST_TOLERANCE), MOST_TOLERANCE)
        return Tolerance(value, f"transformers' own padded and single rows differ by {rounding:.1e}")


def check(config: CheckConfig, trained: Path | None) -> CheckReport:
    """All comparisons, one after the other; two models at a time are in memory."""
    config = config.model_copy(update={"lora_dropout": 0.0})
    base = resolve(config.base)
    chat = ChatFormat(load_tokenizer(base))
    chosen = choose(config, chat, min(config.max_row_tokens, context_tokens(base)))
    if trained is not None and config.adapter == "none":
        base = trained
    model = trainable_model(config, base, torch.float32).eval()
    subject = _subject(config, model, trained)
    findings = id_findings(chosen.conversations, chosen.rows, chat)
    say("comparing gradients")
    findings += gradient_findings(model, chosen.rows)
    say("comparing log-probabilities")
    findings += log_prob_findings(config, model, chosen.rows, base)
    tolerance = _log_prob_tolerance(model, chosen.rows)
    findings.append(generation_finding(model, chat, chosen.conversations, tolerance.value, tolerance.why))
    return CheckReport(tuple(findings), tuple(row.where for row in chosen.rows), chosen.tokens, subject)


def choose(config: CheckConfig, chat: ChatFormat, max_row_tokens: int) -> Chosen:
    """Rows of about `check_tokens` tokens together: the shortest, the longest that leaves room, and between them.

    DataError when not even two rows are short enough."""
    examples, _, _ = read_conversations(config)
    longest = min(max_row_tokens, config.check_tokens // 2)
    pairs = [pair for example in examples for pair in _rendered(example, chat)]
    pairs = [pair for pair in pairs if pair[0].num_trained and len(pair[0].ids) <= longest]
    pairs.sort(key=lambda pair: len(pair[0].ids))
    if len(pairs) < FEWEST_ROWS:
        raise DataError(
            f"fewer than {FEWEST_ROWS} rows have at most {longest} tokens",
            where=config.data,
            hint="raise --check-tokens",
        )
    ends = [len(pairs) - 1, 0]
    between = [round(place * (len(pairs) - 1) / 8) for place in (4, 2, 6, 1, 7, 3, 5)]
    picked: list[int] = []
    for place in dict.fromkeys(ends + between):
        tokens = sum(len(pairs[each][0].ids) for each in [*picked, place])
        if tokens <= config.check_tokens or len(picked) < FEWEST_ROWS:
            picked.append(place)
    found = [pairs[place] for place in sorted(picked)]
    return Chosen(tuple(conversation for _, conversation in found), tuple(row for row, _ in found))


def _rendered(example: Example, chat: ChatFormat) -> list[tuple[Rendered, Conversation]]:
    """The example's training rows, each with the part of the conversation up to the last answer it learns."""
    rows = chat.render(example.messages, example.where)
    answers = [place for place, message in enumerate(example.messages) if message["role"] == "assistant"]
    ends = answers if len(rows) == len(answers) else answers[-1:]
    return [(row, example.messages[: end + 1]) for row, end in zip(rows, ends, strict=True)]


def _subject(config: CheckConfig, model: PreTrainedModel, trained: Path | None) -> str:
    """What is compared, in words; an untrained adapter gets something to compare, a trained one its weights."""
    layers = lora_layers(model)
    if trained is not None and layers:
        load_adapter_tensors(layers, load_file(trained / WEIGHTS_FILE), str(trained))
    if trained is not None:
        return f"what {trained.parent} has learnt"
    if not layers:
        return f"{config.base}, every weight trained"
    for layer in layers.values():
        nn.init.normal_(layer.lora_B, std=UNTRAINED_STD)
    return f"an adapter on {config.base}, not trained yet: its B, which begins as zero, was filled with small numbers"


# --- gradients ----------------------------------------------------------------------------------------------------


def gradient_findings(model: PreTrainedModel, rows: Sequence[Rendered]) -> list[Finding]:
    expected = reference_gradients(model, rows, padded=True)
    alone = reference_gradients(model, rows, padded=False)
    tolerance = Tolerance.from_rounding(gradient_difference(alone, expected))
    del alone
    packed = gradients(model, split_rows(rows), supervised_loss)
    total = sum(len(row.ids) for row in rows)

    def compared(name: str, found: Gradients, with_: Gradients) -> Finding:
        return Finding(name, gradient_difference(found, with_), tolerance.value, tolerance.why)

    findings = [
        compared("gradient: Sartor = transformers (padded, eager attention, cross-entropy)", packed, expected),
        compared(
            "gradient: several micro-batches = one",
            gradients(model, split_rows(rows, max_tokens=max(total // 3, 1)), supervised_loss),
            packed,
        ),
        compared("gradient: row by row = packed", gradients(model, one_by_one(rows), supervised_loss), packed),
    ]
    name = "gradient: shared beginning computed once = for every row"
    shared = shared_prefix_tokens(rows)
    if not shared:
        return [*findings, Finding(name, None, 0.0, "these rows have no beginning in common")]
    apart = gradients(model, split_rows(rows, share_prefix=False), supervised_loss)
    found = compared(name, packed, apart)
    return [*findings, Finding(name, found.difference, found.tolerance, f"{shared} tokens shared; {found.why}")]


# --- log-probabilities --------------------------------------------------------------------------------------------


def _log_prob_tolerance(model: PreTrainedModel, rows: Sequence[Rendered]) -> Tolerance:
    padded, alone = (reference_log_probs(model, rows, padded) for padded in (True, False))
    return Tolerance.from_rounding(largest_difference(alone, padded))


def log_prob_findings(
    config: CheckConfig, model: PreTrainedModel, rows: Sequence[Rendered], base: Path
) -> list[Finding]:
    tolerance = _log_prob_tolerance(model, rows)
    expected = reference_log_probs(model, rows, padded=True)
    packed = log_probs(model, split_rows(rows))

    def compared(name: str, found: Tensor, with_: Tensor) -> Finding:
        return Finding(name, largest_difference(found, with_), tolerance.value, tolerance.why)

    findings = [
        compared("log-probabilities: Sartor = transformers", packed, expected),
        compared("log-probabilities: packed = row by row", packed, log_probs(model, one_by_one(rows))),
    ]
    with tempfile.TemporaryDirectory(prefix="sartor-check-") as name:
        folder = Path(name) / "saved"
        folder.mkdir()
        kind, files = trained_files(config, model, base, str(base))
        for file, content in files.items():
            write_synced(folder / file, content)
        saved = (kind, folder)
        live = reloaded_model(saved, base, torch.float32)
        back = log_probs(live, split_rows(rows))
        findings.append(
            Finding(
                "saved and reloaded = live",
                largest_difference(back, packed),
                RELOADED_TOLERANCE,
                "the same numbers come back",
            )
        )
        findings += merge_findings(model, live, rows, packed, tolerance)
        del live
        gc.collect()
        findings.append(bfloat16_finding(saved, base, rows, expected))
    return findings


def reloaded_model(saved: tuple[str, Path], base: Path, dtype: torch.dtype) -> PreTrainedModel:
    """What was saved, loaded as anybody would load it."""
    kind, folder = saved
    model = load_packed(base if kind == "adapter" else folder, dtype)
    if kind == "adapter":
        load_adapter(model, folder)
    return model.to(device()).eval()


def merge_findings(
    model: PreTrainedModel, spare: PreTrainedModel, rows: Sequence[Rendered], adapted: Tensor, tolerance: Tolerance
) -> list[Finding]:
    """The adapter against the plain model it makes of `spare`, and whether it makes a difference at all."""
    if not lora_layers(model):
        return [Finding("merged = adapter", None, 0.0, "there is no adapter: every weight is trained")]
    with adapters_off(model):
        effect = largest_difference(log_probs(model, split_rows(rows)), adapted)
    merge_lora(spare)
    found = largest_difference(log_probs(spare, split_rows(rows)), adapted)
    if effect <= tolerance.value:
        why = f"the adapter changes log-probabilities by {effect:.1e} only, so this proves nothing"
        return [Finding("merged = adapter", math.inf, tolerance.value, why)]
    why = f"the adapter changes log-probabilities by {effect:.1e}; {tolerance.why}"
    return [Finding("merged = adapter", found, tolerance.value, why)]


def bfloat16_finding(saved: tuple[str, Path], base: Path, rows: Sequence[Rendered], expected: Tensor) -> Finding:
    """The error of bfloat16 (root mean square, against float32) beside that of transformers in bfloat16."""
    model = reloaded_model(saved, base, torch.bfloat16)
    theirs = root_mean_square(reference_log_probs(model, rows, padded=True) - expected)
    ours = root_mean_square(log_probs(model, split_rows(rows)) - expected)
    return Finding(
        "bfloat16: error to float32, root mean square",
        ours,
        max(BFLOAT16_FACTOR * theirs, LEAST_TOLERANCE),
        f"transformers in bfloat16 is {theirs:.1e} off",
    )
