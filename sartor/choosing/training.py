"""The fine-tuned paths: the task's rows written as the recipe reads them, then the recipe that users call."""

import random
from collections.abc import Sequence
from pathlib import Path

from sartor.choosing.brief import Brief
from sartor.choosing.budget import Share
from sartor.choosing.retrieving import Library, enough_passages
from sartor.data.records import Conversation, Message, Row
from sartor.data.writers import write_jsonl
from sartor.generation.prompted import prompted
from sartor.generation.protocol import Passage
from sartor.recipes.finetune import FinetuneConfig, FinetuneResult, run
from sartor.retrieval.grounded import grounded_conversation

SHARE_WITHOUT_GOLD = 0.1  # of the rows whose evidence is known: what to say when retrieval has missed (2403.10131)
CANDIDATES = 20
DEV_ROWS = 64
SHORTEST_MINUTES = 0.25


def fit_finetune(brief: Brief, folder: Path, base: str, share: Share, seed: int) -> FinetuneResult:
    """Train on question and answer, as the prompt path asks without examples."""
    train = [_learnt(row, row.messages, brief) for row in brief.train]
    dev = [_learnt(row, row.messages, brief) for row in brief.dev[:DEV_ROWS]]
    return _train(train, dev, folder, base, share, seed)


def fit_finetune_with_retrieval(
    brief: Brief, folder: Path, base: str, library: Library, share: Share, seed: int
) -> FinetuneResult:
    """Train on question, retrieved passages and answer (RAFT, 2403.10131): the passage that holds the answer is among
    distractors, except in a share of the rows, where it is taken out."""
    number = enough_passages(library)
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
    return _train(train, dev, folder, base, share, seed)


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
) -> FinetuneResult:
    folder.mkdir(parents=True, exist_ok=True)
    write_jsonl(folder / "train.jsonl", train)
    write_jsonl(folder / "dev.jsonl", dev)
    return run(
        FinetuneConfig(
            data=str(folder / "train.jsonl"),
            dev=str(folder / "dev.jsonl"),
            base=base,
            out=str(folder / "run"),
            max_minutes=max(share.seconds / 60, SHORTEST_MINUTES),
            seed=seed,
        )
    )
