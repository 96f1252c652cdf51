"""Figures that are not what they seem, told by name: every kind that can be seen in what a run has recorded.

Nothing here asks a model. A kind is told only where the record shows it; a run in which nothing is told may still be
wrong in ways that leave no trace.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from sartor.base.configuration import build, load_yaml
from sartor.base.console import warn
from sartor.choosing.brief import Brief
from sartor.choosing.choose import ChooseConfig
from sartor.choosing.faults.answers import (
    answer_cut,
    answer_in_longer_reply,
    empty_answers,
    same_answer_always,
    scorer_tells_nothing,
    thinking,
)
from sartor.choosing.faults.evidence import Answers, Check, CountTokens, Evidence, FalseMeasurement
from sartor.choosing.faults.judges import judge_same_family, judge_unreadable, scorer_disagrees
from sartor.choosing.faults.prompts import prompt_cut, template_missing, template_twice
from sartor.choosing.faults.rows import leak, near_duplicate_test
from sartor.choosing.labels import label
from sartor.data.chat import ChatFormat
from sartor.data.records import Conversation
from sartor.models.hub import load_tokenizer, resolve
from sartor.recipes.judge_check import CHECK_FILE
from sartor.retrieval.opening import open_store, place
from sartor.retrieval.path import PathConfig

CHECKS: tuple[Check, ...] = (
    prompt_cut,
    template_twice,
    template_missing,
    answer_cut,
    thinking,
    empty_answers,
    same_answer_always,
    scorer_tells_nothing,
    answer_in_longer_reply,
    leak,
    near_duplicate_test,
    judge_same_family,
    judge_unreadable,
    scorer_disagrees,
)


def find_false_measurements(evidence: Evidence) -> list[FalseMeasurement]:
    """Every false measurement that the evidence shows, in the order of CHECKS."""
    return [found for check in CHECKS for found in check(evidence)]


def warnings_of_run(
    run: Path, brief: Brief, answers: Mapping[str, Answers], facts: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """The false measurements of a run folder as choice.json's `warnings`; each is also said on the console."""
    configs = {name: PathConfig.load(run / "paths" / name) for name in answers}
    checked = run / CHECK_FILE
    base = build(ChooseConfig, load_yaml(run / "config.yaml")).base
    evidence = Evidence(
        brief,
        answers,
        facts,
        {name: config.model for name, config in configs.items()},
        _token_counter(base),
        _documents(run, configs),
        json.loads(checked.read_text(encoding="utf-8")) if checked.is_file() else None,
    )
    found = find_false_measurements(evidence)
    for each in found:
        warn(f"{each.kind}: {label(each.path) + ': ' if each.path else ''}{each.what}")
    return [each.as_dict() for each in found]


def _token_counter(base: str) -> CountTokens:
    """Counts as the local base writes a conversation; its tokenizer is loaded when something is counted first."""

    @cache
    def chat() -> ChatFormat:
        return ChatFormat(load_tokenizer(resolve(base)))

    def count(conversation: Conversation) -> int:
        return len(chat().prompt(conversation))

    return count


def _documents(run: Path, configs: Mapping[str, PathConfig]) -> Callable[[], Iterator[tuple[str, str]]]:
    """The texts that paths read: the file that stands in front of a prompt, or the documents of a knowledge file. All
    paths of a run read the same documents, so one path's are enough."""

    def read() -> Iterator[tuple[str, str]]:
        for name, config in configs.items():
            if config.documents is not None:
                yield config.documents, (run / "paths" / name / config.documents).read_text(encoding="utf-8")
                return
        for name, config in configs.items():
            if config.knowledge is not None:
                yield from _stored(place(config.knowledge.file, run / "paths" / name))
                return

    return read


def _stored(knowledge: str | Path) -> Iterator[tuple[str, str]]:
    store = open_store(knowledge)
    try:
        for identifier in sorted(store.fingerprints()):
            document = store.document(identifier)
            if document is not None:
                yield document.id, document.text
    finally:
        store.close()
