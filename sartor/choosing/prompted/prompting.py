"""The prompt path and the API path: an instruction and worked examples, searched on dev rows.

Two searches, each by halving: first which examples stand before a question (none, some that are the same for all, or
those most like it), with the task's own instruction; then which instruction stands before those.
"""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING

from sartor.base.console import say
from sartor.choosing.brief import Brief
from sartor.choosing.fitting.budget import Share
from sartor.choosing.fitting.halving import Trials, best_on_common_rows, halve
from sartor.choosing.fitting.tries import Tries
from sartor.choosing.prompted.instructions import HINTS, INSTRUCTIONS_FILE, write_instructions
from sartor.data.records import Row
from sartor.evaluation.runner import Answer, answer_rows
from sartor.generation.prompted import Prompted
from sartor.generation.protocol import Generator, Sampling
from sartor.retrieval.similar_examples import SimilarExamples, example_rows

if TYPE_CHECKING:
    from sartor.choosing.fitting.workshop import Workshop
    from sartor.retrieval.path import PathConfig

MOST_DEV_ROWS = 128  # a search by halving ends here: 16 settings are halved to two by then
NUMBERS_OF_EXAMPLES = (0, 4, 12)
NUMBERS_OF_SIMILAR = (1, 2, 4, 8, 16)
EXAMPLES_SHARE = 0.6  # of the time: how examples are chosen decides more than the words of an instruction
EXAMPLES_FOR_THE_AUTHOR = 5  # rows that the writer of an instruction sees
MOST_LABELS = 150
LISTING = "instruction with the list of answers"


@dataclass(frozen=True)
class Tried:
    """One setting with its mean score on the first `rows` dev rows of the search; None where it was judged by
    something else, which `setting` names."""

    setting: str
    dev_score: float | None
    chosen: bool = False
    rows: int | None = None


@dataclass(frozen=True)
class Prompt:
    """What stands in front of the question; `similar` finds further examples for each question."""

    instruction: str
    examples: tuple[tuple[str, str], ...]
    setting: str
    similar: SimilarExamples | None = None

    def over(self, inner: Generator) -> Prompted:
        """The model, asked behind this prompt."""
        return Prompted(inner, self.instruction or None, self.examples, self.similar)

    @property
    def num_similar(self) -> int:
        return self.similar.number if self.similar else 0

    def fronts_as(self, other: "Prompt") -> bool:
        """Whether both put the same in front of a question, whatever they are called."""
        return (self.instruction, self.examples, self.num_similar) == (
            other.instruction,
            other.examples,
            other.num_similar,
        )


SimilarRows = Callable[[int], SimilarExamples | None]
"""A number of examples to what finds so many for each dev question; None where nothing can."""


def fit_prompt(shop: "Workshop", name: str, folder: Path, share: Share) -> tuple["PathConfig", list[Tried]]:
    """The path whose prompt is best on dev rows, and all prompts that were tried."""
    brief, inner, seed = shop.brief, shop.model(name), shop.config.seed
    trials = prompt_trials(brief, inner, name, seed, share.tries)
    manner = halve(prompt_candidates(brief, seed, shop.similar), trials, share.part(EXAMPLES_SHARE))
    best = manner
    if share.left > 0:
        groups = [pick_examples(brief.train, EXAMPLES_FOR_THE_AUTHOR, seed + place) for place in range(len(HINTS))]
        written = write_instructions(inner, brief.task, groups, folder / INSTRUCTIONS_FILE, name)
        candidates = instruction_candidates(brief, manner, written.instructions)
        found = halve(candidates, trials, share)
        # What was best before knows more rows: a few of them must not have cost it its place.
        best = best_on_common_rows([each for each in candidates if each in (manner, found)], trials)
    say(f"{name}: chosen on dev rows: {best.setting}")
    tried = [
        Tried(prompt.setting, mean(scores), prompt == best, len(scores)) for prompt, scores in trials.scores.items()
    ]
    return shop.path_config(name, **shop.prompt_settings(best)), tried


def prompt_trials(brief: Brief, inner: Generator, name: str, seed: int, tries: Tries | None = None) -> Trials[Prompt]:
    """Scores of prompts on dev rows, in the order of `dev_rows`."""
    rows = dev_rows(brief, seed)

    def score(prompt: Prompt, first: int, last: int) -> list[float | None]:
        label = f"{name}: {prompt.setting}" + (f", rows {first + 1} to {last}" if first else "")
        return dev_scores(brief, prompt.over(inner), rows[first:last], label)

    return Trials(score, len(rows), tries, lambda prompt: (prompt.instruction, prompt.examples, prompt.num_similar))


def dev_rows(brief: Brief, seed: int) -> list[Row]:
    """The dev rows that a search may ask, in an order drawn with the seed: the first of a file that is sorted by
    answer are not like the others."""
    rows = list(brief.dev)
    random.Random(seed).shuffle(rows)
    return rows[:MOST_DEV_ROWS]


def prompt_candidates(brief: Brief, seed: int, similar: SimilarRows = lambda number: None) -> list[Prompt]:
    """The task's instruction with no, few or many examples, or with those most like the question; where answers come
    from a short list, that list too. The shortest prompt comes first."""
    own, listing = brief.task.instruction, listing_instruction(brief)
    examples = list(dict.fromkeys(pick_examples(brief.train, number, seed) for number in NUMBERS_OF_EXAMPLES))
    found = [Prompt(own, each, f"instruction, {_examples(len(each))}") for each in examples]
    if listing is not None:
        found += [Prompt(listing, each, f"{LISTING}, {_examples(len(each))}") for each in examples[:2]]
    available = len(example_rows(brief.train))
    for number in NUMBERS_OF_SIMILAR:
        source = similar(number) if number <= available else None
        if source is not None:
            found.append(Prompt(own, (), f"instruction, {_similar(number)}", source))
    return in_order_of_length(found, brief)


def instruction_candidates(brief: Brief, manner: Prompt, written: Sequence[str]) -> list[Prompt]:
    """`manner` with other instructions before its examples: the list of answers, and what was written; the latter
    without examples too, which may do for a strong model and is shorter."""
    behind = _similar(manner.num_similar) if manner.similar else _examples(len(manner.examples))
    found = [manner]
    listing = listing_instruction(brief)
    if listing not in (None, manner.instruction):
        found.append(replace(manner, instruction=listing, setting=f"{LISTING}, {behind}"))
    for number, text in enumerate(written, 1):
        found.append(replace(manner, instruction=text, setting=f"written instruction {number}, {behind}"))
        if manner.examples or manner.similar:
            found.append(Prompt(text, (), f"written instruction {number}, {_examples(0)}"))
    return in_order_of_length(found, brief)


def listing_instruction(brief: Brief) -> str | None:
    """The task's instruction with all answers, where they come from a short list."""
    labels = label_list(brief)
    return f"{brief.task.instruction}\nPossible answers: {', '.join(labels)}".strip() if labels else None


def in_order_of_length(prompts: Sequence[Prompt], brief: Brief) -> list[Prompt]:
    """The shortest first, by characters; similar examples are as long as a row is on average."""
    rows = example_rows(brief.train)
    a_row = mean(len(row.question) + len(row.answers[0]) for row in rows) if rows else 0.0

    def characters(prompt: Prompt) -> float:
        same = sum(len(question) + len(answer) for question, answer in prompt.examples)
        return len(prompt.instruction) + same + prompt.num_similar * a_row

    return sorted(prompts, key=characters)


def _examples(number: int) -> str:
    return f"{number} example{'' if number == 1 else 's'}"


def _similar(number: int) -> str:
    return f"the {number} most similar examples" if number > 1 else "the most similar example"


def label_list(brief: Brief) -> list[str]:
    """The distinct answers where the task is to pick one of few."""
    counts = Counter(row.answers[0] for row in brief.train)
    if brief.task.scorer.name not in ("label", "exact") or not 1 < len(counts) <= MOST_LABELS:
        return []
    return sorted(counts) if len(counts) * 3 <= len(brief.train) else []


def pick_examples(rows: Sequence[Row], number: int, seed: int) -> tuple[tuple[str, str], ...]:
    """Rows of one question whose answers differ as long as there are different ones, drawn with the seed."""
    shuffled = [row for row in rows if len(row.messages) == 1]
    random.Random(seed).shuffle(shuffled)
    seen: Counter[str] = Counter()
    rank = []
    for row in shuffled:
        rank.append(seen[row.answers[0]])
        seen[row.answers[0]] += 1
    order = sorted(range(len(shuffled)), key=lambda index: (rank[index], index))
    return tuple((shuffled[index].question, shuffled[index].answers[0]) for index in order[:number])


def dev_scores(brief: Brief, generator: Generator, rows: Sequence[Row], label: str) -> list[float | None]:
    """The score of each row; one without an answer, such as a prompt that is too long, counts as wrong. None for what
    a service did not answer, which it may do when it is asked again."""
    sampling = Sampling(max_new_tokens=brief.max_new_tokens)
    answers = answer_rows(generator, rows, brief.task.scorer, sampling, label)
    scores = [None if answer.finish == "error" and answer.hosts else answer.score or 0.0 for answer in answers]
    say(f"{label}: {mean(score or 0.0 for score in scores):.3f} on {len(answers)} dev rows{_without(answers)}")
    return scores


def _without(answers: Sequence[Answer]) -> str:
    failed = [answer.error for answer in answers if answer.error is not None]
    return f", {len(failed)} without an answer ({failed[0]})" if failed else ""
