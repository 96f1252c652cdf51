"""The long-context path: all documents stand in the prompt, where they fit what the model reads."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING

from sartor.base.console import say
from sartor.base.durable import replace_file, replace_json
from sartor.base.errors import UsageError
from sartor.choosing.brief import Brief
from sartor.choosing.fitting.budget import Share
from sartor.choosing.fitting.halving import Trials, halve
from sartor.choosing.fitting.tries import Tries
from sartor.choosing.prompted.prompting import Prompt, Tried, in_order_of_length, prompt_trials
from sartor.data.chat import ChatFormat
from sartor.data.extract import Document, read_documents
from sartor.data.records import Row
from sartor.generation.prompted import prompted
from sartor.generation.protocol import Generator
from sartor.models.hub import context_tokens, load_tokenizer, resolve
from sartor.retrieval.whole_documents import documents_text, with_documents

if TYPE_CHECKING:
    from sartor.choosing.fitting.workshop import Workshop
    from sartor.retrieval.path import PathConfig

NAME = "long-context"
DOCUMENTS_FILE = "documents.txt"
READING_FILE = "reading.json"  # how long it took to read the documents and write them into one text
MOST_CHARACTERS_A_TOKEN = 12  # assumed: text that is longer than so many for each token there is cannot fit
LONGEST_QUESTIONS = 8  # those of most characters, of which one has the most tokens


@dataclass(frozen=True)
class Room:
    """Tokens that the documents, the longest question and the longest answer need together (at least as many, where
    reading was `cut_short`), and tokens that the model reads."""

    needed: int
    there: int
    cut_short: bool = False

    @property
    def fits(self) -> bool:
        return self.needed <= self.there

    @property
    def sentence(self) -> str:
        more = "more than " if self.cut_short else ""
        return (
            f"documents, question and answer take {more}{self.needed:,} tokens, "
            f"and the model reads {self.there:,} tokens"
        )


def room_for_documents(brief: Brief, base: str) -> Room:
    """Whether all documents fit. No more of them is read than could fit."""
    assert brief.task.documents is not None
    folder = resolve(base)
    chat, there = ChatFormat(load_tokenizer(folder)), context_tokens(folder)
    documents: list[Document] = []
    characters = 0
    for document in read_documents(brief.task.documents):
        documents.append(document)
        characters += len(document.text)
        if characters > MOST_CHARACTERS_A_TOKEN * there:
            break
    system = with_documents(documents_text(documents), brief.task.instruction)
    longest = sorted((*brief.train, *brief.dev, *brief.test), key=_characters)[-LONGEST_QUESTIONS:]
    needed = max(len(chat.prompt(prompted(row.messages, system))) for row in longest) + brief.max_new_tokens
    return Room(needed, there, cut_short=characters > MOST_CHARACTERS_A_TOKEN * there and needed > there)


def _characters(row: Row) -> int:
    return sum(len(message["content"]) for message in row.messages)


def without_what_does_not_fit(names: Sequence[str], brief: Brief, base: str, asked_for: Sequence[str]) -> list[str]:
    """The paths without this one where the documents do not fit, which is told. UsageError when it was asked for."""
    if NAME not in names:
        return list(names)
    room = room_for_documents(brief, base)
    if room.fits:
        return list(names)
    if NAME in asked_for:
        raise UsageError(
            f"path {NAME} cannot be measured: {room.sentence}",
            where="--paths",
            hint="measure rag, or name a base model that reads more",
        )
    say(f"path {NAME} does not apply: {room.sentence}")
    return [name for name in names if name != NAME]


def fit_long_context(shop: "Workshop", name: str, folder: Path, share: Share) -> tuple["PathConfig", list[Tried]]:
    """All documents in front of the instruction: as it stands, or as prompting without documents chose, with its
    examples; what is better on dev rows."""
    brief = shop.brief
    assert brief.task.documents is not None
    started = time.monotonic()
    documents = documents_text(read_documents(brief.task.documents))
    replace_file(folder / DOCUMENTS_FILE, documents)
    replace_json(folder / READING_FILE, {"seconds": time.monotonic() - started})
    plain = Prompt(brief.task.instruction, (), "instruction, 0 examples")
    best = shop.prompt_of("prompt")
    candidates = [plain] if best.fronts_as(plain) else in_order_of_length([plain, best], brief)
    trials = documents_trials(brief, shop.model(name), documents, name, shop.config.seed, share.tries)
    chosen = halve(candidates, trials, share)
    tried = [
        Tried(f"all documents, {prompt.setting}", mean(scores), prompt is chosen, len(scores))
        for prompt, scores in trials.scores.items()
    ]
    return shop.path_config(name, documents=DOCUMENTS_FILE, **shop.prompt_settings(chosen)), tried


def seconds_to_read(folder: Path) -> float:
    """How long the documents of the path in `folder` took to be read and written, as they must be when one changes."""
    return float(json.loads((folder / READING_FILE).read_text(encoding="utf-8"))["seconds"])


def documents_trials(
    brief: Brief, inner: Generator, documents: str, name: str, seed: int, tries: Tries
) -> Trials[Prompt]:
    """Scores of prompts with all documents in front of their instruction."""
    whole = prompt_trials(brief, inner, name, seed)

    def score(prompt: Prompt, first: int, last: int) -> list[float | None]:
        in_front = with_documents(documents, prompt.instruction)
        return whole.score(replace(prompt, instruction=in_front), first, last)

    return Trials(score, whole.num_rows, tries, whole.about)
