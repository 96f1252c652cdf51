"""Every path on the same held-out rows, once; what it costs, how long it takes, what leaves the machine."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from sartor.base.console import warn
from sartor.base.energy import EnergyMeter
from sartor.choosing.brief import Brief
from sartor.choosing.verdict.rule import Measured
from sartor.data.records import Conversation
from sartor.data.writers import write_jsonl
from sartor.evaluation.runner import ask_rows, score_answers
from sartor.generation.protocol import Generator, Sampling
from sartor.generation.service_checks import cut_prompts

LATENCY_ROWS = 10  # asked in any case: of a remote model, where each costs money, no more
MOST_LATENCY_ROWS = 40
LATENCY_SECONDS = 20.0  # after these no further one than LATENCY_ROWS is asked
LATENCY_SEED = 1


@dataclass(frozen=True)
class Usage:
    """What answering took. Latencies are of `num_timed` dev questions asked one at a time; the rest is of all test rows
    together.

    `cost_per_1k` is in US dollars for 1,000 answers (a row without one is not counted), `energy_wh` in watt hours for
    1,000 answers; None where unknown, as the energy of a remote model always is.
    """

    latency_p50_s: float
    latency_p95_s: float
    seconds_per_answer: float
    cost_per_1k: float | None
    energy_wh: float | None
    energy_source: str | None
    hosts: list[str]
    bytes_sent: int
    prompts_cut_at_tokens: int | None = None  # where a remote model's counts say that it read less than it was sent
    num_timed: int = LATENCY_ROWS


def measure(
    generator: Generator,
    brief: Brief,
    name: str,
    sampling: Sampling,
    model_hash: str,
    machine_price_per_hour: float,
    answers_file: Path,
) -> Usage:
    """Answer all test rows into `answers_file` and time single questions on dev rows."""
    # A seed of its own: a remote model's answers to these are kept apart from those to the same rows asked all at once.
    alone = replace(sampling, seed=LATENCY_SEED)
    latencies = _latencies(generator, [row.messages for row in brief.dev], alone)
    started = time.perf_counter()
    with EnergyMeter() as energy:
        replies = ask_rows(generator, brief.test, sampling, f"measuring {name}")
    seconds = (time.perf_counter() - started) / len(replies)  # what a judge takes is not the path's
    answers = score_answers(brief.test, replies, brief.task.scorer, sampling, name, model_hash)
    write_jsonl(answers_file, [answer.as_dict() for answer in answers])
    hosts = sorted({host for answer in answers for host in answer.hosts})
    machine = 0.0 if hosts else machine_price_per_hour * seconds / 3600 * 1000
    charged = [answer.cost for answer in answers if answer.finish != "error"]
    known = [cost for cost in charged if cost is not None]
    sizes = [sum(len(message["content"].encode()) for message in answer.messages) for answer in answers]
    cut = cut_prompts(sizes, [answer.prompt_tokens for answer in answers]) if hosts else None
    if cut is not None:
        warn(f"{name}: {', '.join(hosts)} seems to cut prompts at {cut:,} tokens, so its answers know only a part")
    return Usage(
        latency_p50_s=float(np.quantile(latencies, 0.5)),
        latency_p95_s=float(np.quantile(latencies, 0.95)),
        seconds_per_answer=seconds,
        cost_per_1k=machine + 1000 * sum(known) / len(known) if known and len(known) == len(charged) else None,
        energy_wh=None if hosts else energy.watt_hours / len(answers) * 1000,
        energy_source=None if hosts else energy.source,
        hosts=hosts,
        bytes_sent=sum(answer.bytes_sent for answer in answers),
        prompts_cut_at_tokens=cut,
        num_timed=len(latencies),
    )


def _latencies(generator: Generator, questions: Sequence[Conversation], sampling: Sampling) -> list[float]:
    """Seconds of single questions, the first ones again only where there are fewer than LATENCY_ROWS."""
    first = generator.generate([questions[0]], sampling)[0]  # takes longer, being the first after loading
    most = LATENCY_ROWS if first.hosts else max(LATENCY_ROWS, min(MOST_LATENCY_ROWS, len(questions)))
    seconds: list[float] = []
    started = time.monotonic()
    while len(seconds) < most and (len(seconds) < LATENCY_ROWS or time.monotonic() - started < LATENCY_SECONDS):
        (reply,) = generator.generate([questions[len(seconds) % len(questions)]], sampling)
        seconds.append(reply.seconds)
    return seconds


def read_answers(file: Path) -> list[dict[str, Any]]:
    with file.open(encoding="utf-8") as lines:  # texts may hold characters at which str.splitlines would part them
        return [json.loads(line) for line in lines]


def scores_of(answers: Sequence[dict[str, Any]]) -> np.ndarray:
    """float64 [rows], NaN where unscored."""
    return np.array([np.nan if answer["score"] is None else answer["score"] for answer in answers], dtype=np.float64)


def measured_path(
    name: str, answers: Sequence[dict[str, Any]], facts: dict[str, Any], by_seed: np.ndarray | None = None
) -> Measured:
    """What the verdict needs of one path; `facts` are its usage and set-up as kept in measured.json. `by_seed` are the
    scores [trainings, rows] of a path that was trained several times: then a row's score is their mean."""
    return Measured(
        name,
        scores_of(answers) if by_seed is None else by_seed.mean(0),
        facts["cost_per_1k"],
        facts["latency_p95_s"],
        not facts["hosts"],
        facts["freshness_seconds"],
        by_seed=by_seed,
    )
