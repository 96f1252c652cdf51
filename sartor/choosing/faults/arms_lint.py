"""Arms differ in one thing only: what a run has recorded of its paths, held against each other.

A difference in a path's scores is a difference between ways of answering only where all else is equal: the rows, the
scorer, the length that answers may have, how tokens are chosen, the base model and how it writes a conversation, the
time to fit. What is not is told, by name. Nothing here asks a model.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sartor.base.console import format_seconds, warn
from sartor.base.durable import replace_json
from sartor.choosing.brief import Brief
from sartor.choosing.choose import REFERENCES
from sartor.choosing.faults.evidence import Answers, FalseMeasurement
from sartor.choosing.going_on import SHARE_FILE
from sartor.choosing.labels import label
from sartor.data.records import Row
from sartor.data.task_rows import normalised
from sartor.retrieval.inert import inert
from sartor.retrieval.path import OpenPath, PathConfig

ARM_FILE = "arm.json"  # of a path: the conditions under which it answered the test rows
SPEAKS_OF_PASSAGES = re.compile(
    r"(?<!in the )\bcontexts?\b|\bpassages?\b|\bdocuments?\b|\bexcerpts?\b"
    r"|\b(?:provided|given|following) (?:texts?|articles?|paragraphs?|sources?)\b",
    re.IGNORECASE,
)
DENIES_PASSAGES = re.compile(
    r"\bfrom memory\b|\bwithout (?:any |the |looking at (?:the )?)?(?:passages|documents|context|sources)\b"
    r"|\b(?:ignore|do not (?:use|read)|don't (?:use|read)) (?:the |any )?(?:passages|documents|context|sources)\b",
    re.IGNORECASE,
)
MOST_SHARES, LEAST_SECONDS_OVER = (
    2.0,
    60.0,
)  # a set-up is too long beyond both: the last step of a fit may be a long one
OF_STOPPING = ("stop",)


@dataclass(frozen=True)
class Arm:
    """One path as it was measured; `conditions` as `keep_conditions` wrote them (empty for runs that did not)."""

    name: str
    config: PathConfig
    answers: Answers
    facts: Mapping[str, Any]
    conditions: Mapping[str, Any]

    @property
    def is_local(self) -> bool:
        return self.config.api_base_url is None

    @property
    def reads(self) -> bool:
        """Whether it is given something to read besides the question."""
        return self.config.knowledge is not None or self.config.documents is not None

    @property
    def sampling(self) -> Mapping[str, Any]:
        return self.conditions.get("sampling") or json.loads(json.dumps(asdict(self.config.sampling)))


@dataclass(frozen=True)
class Arms:
    """All paths of a run, the test rows they were to answer, and how long each might be fitted (None: unknown)."""

    arms: Sequence[Arm]
    rows: Sequence[Row]
    share_seconds: float | None = None

    @property
    def local(self) -> list[Arm]:
        return [arm for arm in self.arms if arm.is_local]


Check = Callable[[Arms], Iterator[FalseMeasurement]]


def keep_conditions(folder: Path, opened: OpenPath, brief: Brief) -> None:
    """To be called when a path answers the test rows: what else than the path could make its score another."""
    template = None if opened.local is None else opened.local.chat.template_hash
    conditions = {"sampling": asdict(opened.config.sampling), "scorer": brief.task.scorer.name, "template": template}
    replace_json(folder / ARM_FILE, conditions)


def lint_of_run(
    run: Path, brief: Brief, answers: Mapping[str, Answers], facts: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """What differs between the paths of a run folder besides the path, as choice.json's `warnings`."""
    arms = [
        Arm(name, PathConfig.load(run / "paths" / name), given, facts[name], _conditions(run / "paths" / name))
        for name, given in answers.items()
    ]
    file = run / SHARE_FILE
    share = json.loads(file.read_text(encoding="utf-8"))["seconds"] if file.is_file() else None
    found = lint(Arms(arms, brief.test, share))
    for each in found:
        warn(f"{each.kind}: {label(each.path) + ': ' if each.path else ''}{each.what}")
    return [each.as_dict() for each in found]


def lint(arms: Arms) -> list[FalseMeasurement]:
    """Every finding, in the order of CHECKS."""
    return [found for check in CHECKS for found in check(arms)]


def _conditions(folder: Path) -> dict[str, Any]:
    file = folder / ARM_FILE
    return dict(json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else {}


def prompt_without_passages(arms: Arms) -> Iterator[FalseMeasurement]:
    """A prompt speaks of passages, and there are none. Where no path reads any, the text it speaks of is the question
    itself, as in tasks that label or sum up."""
    for arm in arms.arms:
        spoken = SPEAKS_OF_PASSAGES.search(arm.config.instruction)
        if spoken and not arm.reads and any(other.reads for other in arms.arms):
            what = f"its instruction speaks of “{spoken[0]}”, and there is nothing of the kind in its prompt"
            yield FalseMeasurement("prompt_without_passages", arm.name, what, "say what to do, not where to look")


def passages_without_prompt(arms: Arms) -> Iterator[FalseMeasurement]:
    """Passages that a prompt tells to leave alone, that were found and not sent, or that a path has unasked."""
    for arm in arms.arms:
        denied = DENIES_PASSAGES.search(arm.config.instruction)
        if denied and arm.reads:
            what = f"its instruction says “{denied[0]}”, and passages stand in its prompt"
            yield FalseMeasurement("passages_without_prompt", arm.name, what, "take that out of the instruction")
        lost = [answer["id"] for answer in arm.answers if arm.config.knowledge and not _holds_passages(answer)]
        if lost:
            what = f"the passages found for {len(lost):,} of {len(arm.answers):,} questions are not in what was sent"
            yield FalseMeasurement(
                "passages_without_prompt", arm.name, what, "measure this path again in another --out", lost
            )
        unasked = [answer["id"] for answer in arm.answers if not arm.config.knowledge and answer.get("passages")]
        if unasked:
            what = f"it does not retrieve, and passages stand in {len(unasked):,} of its prompts"
            yield FalseMeasurement(
                "passages_without_prompt", arm.name, what, "measure this path again in another --out", unasked
            )


def _holds_passages(answer: Mapping[str, Any]) -> bool:
    """True too for an answer that failed before anything was sent."""
    asked = [message["content"] for message in answer.get("messages") or () if message["role"] == "user"]
    return not asked or all(inert(passage["text"]) in asked[-1] for passage in answer.get("passages") or ())


def unequal_length(arms: Arms) -> Iterator[FalseMeasurement]:
    """Answers may be longer in one path."""
    for arm, own, usual in _odd(arms.arms, lambda arm: arm.sampling["max_new_tokens"]):
        what = f"its answers may have {own:,} tokens, those of other paths {usual:,}"
        yield FalseMeasurement("unequal_length", arm.name, what, "give all paths the same max_new_tokens")


def other_stop(arms: Arms) -> Iterator[FalseMeasurement]:
    """Answers end at other texts."""
    for field in OF_STOPPING:
        for arm, own, usual in _odd(arms.arms, _sampling_of(field)):
            what = f"its answers end at {own or 'no text'}, those of other paths at {usual or 'no text'}"
            yield FalseMeasurement("other_stop", arm.name, what, "let all paths stop at the same")


def other_sampling(arms: Arms) -> Iterator[FalseMeasurement]:
    """Tokens are chosen otherwise, or with another seed."""
    fields = sorted({field for arm in arms.arms for field in arm.sampling} - {"max_new_tokens", *OF_STOPPING})
    for field in fields:
        for arm, own, usual in _odd(arms.arms, _sampling_of(field)):
            what = f"its {field} is {own}, that of other paths {usual}"
            yield FalseMeasurement("other_sampling", arm.name, what, "choose tokens the same way in all paths")
    for arm, own, usual in _odd(arms.arms, lambda arm: _frozen(sorted({answer["seed"] for answer in arm.answers}))):
        what = f"its answers were drawn with seed {own}, those of other paths with {usual}"
        yield FalseMeasurement("other_sampling", arm.name, what, "draw with the same seed in all paths")


def other_scorer(arms: Arms) -> Iterator[FalseMeasurement]:
    """Another scorer by name, or the same text for the same row with another score."""
    named = [arm for arm in arms.arms if arm.conditions.get("scorer")]
    hint = "score all paths again: sartor choose --rescore"
    for arm, own, usual in _odd(named, lambda arm: arm.conditions["scorer"]):
        yield FalseMeasurement("other_scorer", arm.name, f"it was scored by {own}, other paths by {usual}", hint)
    seen: dict[tuple[str, str], tuple[str, float]] = {}
    differing: dict[tuple[str, str], list[str]] = {}
    for arm in arms.arms:
        for answer in arm.answers:
            if answer["score"] is None or answer.get("judged"):  # a judge may say something else each time
                continue
            first, score = seen.setdefault((answer["id"], answer["text"]), (arm.name, answer["score"]))
            if score != answer["score"]:
                differing.setdefault((first, arm.name), []).append(answer["id"])
    for (first, name), rows in differing.items():
        what = f"{len(rows):,} answers are word for word those of {label(first)} and have another score"
        yield FalseMeasurement("other_scorer", name, what, hint, rows)


def other_rows(arms: Arms) -> Iterator[FalseMeasurement]:
    """Answers that are not to the test rows as they are."""
    wanted = {row.id: (row.question, list(row.answers)) for row in arms.rows}
    for arm in arms.arms:
        given = {answer["id"]: (answer["question"], list(answer["accepted"])) for answer in arm.answers}
        differing = sorted(id for id in wanted.keys() | given.keys() if wanted.get(id) != given.get(id))
        if differing:
            what = f"{len(differing):,} rows are not those of the test, or accept something else"
            yield FalseMeasurement("other_rows", arm.name, what, "measure all paths on the same rows", differing)


def other_base(arms: Arms) -> Iterator[FalseMeasurement]:
    """Another base model among local paths: by its name, or, where nothing is trained, by its weights."""
    hint = "compare paths of one base model; for several models use `sartor models compare`"
    for arm, own, usual in _odd(arms.local, lambda arm: arm.config.model):
        what = f"it answers with {own}, other local paths with {usual}"
        yield FalseMeasurement("other_base", arm.name, what, hint)
    plain = [arm for arm in arms.local if arm.config.adapter is None and arm.answers]
    for arm, own, usual in _odd(plain, lambda arm: arm.answers[0].get("model")):
        what = f"its weights are {own}, those of other paths without training {usual}"
        yield FalseMeasurement("other_base", arm.name, what, hint)


def other_template(arms: Arms) -> Iterator[FalseMeasurement]:
    """Local models write a conversation otherwise."""
    known = [arm for arm in arms.local if arm.conditions.get("template")]
    for arm, _, _ in _odd(known, lambda arm: arm.conditions["template"]):
        what = "its model writes conversations by another chat template than those of other local paths"
        yield FalseMeasurement("other_template", arm.name, what, "give all local models the same chat template")


def system_prompt_in_one(arms: Arms) -> Iterator[FalseMeasurement]:
    """A system prompt stands in some paths only."""
    sent = [arm for arm in arms.arms if any(answer.get("messages") for answer in arm.answers)]
    for arm, own, _ in _odd(sent, _has_system_prompt):
        ours, theirs = ("a", "none") if own else ("no", "one")
        what = f"its conversations have {ours} system prompt, those of other paths {theirs}"
        hint = "write an instruction in task.yaml: then every path has it"
        yield FalseMeasurement("system_prompt_in_one", arm.name, what, hint)


def _has_system_prompt(arm: Arm) -> bool:
    return any(message["role"] == "system" for answer in arm.answers for message in answer.get("messages") or ())


def unequal_budget(arms: Arms) -> Iterator[FalseMeasurement]:
    """A fit that took far longer than its share."""
    share = arms.share_seconds
    for arm in arms.arms:
        took = float(arm.facts.get("setup_seconds") or 0.0)
        if share is None or arm.name in REFERENCES or took <= max(MOST_SHARES * share, share + LEAST_SECONDS_OVER):
            continue
        what = f"it took {format_seconds(took)} to fit, and each path had {format_seconds(share)}"
        yield FalseMeasurement(
            "unequal_budget", arm.name, what, "give a larger --budget, so that every path has as much"
        )


def examples_from_test(arms: Arms) -> Iterator[FalseMeasurement]:
    """Worked examples that are test questions, in the prompt or before single questions."""
    asked = {normalised(row.question): row.id for row in arms.rows}
    turns = {row.id: len(row.messages) for row in arms.rows}
    for arm in arms.arms:
        shown = {asked[key] for question, _ in arm.config.examples if (key := normalised(question)) in asked}
        for answer in arm.answers:
            front = (answer.get("messages") or [])[: -turns.get(answer["id"], 1)]
            questions = {normalised(message["content"]) for message in front if message["role"] == "user"}
            shown |= {asked[question] for question in questions & asked.keys()}
        if shown:
            what = f"{len(shown):,} of its worked examples are test questions"
            hint = "take these rows out of train or of test"
            yield FalseMeasurement("examples_from_test", arm.name, what, hint, sorted(shown))


CHECKS: tuple[Check, ...] = (
    prompt_without_passages,
    passages_without_prompt,
    unequal_length,
    other_stop,
    other_sampling,
    other_scorer,
    other_rows,
    other_base,
    other_template,
    system_prompt_in_one,
    unequal_budget,
    examples_from_test,
)


def _odd(arms: Sequence[Arm], value: Callable[[Arm], Hashable]) -> Iterator[tuple[Arm, Any, Any]]:
    """The arms whose value is not the usual one (that of most; of as many the first), with their own and the usual."""
    values = [value(arm) for arm in arms]
    if not values:
        return
    usual = Counter(values).most_common(1)[0][0]
    for arm, own in zip(arms, values, strict=True):
        if own != usual:
            yield arm, own, usual


def _sampling_of(field: str) -> Callable[[Arm], Hashable]:
    return lambda arm: _frozen(arm.sampling.get(field))


def _frozen(value: Any) -> Hashable:
    """A value of JSON that can be counted; one value alone is itself."""
    if isinstance(value, list | tuple):
        return value[0] if len(value) == 1 else tuple(map(_frozen, value))
    return value
