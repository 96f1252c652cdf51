"""The dev questions by whose score the best checkpoint of a training is taken: as many as there is time to answer."""

import json
import time
from collections.abc import Sequence
from pathlib import Path

from sartor.base.console import say
from sartor.choosing.fitting.workshop import Workshop
from sartor.data.records import Row
from sartor.data.writers import write_jsonl
from sartor.generation.prompted import prompted
from sartor.generation.protocol import Sampling

QUESTIONS_FILE = "questions.jsonl"  # of a path; empty where the held-out loss decides
MOST, FEWEST = 64, 24  # fewer say less of a checkpoint than its held-out loss does (assumed)
SHARE_OF_TRAINING = 0.05  # of the time that one evaluation's answers may take, so that four fit beside the training
TIMED = 16  # questions that are answered to know how long they take


def scored_questions(shop: Workshop, rows: Sequence[Row], folder: Path, seconds: float) -> list[Row]:
    """Of the dev `rows`, which ask as the path will be asked, those to score by during a training of `seconds`; none
    where the held-out loss has to do. Decided once for the path in `folder`."""
    file = folder / QUESTIONS_FILE
    if not file.is_file():
        chosen = rows[: _number(shop, rows, SHARE_OF_TRAINING * seconds)]
        kept = [{name: getattr(row, name) for name in ("id", "messages", "answers", "group")} for row in chosen]
        write_jsonl(file, kept)
    return kept_questions(folder)


def kept_questions(folder: Path) -> list[Row]:
    """What `scored_questions` decided for the path in `folder`."""
    with (folder / QUESTIONS_FILE).open(encoding="utf-8") as lines:
        given = [json.loads(line) for line in lines]
    return [Row(each["id"], each["messages"], tuple(each["answers"]), each["group"]) for each in given]


def _number(shop: Workshop, rows: Sequence[Row], seconds: float) -> int:
    """How many questions are answered in `seconds`, by the speed of the model before training, which tends to say more
    than it will afterwards; 0 where that is too few."""
    if shop.brief.task.scorer.judge is not None:
        say("the best checkpoint is the one with the lowest held-out loss: a judge would be asked too often")
        return 0
    if len(rows) < FEWEST:
        say(f"the best checkpoint is the one with the lowest held-out loss: {len(rows)} dev rows are few to score by")
        return 0
    instruction = shop.brief.task.instruction or None
    asked = [prompted(row.messages, instruction) for row in rows[:TIMED]]
    model, started = shop.base, time.monotonic()
    model.generate(asked, Sampling(max_new_tokens=shop.brief.max_new_tokens))
    number = min(MOST, len(rows), int(TIMED * seconds / (time.monotonic() - started)))
    if number < FEWEST:
        say(
            f"the best checkpoint is the one with the lowest held-out loss: in {seconds:.0f} seconds {number} dev "
            f"questions are answered, and a score takes {FEWEST}"
        )
        return 0
    say(f"the best checkpoint is the one with the best score on {number} dev questions")
    return number
