"""Going on with a run: other paths may come in, what is done is kept, and what has changed is done again."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from sartor.base.configuration import build, dump_yaml, load_yaml
from sartor.base.console import say, warn
from sartor.base.durable import clean_leftovers, remove_folder
from sartor.base.environment import describe_environment
from sartor.base.errors import UsageError
from sartor.base.run_folder import RunFolder, require_free
from sartor.choosing.brief import Brief, fingerprints
from sartor.choosing.choose import ChooseConfig
from sartor.choosing.fitting.budget import Budget, parse_budget
from sartor.choosing.fitting.path_kinds import KINDS, applicable_paths
from sartor.choosing.fitting.workshop import Workshop
from sartor.choosing.inputs import changed_inputs, inputs_without_base, path_inputs, require_same_settings
from sartor.choosing.measure import read_answers
from sartor.data.task import Task
from sartor.recipes.runs import noting_failure
from sartor.recipes.training import held_run
from sartor.retrieval.path import FILE_NAME

SETTINGS_FILE = "config.yaml"
TASK_FILE = "task.json"  # what the task's rows were when the run began
SHARE_FILE = "share.json"  # what each path has of the budget, also one that comes in later
REMOTE_SETTINGS = ("api", "api_base_url", "api_key_env", "prices")


def settings_to_go_on(config: ChooseConfig) -> ChooseConfig:
    """The settings, with the remote model that the run at `out` knows where none is named now. UsageError when `out`
    holds something else, or a run with which these settings cannot go on. Asked before any work is done."""
    file = Path(config.out) / SETTINGS_FILE
    if not file.is_file():
        require_free(Path(config.out))
        return config
    try:
        kept = build(ChooseConfig, load_yaml(file))
    except UsageError:
        what = "this run was begun with other settings"
        raise UsageError(what, where=str(file), hint="choose another --out") from None
    require_same_settings(kept, config, file)
    if config.api is None and kept.api is not None:
        return config.model_copy(update={name: getattr(kept, name) for name in REMOTE_SETTINGS})
    return config


@contextmanager
def open_choice(config: ChooseConfig, task: Task) -> Iterator[RunFolder]:
    """The run folder, locked, with the settings it goes on with. UsageError when its task asks something else now."""
    with held_run(config, Path(config.out)) as folder, noting_failure(folder):
        _require_same_rows(folder, task)
        _tell_of_other_machine(folder)
        settings = dump_yaml(config)
        if (folder.path / SETTINGS_FILE).read_text(encoding="utf-8") != settings:
            folder.write_text(SETTINGS_FILE, settings)
        (folder.path / "paths").mkdir(exist_ok=True)
        clean_leftovers(folder.path / "paths")
        yield folder


def paths_of_run(config: ChooseConfig, task: Task) -> list[str]:
    """The paths that are asked for and those that the run has already, in the order in which they are fitted."""
    asked = applicable_paths(config, task)
    fitted = [name for name, kind in KINDS.items() if not kind.reference and _is_fitted(Path(config.out), name)]
    kept = [name for name in fitted if name not in asked]
    for name in list(kept):
        if KINDS[name].remote and not is_measured(Path(config.out), name):
            warn(f"{name}, which this run has, is left out: not all its test rows are answered; --paths {name} goes on")
            kept.remove(name)
            continue
        try:
            applicable_paths(config.model_copy(update={"paths": [name]}), task)
        except UsageError as error:
            warn(f"{name}, which this run has, is left out: {error.what}")
            kept.remove(name)
    if kept:
        say(f"also in this run: {', '.join(kept)}")
    return [name for name in KINDS if name in asked or name in kept]


def _is_fitted(run: Path, name: str) -> bool:
    return (run / "paths" / name / FILE_NAME).is_file()


def asks_service(config: ChooseConfig, brief: Brief, names: Sequence[str]) -> bool:
    """Whether a path that asks the remote model is yet to be fitted, measured or (where probes are named) probed."""
    run, probes = Path(config.out), config.probes not in ([], ["none"])
    return any(
        probes
        or not is_measured(run, name)
        or changed_inputs(run / "paths" / name, inputs_without_base(config, brief, KINDS[name]))
        for name in names
        if KINDS[name].remote
    )


def is_measured(run: Path, name: str) -> bool:
    """Whether the path's answers to the test rows are there, and what they took. What a service did not answer, it may
    answer when it is asked again; what it did answer is kept and not paid for twice."""
    file = run / "answers" / f"{name}.jsonl"
    if not (run / "paths" / name / "measured.json").is_file() or not file.is_file():
        return False
    return not KINDS[name].remote or all(answer["finish"] != "error" for answer in read_answers(file))


def kept_share(folder: RunFolder, config: ChooseConfig, num_paths: int) -> Budget:
    """What each path has to be fitted with: an equal part of the budget, fixed when the run began, so that a path that
    comes in later has no more and no less than the others had."""
    if not (folder.path / SHARE_FILE).is_file():
        share = parse_budget(config.budget, config.machine_price).share_of(num_paths)
        folder.write_json(SHARE_FILE, {"seconds": share.seconds, "dollars": share.dollars})
    kept = folder.read_json(SHARE_FILE)
    return Budget(config.budget, kept["seconds"], kept["dollars"])


def share_in_words(run: Path, budget: str) -> str | None:
    """What each path of the run had; None for a run that did not keep it."""
    file = run / SHARE_FILE
    return str(Budget(budget, **json.loads(file.read_text()))) if file.is_file() else None


def drop_changed(shop: Workshop, names: Sequence[str]) -> None:
    """Take away the paths whose inputs are not what they were, to be fitted and measured again."""
    for name in names:
        folder = shop.path_folder(name)
        changed = changed_inputs(folder, path_inputs(shop, KINDS[name]))
        if changed:
            warn(f"{name}: no longer the same: {', '.join(changed)}; it is fitted and measured again")
            (shop.folder.path / "answers" / f"{name}.jsonl").unlink(missing_ok=True)
            remove_folder(folder)


def _tell_of_other_machine(folder: RunFolder) -> None:
    """Warn where a run goes on on a machine whose times and costs do not compare with those measured so far."""
    before, now = folder.read_json("environment.json"), describe_environment()
    for name in ("processor", "device", "torch_threads"):
        if before.get(name) != now[name]:
            warn(f"this run was begun with another {name.replace('_', ' ')} ({before.get(name)}, now {now[name]}): its "
                 "paths' times and costs do not compare with those of paths that come in now")  # fmt: skip


def _require_same_rows(folder: RunFolder, task: Task) -> None:
    """UsageError when a run is gone on with whose rows have changed: its paths would be about different tasks."""
    now = {"rows": fingerprints(task)["rows"]}
    if not (folder.path / TASK_FILE).is_file():
        folder.write_json(TASK_FILE, now)
    elif folder.read_json(TASK_FILE) != now:
        raise UsageError(
            "the task has changed since this run began: its rows, its instruction or its scorer",
            where=str(task.folder),
            hint=f"choose another --out; for another scorer alone, `sartor choose --rescore {folder.path}`",
        )
