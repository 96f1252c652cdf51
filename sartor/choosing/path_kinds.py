"""The ways of answering that are measured: what each needs, and how it is fitted."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sartor.base.errors import UsageError
from sartor.choosing.aligning import fit_aligned
from sartor.choosing.budget import Share
from sartor.choosing.choose import ChooseConfig
from sartor.choosing.prompting import Prompt, Tried, fit_prompt, prompt_candidates
from sartor.choosing.retrieving import fit_retrieval
from sartor.choosing.training import fit_finetune, fit_finetune_with_retrieval
from sartor.choosing.workshop import Workshop
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
    def retrieves(self) -> bool:
        return DOCUMENTS in self.needs

    @property
    def about_pairs(self) -> bool:
        return PREFERENCES in self.needs


def _fit_prompt(shop: Workshop, name: str, folder: Path, share: Share) -> tuple[PathConfig, list[Tried]]:
    candidates = prompt_candidates(shop.brief, shop.config.seed)
    prompt, tried = fit_prompt(shop.brief, shop.model(name), share, candidates, name)
    return shop.path_config(name, instruction=prompt.instruction, examples=list(prompt.examples)), tried


def _fit_retrieval(shop: Workshop, name: str, folder: Path, share: Share) -> tuple[PathConfig, list[Tried]]:
    plain = Prompt(shop.brief.task.instruction, (), "instruction, 0 examples")
    best = shop.prompt_of("api" if name == "api+rag" else "prompt")
    chosen, tried = fit_retrieval(shop.brief, shop.model(name), shop.library, plain, best, share, name)
    config = shop.path_config(
        name,
        instruction=chosen.prompt.instruction,
        examples=list(chosen.prompt.examples),
        knowledge=shop.knowledge(chosen.passages),
    )
    return config, [*shop.library.tried, *tried]


def _fit_finetune(shop: Workshop, name: str, folder: Path, share: Share) -> tuple[PathConfig, list[Tried]]:
    result, tried = fit_finetune(shop.brief, folder, shop.config.base, share, shop.config.seed)
    return shop.path_config(name, adapter=_relative(result.trained, folder)), tried


def _fit_finetune_with_retrieval(
    shop: Workshop, name: str, folder: Path, share: Share
) -> tuple[PathConfig, list[Tried]]:
    number = shop.passages
    result, rates = fit_finetune_with_retrieval(
        shop.brief, folder, shop.config.base, shop.library, number, share, shop.config.seed
    )
    config = shop.path_config(name, adapter=_relative(result.trained, folder), knowledge=shop.knowledge(number))
    return config, [*shop.library.tried, *rates]


def _fit_aligned(shop: Workshop, name: str, folder: Path, share: Share) -> tuple[PathConfig, list[Tried]]:
    assert shop.pairs is not None
    result, tried = fit_aligned(shop.brief, folder, shop.config.base, shop.pairs, share, shop.config.seed)
    return shop.path_config(name, adapter=_relative(result.trained, folder)), tried


def _relative(trained: Path, folder: Path) -> str:
    return trained.relative_to(folder).as_posix()


KINDS = {
    kind.name: kind
    for kind in (
        PathKind("prompt", _fit_prompt),
        PathKind("api", _fit_prompt, needs=(REMOTE,)),
        PathKind("rag", _fit_retrieval, needs=(DOCUMENTS,)),
        PathKind("api+rag", _fit_retrieval, needs=(REMOTE, DOCUMENTS)),
        PathKind("finetune", _fit_finetune),
        PathKind("finetune+rag", _fit_finetune_with_retrieval, needs=(DOCUMENTS,)),
        PathKind("finetune+dpo", _fit_aligned, needs=(PREFERENCES,)),
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
    return [name for name in KINDS if name not in missing and (not config.paths or name in config.paths)]


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
