"""The path that learns from preferences: fine-tuned as the fine-tuned path is, then trained on the task's pairs (DPO,
2305.18290) from where fine-tuning ended, which is also the reference that it is held to."""

import random
from collections.abc import Sequence
from pathlib import Path

from sartor.base.console import say
from sartor.choosing.brief import Brief
from sartor.choosing.fitting.budget import Share
from sartor.choosing.fitting.workshop import Workshop
from sartor.choosing.prompted.prompting import Tried
from sartor.choosing.trained.training import BATCH_ROWS, DEV_CHARACTERS, SHORTEST_MINUTES, run_minutes, train_plainly
from sartor.data.formats import read_records
from sartor.data.records import Conversation, Preference
from sartor.data.split import split_dev
from sartor.data.writers import write_jsonl
from sartor.recipes.dpo import DpoConfig, run
from sartor.recipes.pair_rows import asked_of
from sartor.recipes.stage import TrainingResult
from sartor.retrieval.path import PathConfig

FINETUNE_PART = 2 / 3  # of the path's time (assumed)
EPOCHS = 3  # at most, as Zephyr (2310.16944): the budget and the held-out loss end training earlier
REFERENCE_COST = 1 / 3  # of training on a pair: a forward pass without the backward pass, which is twice its work
PAIRS_FILE, DEV_PAIRS_FILE = "pairs.jsonl", "dev_pairs.jsonl"


def fit_aligned(shop: Workshop, name: str, folder: Path, share: Share) -> tuple[PathConfig, list[Tried]]:
    """Fine-tune into `run`, then learn from the pairs into `dpo`, both in `folder`.

    The pairs have what fine-tuning left of the share. Where it took longer than planned they still have their own part,
    because a handful of pairs would say nothing of what preferences are worth.
    """
    assert shop.pairs is not None
    pairs, seed = shop.pairs.pairs, shop.config.seed
    finetuned, tried = train_plainly(shop, folder, share.part(FINETUNE_PART))
    speed = characters_per_second(shop.brief, finetuned)
    left = max(share.left, (1 - FINETUNE_PART) * share.seconds, 60 * SHORTEST_MINUTES)
    train, dev = kept_pairs(folder, pairs, speed * left, seed)
    say(f"preferences: {len(train):,} of {len(pairs):,} pairs to learn from, {len(dev):,} held out")
    if len(train) + len(dev) < len(pairs):
        say(f"{len(pairs) - len(train) - len(dev):,} pairs left out: the time is too short to see them once")
    result = run(
        DpoConfig(
            data=str(folder / PAIRS_FILE),
            dev=str(folder / DEV_PAIRS_FILE),
            base=str(folder / "run"),
            out=str(folder / "dpo"),
            epochs=EPOCHS,
            max_minutes=run_minutes(folder / "dpo", left),
            seed=seed,
        )
    )
    config = shop.path_config(name, adapter=result.trained.relative_to(folder).as_posix())
    return config, [*tried, _told(result, len(train), len(pairs))]


def characters_per_second(brief: Brief, finetuned: TrainingResult) -> float:
    """How fast the model learnt from the train rows. The instruction, which rows of a batch share, is not counted."""
    characters = [len(row.answers[0]) + _length(row.messages) for row in brief.train]
    rows_seen = finetuned.steps * min(BATCH_ROWS, len(characters))
    return rows_seen * sum(characters) / len(characters) / finetuned.seconds


def kept_pairs(
    folder: Path, pairs: Sequence[Preference], most_characters: float, seed: int
) -> tuple[list[Preference], list[Preference]]:
    """The pairs to learn from and those held out, as the files in `folder` hold them: chosen and written once, since a
    training that goes on needs the same pairs. `most_characters` is what can be trained on in time."""
    files = folder / PAIRS_FILE, folder / DEV_PAIRS_FILE
    if not files[0].is_file():
        train, dev = choose_pairs(pairs, most_characters, seed)
        for file, side in ((files[1], dev), (files[0], train)):
            write_jsonl(file, [{"chosen": p.prompt + p.chosen, "rejected": p.prompt + p.rejected} for p in side])
    train, dev = (read_records(file, Preference).examples for file in files)
    return train, dev


def choose_pairs(
    pairs: Sequence[Preference], most_characters: float, seed: int
) -> tuple[list[Preference], list[Preference]]:
    """Pairs to learn from and pairs to hold out, of which none ask the same. No more are held out than are quick to
    measure, and no more are learnt from, drawn with the seed, than can be seen once: the reference model answers for
    each pair before the first step, so one that is never seen would cost time for nothing."""
    train, dev = split_dev(pairs, asked_of)
    held_out = _within(dev, DEV_CHARACTERS)
    asked = {asked_of(pair) for pair in held_out}
    train += [pair for pair in dev if asked_of(pair) not in asked]
    order = random.Random(seed).sample(train, len(train))
    left = most_characters - REFERENCE_COST * sum(map(num_characters, held_out))
    return _within(order, left / (1 + REFERENCE_COST)), held_out


def num_characters(pair: Preference) -> int:
    """Of the pair as it is computed: the prompt once, both answers."""
    return _length(pair.prompt) + _length(pair.chosen) + _length(pair.rejected)


def _within(pairs: Sequence[Preference], most_characters: float) -> list[Preference]:
    """The first pairs that together have at most so many characters; at least one."""
    taken: list[Preference] = []
    for pair in pairs:
        most_characters -= num_characters(pair)
        if taken and most_characters < 0:
            break
        taken.append(pair)
    return taken


def _length(conversation: Conversation) -> int:
    return sum(len(message["content"]) for message in conversation)


def _told(result: TrainingResult, num_learnt: int, num_given: int) -> Tried:
    """What learning from preferences came to, as a line of the report."""
    return Tried(
        f"{num_learnt:,} of {num_given:,} preference pairs learnt from: held-out loss "
        f"{result.dev_loss_before:.4f} before, {result.dev_loss:.4f} after {result.best_step} steps; "
        f"{result.quality['accuracy']:.0%} of the held-out pairs the right way round",
        None,
        chosen=True,
    )
