"""The ways of answering that are measured: what each needs, and how it is fitted."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sartor.base.errors import UsageError
from sartor.choosing.choose import CLOSED_BOOK, ORACLE, ChooseConfig
from sartor.choosing.fitting.budget import Share
from sartor.choosing.fitting.workshop import Workshop
from sartor.choosing.prompted.long_context import NAME as LONG_CONTEXT
from sartor.choosing.prompted.long_context import fit_long_context
from sartor.choosing.prompted.prompting import Tried, fit_prompt
from sartor.choosing.retrieved.references import fit_closed_book, fit_oracle
from sartor.choosing.retrieved.retrieving import fit_retrieval
from sartor.choosing.trained.aligning import fit_aligned
from sartor.choosing.trained.training import fit_finetune, fit_finetune_with_retrieval
from sartor.data.task import Task
from sartor.retrieval.path import PathConfig

Fit = Callable[[Workshop, str, Path, Share], tuple[PathConfig, list[Tried]]]
DOCUMENTS, PREFERENCES, REMOTE = "documents", "preferences", "remote model"


@dataclass(frozen=True)
class PathKind:
    """One way of answering. `fit` writes what it makes into the path's folder, while its share of the time lasts, and
    returns the path and what was tried for it on dev rows. A `reference` is measured to tell where errors come from,
    and is never chosen."""

    name: str
    fit: Fit
    needs: tuple[str, ...] = ()
    reference: bool = False

    @property
    def reads_documents(self) -> bool:
        return DOCUMENTS in self.needs

    @property
    def retrieves(self) -> bool:
        return self.reads_documents and not self.reference and self.name != LONG_CONTEXT

    @property
    def remote(self) -> bool:
        return REMOTE in self.needs

    @property
    def trained(self) -> bool:
        return self.fit in (fit_finetune, fit_finetune_with_retrieval, fit_aligned)

    @property
    def searches_examples(self) -> bool:
        return self.fit is fit_prompt

    @property
    def about_pairs(self) -> bool:
        return PREFERENCES in self.needs


KINDS = {
    kind.name: kind
    for kind in (
        PathKind("prompt", fit_prompt),
        PathKind("api", fit_prompt, needs=(REMOTE,)),
        PathKind("rag", fit_retrieval, needs=(DOCUMENTS,)),
        PathKind("api+rag", fit_retrieval, needs=(REMOTE, DOCUMENTS)),
        PathKind(LONG_CONTEXT, fit_long_context, needs=(DOCUMENTS,)),
        PathKind("finetune", fit_finetune),
        PathKind("finetune+rag", fit_finetune_with_retrieval, needs=(DOCUMENTS,)),
        PathKind("finetune+dpo", fit_aligned, needs=(PREFERENCES,)),
        PathKind(CLOSED_BOOK, fit_closed_book, needs=(DOCUMENTS,), reference=True),
        PathKind(ORACLE, fit_oracle, needs=(DOCUMENTS,), reference=True),
    )
}  # in the order in which they are fitted: a later path may use what an earlier one chose


def applicable_paths(config: ChooseConfig, task: Task) -> list[str]:
    """The paths to measure. UsageError for one that the task or settings do not allow."""
    lacking = _lacking(config, task)
    missing = {
        name: next(lacking[need] for need in kind.needs if need in lacking)
        for name, kind in KINDS.items()
        if any(need in lacking for need in kind.needs)
    }
    for name in config.paths:
        if name in missing:
            what, hint = missing[name]
            raise UsageError(f"path {name} cannot be measured: {what}", where="--paths", hint=hint)
    paths = [name for name, kind in KINDS.items() if name not in missing and not kind.reference]
    return [name for name in paths if not config.paths or name in config.paths]


def _lacking(config: ChooseConfig, task: Task) -> dict[str, tuple[str, str]]:
    """What the task and the settings do not give, with a sentence and a hint for each."""
    lacking: dict[str, tuple[str, str]] = {}
    if config.api is None:
        lacking[REMOTE] = ("no remote model is named", "give --api and --api-base-url")
    if task.documents is None:
        lacking[DOCUMENTS] = ("the task has no documents", f"put them into {task.folder / 'documents'}")
    if task.preferences is None:
        record = "put pairs of a better and a worse answer there: `sartor prefer` records them"
        lacking[PREFERENCES] = (f"there is no {task.folder / 'preferences.jsonl'}", record)
    return lacking
