"""The fine-tuned paths: the task's rows written as the recipe reads them, then the recipe that users call."""

import random
from collections.abc import Sequence
from pathlib import Path

from sartor.base.configuration import load_yaml
from sartor.choosing.brief import Brief
from sartor.choosing.budget import Share
from sartor.choosing.prompting import Tried
from sartor.choosing.rate import learning_rate
from sartor.choosing.retrieving import Library
from sartor.data.records import Conversation, Message, Row
from sartor.data.writers import write_jsonl
from sartor.generation.prompted import prompted
from sartor.generation.protocol import Passage
from sartor.recipes.finetune import FinetuneConfig, run
from sartor.recipes.stage import TrainingResult
from sartor.retrieval.grounded import grounded_conversation

SHARE_WITHOUT_GOLD = 0.1  # of the rows whose evidence is known: what to say when retrieval has missed (2403.10131)
CANDIDATES = 20
DEV_ROWS, DEV_CHARACTERS = 64, 40_000  # held-out rows for the loss: enough to stop by, few enough to be quick
SHORTEST_MINUTES = 0.25
BATCH_ROWS = 16
EPOCHS = 5  # at most: the budget and the held-out loss end training earlier


def fit_finetune(brief: Brief, folder: Path, base: str, share: Share, seed: int) -> tuple[TrainingResult, list[Tried]]:
    """Train on question and answer, as the prompt path asks without examples."""
    train = [_learnt(row, row.messages, brief) for row in brief.train]
    dev = [_learnt(row, row.messages, brief) for row in brief.dev[:DEV_ROWS]]
    return _train(train, dev, folder, base, share, seed, BATCH_ROWS)


def fit_finetune_with_retrieval(
    brief: Brief, folder: Path, base: str, library: Library, number: int, share: Share, seed: int
) -> tuple[TrainingResult, list[Tried]]:
    """Train on question, retrieved passages and answer (RAFT, 2403.10131): the passage that holds the answer is among
    distractors, except in a share of the rows, where it is taken out. `number` passages a row; rows with passages are
    long, so a step has fewer of them."""
    rows = [*brief.train, *brief.dev[:DEV_ROWS]]
    found = library.retriever.retrieve([row.question for row in rows], CANDIDATES)
    chance = random.Random(seed)
    passages = [training_passages(row, each, number, chance) for row, each in zip(brief.train, found, strict=False)]
    train = [
        _learnt(row, grounded_conversation(row.messages, len(row.messages) - 1, each), brief)
        for row, each in zip(brief.train, passages, strict=True)
    ]
    dev = [
        _learnt(row, grounded_conversation(row.messages, len(row.messages) - 1, each[:number]), brief)
        for row, each in zip(rows[len(brief.train) :], found[len(brief.train) :], strict=True)
    ]
    return _train(train, dev, folder, base, share, seed, batch_rows=8)


def training_passages(row: Row, found: Sequence[Passage], number: int, chance: random.Random) -> list[Passage]:
    """`number` passages to learn from. Where the row's evidence is known it is there, or, by chance, it is not."""
    gold = [passage for passage in found if passage.document_id in row.evidence]
    others = [passage for passage in found if passage.document_id not in row.evidence]
    if not gold:
        return list(found[:number])
    if chance.random() < SHARE_WITHOUT_GOLD:
        return others[:number]
    chosen = list(found[:number])
    if not any(passage in gold for passage in chosen):
        chosen[chance.randrange(len(chosen))] = gold[0]
    return chosen


def _learnt(row: Row, messages: Conversation, brief: Brief) -> dict[str, Conversation]:
    answer = Message(role="assistant", content=row.answers[0])
    return {"messages": [*prompted(messages, brief.task.instruction or None), answer]}


def _train(
    train: Sequence[dict[str, Conversation]],
    dev: Sequence[dict[str, Conversation]],
    folder: Path,
    base: str,
    share: Share,
    seed: int,
    batch_rows: int,
) -> tuple[TrainingResult, list[Tried]]:
    folder.mkdir(parents=True, exist_ok=True)
    write_jsonl(folder / "train.jsonl", train)
    write_jsonl(folder / "dev.jsonl", within(dev, DEV_CHARACTERS))
    config = FinetuneConfig(
        data=str(folder / "train.jsonl"),
        dev=str(folder / "dev.jsonl"),
        base=base,
        out=str(folder / "run"),
        batch_rows=batch_rows,
        epochs=EPOCHS,
        max_minutes=run_minutes(folder / "run", share.left),
        seed=seed,
    )
    rate, tried = learning_rate(config, folder, share)
    settings = {"learning_rate": rate, "max_minutes": run_minutes(folder / "run", share.left)}
    return run(config.model_copy(update=settings)), tried


def within(rows: Sequence[dict[str, Conversation]], most_characters: int) -> list[dict[str, Conversation]]:
    """The first rows that together have at most so many characters; at least one."""
    taken: list[dict[str, Conversation]] = []
    for row in rows:
        most_characters -= sum(len(message["content"]) for message in row["messages"])
        if taken and most_characters < 0:
            break
        taken.append(row)
    return taken


def run_minutes(run_folder: Path, seconds: float) -> float:
    """`seconds` as minutes, at least SHORTEST_MINUTES; a training that was begun goes on with its own number."""
    begun = run_folder / "config.yaml"
    if begun.is_file():
        return float(load_yaml(begun).values["max_minutes"])
    return max(round(seconds / 60, 3), SHORTEST_MINUTES)
