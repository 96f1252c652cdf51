"""The prompt path and the API path: an instruction and worked examples, chosen on dev rows."""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from sartor.base.console import say
from sartor.choosing.brief import Brief
from sartor.choosing.budget import Share
from sartor.data.records import Row
from sartor.evaluation.runner import answer_rows
from sartor.generation.prompted import Prompted
from sartor.generation.protocol import Generator, Sampling

Candidate = TypeVar("Candidate")

DEV_ROWS_A_TRY = 60
NUMBERS_OF_EXAMPLES = (0, 4, 12)
MOST_LABELS = 150


@dataclass(frozen=True)
class Tried:
    """One setting with its score on dev rows; None where it was judged by something else, which `setting` names."""

    setting: str
    dev_score: float | None
    chosen: bool = False


@dataclass(frozen=True)
class Prompt:
    """What stands in front of the question."""

    instruction: str
    examples: tuple[tuple[str, str], ...]
    setting: str


def prompt_candidates(brief: Brief, seed: int) -> list[Prompt]:
    """The task's instruction with few or many examples; where answers come from a short list, that list too."""
    instruction = brief.task.instruction
    examples = dict.fromkeys(pick_examples(brief.train, number, seed) for number in NUMBERS_OF_EXAMPLES)
    plain = [Prompt(instruction, each, f"instruction, {len(each)} examples") for each in examples]
    labels = label_list(brief)
    if not labels:
        return plain
    listing = f"{instruction}\nPossible answers: {', '.join(labels)}".strip()
    return plain + [
        Prompt(listing, each.examples, f"instruction with the list of answers, {len(each.examples)} examples")
        for each in plain[:2]
    ]


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


def fit_prompt(
    brief: Brief, inner: Generator, share: Share, candidates: Sequence[Prompt], name: str
) -> tuple[Prompt, list[Tried]]:
    """The candidate with the best score on dev rows; a later one must be better than an earlier, shorter one."""

    def score(prompt: Prompt) -> float:
        return dev_score(
            brief, Prompted(inner, prompt.instruction or None, prompt.examples), f"{name}: {prompt.setting}"
        )

    return best_candidate(candidates, score, lambda prompt: prompt.setting, share)


def best_candidate(
    candidates: Sequence[Candidate],
    score: Callable[[Candidate], float],
    setting: Callable[[Candidate], str],
    share: Share,
) -> tuple[Candidate, list[Tried]]:
    """Try candidates in order while the share lasts; the first with the highest score wins."""
    scores: list[float] = []
    for candidate in candidates:
        if not share.allows_another(len(scores)):
            say(f"time is up: {len(scores)} of {len(candidates)} settings tried")
            break
        scores.append(score(candidate))
    best = scores.index(max(scores))
    tried = [Tried(setting(candidates[place]), each, place == best) for place, each in enumerate(scores)]
    return candidates[best], tried


def dev_score(brief: Brief, generator: Generator, label: str, num_rows: int = DEV_ROWS_A_TRY) -> float:
    """Mean score on the first dev rows; one without an answer, such as a prompt that is too long, counts as wrong."""
    sampling = Sampling(max_new_tokens=brief.max_new_tokens)
    answers = answer_rows(generator, brief.dev[:num_rows], brief.task.scorer, sampling, label)
    score = sum(answer.score or 0.0 for answer in answers) / len(answers)
    failed = [answer.error for answer in answers if answer.error is not None]
    without = f", {len(failed)} without an answer ({failed[0]})" if failed else ""
    say(f"{label}: {score:.3f} on {len(answers)} dev rows{without}")
    return score
