"""From settings to steps, in the order in which they are published to work: addresses first, since they cost nothing,
then what mends a text, then what judges it, then duplicates among what is left, and last what must see final texts."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar

from sartor.base.configuration import Layer, build
from sartor.base.console import warn
from sartor.base.durable import file_sha256
from sartor.base.errors import DataError, UsageError
from sartor.data.decontamination.held_out import held_out_texts
from sartor.data.decontamination.step import Decontaminate, Decontamination, Searched
from sartor.data.document_folder import DocumentFolder, DocumentWriter
from sartor.data.duplicates.signatures import EVERYTHING, SOURCE_GROUP, ExactDuplicates, NearDuplicates, Rule
from sartor.data.duplicates.verify import Verification
from sartor.data.filters.language import Language
from sartor.data.filters.main_text import MainText
from sartor.data.filters.personal_data.kinds import KINDS
from sartor.data.filters.personal_data.policy import Policy
from sartor.data.filters.personal_data.scrub import PersonalData, find_personal_data
from sartor.data.filters.presets import preset
from sartor.data.filters.quality import Quality
from sartor.data.filters.repair import Repair
from sartor.data.filters.segments import segment
from sartor.data.filters.step import Step
from sartor.data.filters.url_rules import UrlRules
from sartor.data.pipeline.run import Plan
from sartor.data.pipeline.search import DuplicateSearch
from sartor.data.pipeline.shard import Change, Signer
from sartor.recipes import prepare_quality
from sartor.recipes.prepare_settings import PrepareConfig, Scope

AnyRule = TypeVar("AnyRule", bound=Rule)
FILES = ("url_blocklist", "url_hard_words", "url_soft_words", "url_parts_of_words", "quality_examples")
FINGERPRINT_DIGITS = 16
MIN_SCORE = 0.5  # as likely good as not, were good and other texts equally frequent


@dataclass(frozen=True)
class Filters:
    """The phase before the search for duplicates, in the folder `out`."""

    config: PrepareConfig
    out: Path

    def steps(self) -> Sequence[Step]:
        last = [] if self.config.removes_duplicates else _last_steps(self.config)
        return [*_filters(self.config, self.out), *last]

    def split(self) -> Change | None:
        return None if self.config.removes_duplicates else _split(self.config)

    def signers(self) -> Mapping[str, Signer]:
        search = search_of(self.config)
        return {} if search is None else search.signers()

    def mask(self) -> Callable[[str], str]:
        return masked


@dataclass(frozen=True)
class Finish(Filters):
    """The phase after it."""

    def steps(self) -> Sequence[Step]:
        return [*_last_steps(self.config)]

    def split(self) -> Change | None:
        return _split(self.config)

    def signers(self) -> Mapping[str, Signer]:
        return {}


def plan_of(config: PrepareConfig, source: Path, out: Path) -> Plan:
    """What is to be done with the folder of documents `source`. UsageError for settings that cannot be."""
    documents = open_source(source.resolve())
    placed, out = _with_whole_paths(config), out.resolve()
    examples = placed.quality_examples
    begin = None if examples is None else partial(prepare_quality.make_classifier, examples, documents)
    before, after = Filters(placed, out), Finish(placed, out)
    steps = [step for cleaning in (before, after) for step in cleaning.steps()]  # what is wrong is said before the work
    _warn_of_unsearched(steps)
    return Plan(documents, _settings(config), before, after, search_of(config), begin)


def looked_for(steps: Iterable[Step]) -> dict[str, Searched]:
    """By task, the test texts that a step looks for in the documents."""
    return {task: counts for step in steps if isinstance(step, Decontaminate) for task, counts in step.by_task.items()}


def _warn_of_unsearched(steps: Sequence[Step]) -> None:
    for task, counts in looked_for(steps).items():
        if counts.unsearched:
            warn(
                f"{counts.unsearched:,} of {counts.searched + counts.unsearched:,} test texts of {task} are too short "
                "to be looked for: documents that hold them are kept (decontamination_rule: least_words in --config)"
            )


def open_source(source: Path) -> DocumentFolder:
    """The folder as its manifest says; its files are looked at one by one, so that a damaged one can be counted."""
    return DocumentFolder.open(source, check_files=False)


def search_of(config: PrepareConfig) -> DuplicateSearch | None:
    """UsageError for rules that cannot be."""
    exact = _rule(ExactDuplicates, config, "exact", config.exact_duplicates)
    near = _rule(NearDuplicates, config, "near", config.near_duplicates)
    if exact is not None and near is not None and exact.keep != near.keep:
        raise UsageError(
            f"of exact duplicates the {exact.keep} stays, of near ones the {near.keep}: two searches could each drop "
            "the other's survivor",
            hint="give both rules in duplicate_rules the same `keep`",
        )
    verification = None
    if near is not None and "verification" in config.duplicate_rules:
        grams = {"gram_words": near.match.gram_words}
        verification = build(Verification, Layer(config.duplicate_rules["verification"]), Layer(grams))
    return None if exact is None and near is None else DuplicateSearch(exact, near, verification)


def _rule(rule: type[AnyRule], config: PrepareConfig, search: Literal["exact", "near"], scope: Scope) -> AnyRule | None:
    given = Layer(config.duplicate_rules.get(search, {}))
    return None if scope == "none" else build(rule, Layer({"scope": _scope(scope)}), given)


def write_sample(whole: DocumentFolder, path: Path) -> DocumentFolder:
    """A folder with the first table of the first file and of the middle one."""
    files = [whole.files[place] for place in sorted({0, len(whole.files) // 2})] if whole.files else []
    with DocumentWriter(path) as writer:
        for file in files:
            for table in whole.tables_of(file):
                writer.add(table)
                break
    return DocumentFolder.open(path)


def _settings(config: PrepareConfig) -> dict[str, Any]:
    """What decides the output: of files that are named, their names and their content."""
    settings = config.decisive()
    for name in FILES:
        if (path := getattr(config, name)) is not None:
            settings[name] = f"{path.name} ({_content(path)})"
    answers = bool(config.decontaminate) and _decontamination(config).answers
    settings["decontaminate"] = [f"{Path(task).name} ({_held_out(task, answers)})" for task in config.decontaminate]
    return settings


def _with_whole_paths(config: PrepareConfig) -> PrepareConfig:
    """Workers may be in another folder than the command."""
    changes: dict[str, Any] = {name: path.resolve() for name in FILES if (path := getattr(config, name)) is not None}
    changes["decontaminate"] = [str(Path(task).resolve()) for task in config.decontaminate]
    return config.model_copy(update=changes)


def _content(path: Path) -> str:
    try:
        return file_sha256(path)[:FINGERPRINT_DIGITS]
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", where=str(path), hint="check the path") from error


def _decontamination(config: PrepareConfig) -> Decontamination:
    tasks = {"tasks": tuple(config.decontaminate)}
    return build(Decontamination, Layer(config.decontamination_rule), Layer(tasks))


def _held_out(task: str, answers: bool) -> str:
    content = hashlib.sha256()
    for text in held_out_texts(task, answers):
        content.update(f"{text.row}\n{text.text}\n".encode())
    return content.hexdigest()[:FINGERPRINT_DIGITS]


def _filters(config: PrepareConfig, out: Path) -> Sequence[Step]:
    steps: list[Step] = []
    rules = {
        "blocklist": config.url_blocklist, "hard_words": config.url_hard_words,
        "soft_words": config.url_soft_words, "parts_of_words": config.url_parts_of_words,
    }  # fmt: skip
    if any(rules.values()):
        steps.append(UrlRules(**rules))
    if config.main_text:
        steps.append(MainText())
    if config.repair:
        steps.append(Repair())
    steps.append(Language(keep=tuple(config.languages) or None))
    if config.preset != "none":
        steps.append(preset(config.preset, config.thresholds))
    if config.decontaminate:
        steps.append(Decontaminate(_decontamination(config)))
    if config.quality_examples is not None:
        score = MIN_SCORE if config.quality_min_score is None else config.quality_min_score
        steps.append(Quality(str(out / prepare_quality.FOLDER), score))
    return steps


def _last_steps(config: PrepareConfig) -> Sequence[Step]:
    if config.personal_data == "keep":
        return []
    policies = dict.fromkeys(KINDS, Policy.DROP) if config.personal_data == "drop" else {}
    return [PersonalData(policies)]


def _split(config: PrepareConfig) -> Change | None:
    length = config.segment_characters
    return None if length is None else partial(segment, max_characters=length)


def masked(text: str) -> str:
    """The text with what is recognised as personal data replaced by its kind."""
    parts, place = [], 0
    for finding in find_personal_data(text):
        parts += [text[place : finding.start], f"<{finding.kind.upper()}>"]
        place = finding.end
    return "".join([*parts, text[place:]])


def _scope(scope: Scope) -> str:
    """Of a source are the pages of one host or the files of one folder: a page's own `source` is its address."""
    return EVERYTHING if scope == "all" else SOURCE_GROUP
