"""The fine-tuned paths: the task's rows written as the recipe reads them, then the recipe that users call."""

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sartor.base.configuration import load_yaml
from sartor.base.metrics import read_metrics
from sartor.choosing.fitting.budget import Share
from sartor.choosing.fitting.workshop import Workshop
from sartor.choosing.prompted.prompting import Tried, dev_rows
from sartor.choosing.retrieved.library import Search
from sartor.choosing.trained.rate import learning_rate
from sartor.choosing.trained.scored_questions import scored_questions
from sartor.data.records import Conversation, Message, Row
from sartor.data.writers import write_jsonl
from sartor.generation.prompted import prompted
from sartor.generation.protocol import Passage
from sartor.recipes.finetune import FinetuneConfig, run
from sartor.recipes.stage import TrainingResult
from sartor.retrieval.grounded import grounded_conversation, in_order
from sartor.retrieval.path import Knowledge, PathConfig
from sartor.retrieval.rewriting import with_key_terms

SHARE_WITHOUT_GOLD = 0.1  # of the rows whose evidence is known: what to say when retrieval has missed (2403.10131)
CANDIDATES = 20
DEV_ROWS, DEV_CHARACTERS = 64, 40_000  # held-out rows for the loss: enough to stop by, few enough to be quick
SHORTEST_MINUTES = 0.25
SAVING_SHARE = 0.03  # of a training's time: its last checkpoint, its files and its report (assumed)
BATCH_ROWS, BATCH_ROWS_WITH_PASSAGES = 16, 8
EPOCHS = 5  # at most: the budget and the held-out score end training earlier
TRAIN_FILE, DEV_FILE, METRICS_FILE = "train.jsonl", "dev.jsonl", "metrics.jsonl"


def fit_finetune(shop: Workshop, name: str, folder: Path, share: Share) -> tuple[PathConfig, list[Tried]]:
    """Train on question and answer, as the prompt path asks without examples."""
    result, tried = train_plainly(shop, folder, share)
    return shop.path_config(name, adapter=result.trained.relative_to(folder).as_posix()), tried


def train_plainly(shop: Workshop, folder: Path, share: Share) -> tuple[TrainingResult, list[Tried]]:
    """Fine-tune on question and answer into `run` in `folder`."""
    return _train(shop, shop.brief.train, held_out_rows(shop), folder, share, BATCH_ROWS)


def fit_finetune_with_retrieval(
    shop: Workshop, name: str, folder: Path, share: Share
) -> tuple[PathConfig, list[Tried]]:
    """Train on question, retrieved passages and answer (RAFT, 2403.10131): the passage that holds the answer is among
    distractors, except in a share of the rows, where it is taken out. As many passages a row as retrieval chose; rows
    with passages are long, so a step has fewer of them. No cross-encoder reads what is learnt from: for all train rows
    that takes longer than the training."""
    brief, knowledge, chance = shop.brief, shop.knowledge, random.Random(shop.config.seed)
    rows = [*brief.train, *held_out_rows(shop)]
    search = Search.of(knowledge)
    retriever = shop.library.retriever_of(replace(search, ranking=replace(search.ranking, rerank=None)))
    found = retriever.retrieve([with_key_terms(row.messages) for row in rows], CANDIDATES)
    train = [
        _over(row, training_passages(row, each, knowledge.passages, chance), knowledge)
        for row, each in zip(brief.train, found, strict=False)
    ]
    dev = [
        _over(row, each[: knowledge.passages], knowledge)
        for row, each in zip(rows[len(brief.train) :], found[len(brief.train) :], strict=True)
    ]
    result, tried = _train(shop, train, dev, folder, share, BATCH_ROWS_WITH_PASSAGES)
    adapter = result.trained.relative_to(folder).as_posix()
    config = shop.path_config(name, adapter=adapter, knowledge=knowledge)
    return config, [*shop.library.tried, *tried]


def held_out_rows(shop: Workshop) -> list[Row]:
    """The dev rows by which a training stops and its checkpoint is chosen."""
    return dev_rows(shop.brief, shop.config.seed)[:DEV_ROWS]


def unseen_dev_rows(shop: Workshop) -> list[Row]:
    """The dev rows that no training was chosen by, in an order drawn with the seed."""
    seen = {row.id for row in held_out_rows(shop)}
    rows = [row for row in shop.brief.dev if row.id not in seen]
    random.Random(shop.config.seed).shuffle(rows)
    return rows


def _over(row: Row, passages: Sequence[Passage], knowledge: Knowledge) -> Row:
    """The row, asked over passages as the path will be."""
    ordered = in_order(passages, knowledge.best_last)
    return replace(row, messages=grounded_conversation(row.messages, len(row.messages) - 1, ordered))


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


def _learnt(row: Row, instruction: str) -> dict[str, Conversation]:
    answer = Message(role="assistant", content=row.answers[0])
    return {"messages": [*prompted(row.messages, instruction or None), answer]}


def _train(
    shop: Workshop, train: Sequence[Row], dev: Sequence[Row], folder: Path, share: Share, batch_rows: int
) -> tuple[TrainingResult, list[Tried]]:
    """Train on rows that ask as the path will be asked, in what is left of the share: the rate searched for, the
    checkpoint taken that answers the dev rows best (of equal ones, and where there is no time to ask, the one with the
    lowest held-out loss), the end early where nothing gets better."""
    task, folder_of_run = shop.brief.task, folder / "run"
    folder.mkdir(parents=True, exist_ok=True)
    write_jsonl(folder / TRAIN_FILE, [_learnt(row, task.instruction) for row in train])
    write_jsonl(folder / DEV_FILE, within([_learnt(row, task.instruction) for row in dev], DEV_CHARACTERS))
    questions = scored_questions(shop, dev, folder, share.left)
    config = FinetuneConfig(
        data=str(folder / TRAIN_FILE),
        dev=str(folder / DEV_FILE),
        base=shop.config.base,
        out=str(folder_of_run),
        batch_rows=batch_rows,
        epochs=EPOCHS,
        max_minutes=run_minutes(folder_of_run, share.left),
        seed=shop.config.seed,
    )
    rate, tried = learning_rate(config, folder, share)
    settings: dict[str, Any] = {"learning_rate": rate, "max_minutes": run_minutes(folder_of_run, share.left)}
    if questions:
        settings |= {"task": str(task.folder.resolve()), "best_by": "score"}
    result = run(config.model_copy(update=settings), questions or None)
    return result, [*tried, _checkpoint(result)]


def _checkpoint(result: TrainingResult) -> Tried:
    """What the training came to, as a line of the report."""
    scores = {
        line["step"]: line["dev_score"] for line in read_metrics(result.out / METRICS_FILE) if "dev_score" in line
    }
    early = ", where nothing had got better for a while" if result.stopped_early else ""
    return Tried(
        f"trained for {result.steps} steps{early}; the best checkpoint, after {result.best_step}, has a held-out loss "
        f"of {result.dev_loss:.4f} ({result.dev_loss_before:.4f} before)",
        scores.get(result.best_step),
        chosen=True,
    )


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
    """`seconds` as minutes, less what saving takes, at least SHORTEST_MINUTES; a training that was begun goes on with
    its own number."""
    begun = run_folder / "config.yaml"
    if begun.is_file():
        return float(load_yaml(begun).values["max_minutes"])
    return max(round((1 - SAVING_SHARE) * seconds / 60, 3), SHORTEST_MINUTES)
