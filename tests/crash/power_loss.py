"""R4: the power fails after any system call of a run, and what was not synced is dropped, cut short or zeroed."""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from sartor.base import manifest
from sartor.base.run_folder import RunFolder
from tests.crash.bench import Bench, hushed
from tests.crash.children import Child, Ended
from tests.crash.saving import save_steps
from tests.crash.system_calls import GO_ON, WHY_NOT, Call

DATA = ("kept", "dropped", "cut short", "zeroed")
LOOKS_A_RESUME = 100  # of the command's states, how many are looked at for each from which it is run to its end
MARKS = "marks"
NOT_ON_DISK = (MARKS, "said", "out", "rows.log")
SMALL_DOCUMENTS = ("config.yaml", "environment.json", "certificate.json", "plan.json", "result.json", "README.md")


@dataclass(eq=False)
class File:
    """A file's bytes as every process sees them, and as they surely are on the disk."""

    content: bytes = b""
    synced: bytes = b""

    def after_power_loss(self, data: str) -> bytes:
        if data == "kept" or self.content == self.synced:
            return self.content
        sure = len(self.synced) if self.content.startswith(self.synced) else 0
        if data == "dropped":
            return self.synced
        if data == "cut short":
            return self.content[: (sure + len(self.content)) // 2]
        return self.content[:sure] + bytes(len(self.content) - sure)


@dataclass(eq=False)
class Folder:
    """Names as processes see them, as they surely are on the disk, and the changes in between: each is atomic, and the
    disk may have the first few of a folder's changes or all of them."""

    names: dict[str, "File | Folder"] = field(default_factory=dict)
    synced: dict[str, "File | Folder"] = field(default_factory=dict)
    pending: list[dict[str, "File | Folder | None"]] = field(default_factory=list)

    def apply(self, change: dict[str, "File | Folder | None"]) -> None:
        _apply(self.names, change)
        self.pending.append(change)

    def sync(self) -> None:
        self.synced, self.pending = dict(self.names), []

    def after_power_loss(self, num_changes: int) -> dict[str, "File | Folder"]:
        names = dict(self.synced)
        for change in self.pending[:num_changes]:
            _apply(names, change)
        return names


def _apply(names: dict[str, "File | Folder"], change: dict[str, "File | Folder | None"]) -> None:
    for name, entry in change.items():
        if entry is None:
            names.pop(name, None)
        else:
            names[name] = entry


State = dict[str, bytes | None]
"""What is on a disk: path -> bytes, None for a folder."""


class Disk:
    """A model of the disk under `root`, kept up to date with every system call; all that is there at first is synced.

    Strict: a name is sure only when its folder was synced, a file's bytes only when the file was.
    """

    def __init__(self, root: Path):
        self.root, self.top = root, self._read(root)

    def _read(self, path: Path) -> Folder:
        folder = Folder()
        for item in path.iterdir():
            if item.name in NOT_ON_DISK:
                continue
            content = item.read_bytes() if item.is_file() else b""
            folder.names[item.name] = self._read(item) if item.is_dir() else File(content, content)
        folder.sync()
        return folder

    def note(self, call: Call, result: int) -> bool:
        """Follow `call`; whether it changed anything."""
        places = [Path(path).relative_to(self.root) for path in call.paths if f"{path}/".startswith(f"{self.root}/")]
        if result < 0 or not call.changes or not places or places[0].name in NOT_ON_DISK:
            return False
        place = places[0]
        parent, entry = self._find(place.parent), self._find(place)
        if call.name == "rename":
            target = places[1]
            assert isinstance(parent, Folder) and entry is not None and target.parent == place.parent
            parent.apply({place.name: None, target.name: entry})
        elif call.name in ("unlink", "rmdir"):
            assert isinstance(parent, Folder)
            parent.apply({place.name: None})
        elif call.name == "mkdir":
            assert isinstance(parent, Folder)
            parent.apply({place.name: Folder()})
        elif call.name == "fsync":
            if isinstance(entry, Folder):
                entry.sync()
            elif entry is not None:
                entry.synced = entry.content
        elif call.name in ("open", "write", "truncate"):
            if entry is None:
                entry = File()
                assert isinstance(parent, Folder)
                parent.apply({place.name: entry})
            assert isinstance(entry, File)
            entry.content = (self.root / place).read_bytes()
        else:
            raise AssertionError(f"{call} is not modelled")
        return True

    def _find(self, place: Path) -> "File | Folder | None":
        entry: File | Folder | None = self.top
        for part in place.parts:
            entry = entry.names.get(part) if isinstance(entry, Folder) else None
        return entry

    def states(self) -> Iterator[tuple[str, State]]:
        """What may be on the disk if the power fails now."""
        most = max((len(folder.pending) for folder in _folders(self.top)), default=0)
        for num_changes in range(most + 1):
            for data in DATA:
                state: State = {}
                _collect(self.top, "", num_changes, data, state)
                yield f"{num_changes} changes of names, data {data}", state


def _folders(folder: Folder) -> Iterator[Folder]:
    yield folder
    for entry in {*folder.names.values(), *folder.synced.values()}:
        if isinstance(entry, Folder):
            yield from _folders(entry)


def _collect(folder: Folder, prefix: str, num_changes: int, data: str, state: State) -> None:
    for name, entry in folder.after_power_loss(num_changes).items():
        path = f"{prefix}{name}"
        if isinstance(entry, Folder):
            state[path] = None
            _collect(entry, path + "/", num_changes, data, state)
        else:
            state[path] = entry.after_power_loss(data)


@dataclass
class Moment:
    """A state of the disk, when it may come about, and the newest step whose save had returned by then."""

    state: State
    about: str
    promised: int | None


def recorded(child: Child, folder: Path) -> tuple[Ended, list[Moment]]:
    """Let the watched child run and collect every different state that a power failure could leave below `folder`."""
    disk = Disk(folder)
    found: dict[int, Moment] = {}
    number = 0

    def after(call: Call, result: int) -> None:
        nonlocal number
        if not disk.note(call, result):
            return
        number += 1
        promised = promised_step(folder)
        for what, state in disk.states():
            key = hash(frozenset(state.items()))
            if key not in found or (promised or 0) > (found[key].promised or 0):
                found[key] = Moment(state, f"power lost after call {number} ({call}), {what}", promised)

    ended = child.watched(folder, lambda call: GO_ON, after)
    return ended, list(found.values())


def mark_saves(folder: Path) -> None:
    """Called in the child: note each step whose save has returned, which is a promise that it is there."""
    original = RunFolder.save_checkpoint
    descriptor = os.open(folder / MARKS, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def save_checkpoint(run: RunFolder, step: int, *arguments: object, **options: object) -> object:
        saved = original(run, step, *arguments, **options)  # type: ignore[arg-type]
        os.write(descriptor, f"{step}\n".encode())
        return saved

    RunFolder.save_checkpoint = save_checkpoint  # type: ignore[method-assign,assignment]


def promised_step(folder: Path) -> int | None:
    """The last step whose save has returned."""
    marks = folder / MARKS
    steps = marks.read_text().split() if marks.is_file() else []
    return int(steps[-1]) if steps else None


def power_lost(bench: Bench) -> None:
    """R4: every state of a first save and of saves with rotation is looked at, and many of the whole command; from some
    of these the same command is run to its end."""
    if WHY_NOT is not None:
        bench.skipped.append(WHY_NOT)
        return

    def first(folder: Path) -> Callable[[], None]:
        return lambda: (mark_saves(folder), save_steps(folder / "run", [1]))[-1]

    def later(folder: Path) -> Callable[[], None]:
        Child(lambda: save_steps(folder / "run", [1, 2]), folder).finish()
        return lambda: (mark_saves(folder), save_steps(folder / "run", [3, 4]))[-1]

    for about, prepare in (("the first save", first), ("saves with rotation", later)):
        with bench.one_try(about) as folder:
            _look_at_all(bench, _recorded(bench, Child(prepare(folder), folder, watched=True), folder))
    moments: list[Moment] = []
    with bench.one_try("the command") as folder:
        child = bench.start(folder, watched=True, prepare=lambda: mark_saves(folder))
        moments = _recorded(bench, child, folder)
        _look_at_all(bench, bench.draw.sample(moments, min(LOOKS_A_RESUME * bench.num_tries, len(moments))))
    for moment in bench.draw.sample(moments, min(bench.num_tries, len(moments))):
        with bench.one_try(f"the same command again, {moment.about}") as folder:
            write_state(moment.state, folder)
            bench.check_finishes(folder, rows_logged=False)


def _recorded(bench: Bench, child: Child, folder: Path) -> list[Moment]:
    ended, moments = recorded(child, folder)
    bench.check(ended.code == 0, f"ended with {ended.code}: {ended.said[-2000:]}")
    bench.check(moments, "no change of the disk was seen")
    return moments


def _look_at_all(bench: Bench, moments: list[Moment]) -> None:
    for moment in moments:
        with bench.one_try(moment.about) as folder:
            write_state(moment.state, folder)
            bench.failures += problems_of(moment, folder / "run")


def write_state(state: State, folder: Path) -> None:
    for name, content in sorted(state.items(), key=lambda item: item[0]):
        if content is None:
            (folder / name).mkdir(exist_ok=True)
        else:
            (folder / name).write_bytes(content)


def problems_of(moment: Moment, run: Path) -> list[str]:
    """What is wrong with the reopened run."""
    if not run.is_dir():
        return [] if moment.promised is None else [f"the run folder is lost, step {moment.promised} was promised"]
    problems = [f"{name} is torn" for name in SMALL_DOCUMENTS if (run / name).is_file() and _is_torn(run / name)]
    pointer = run / "latest"
    if pointer.is_file():
        problem = manifest.problem_with(run / "checkpoints" / pointer.read_text().strip())
        problems += [f"latest points at unsynced data: {problem}"] if problem else []
    with hushed() as said, RunFolder.open(run) as folder:
        newest = folder.newest_checkpoint()
        later = [step for step in folder.steps() if newest is None or step > newest.step]
    if moment.promised is not None and (newest is None or newest.step < moment.promised):
        problems.append(f"step {moment.promised} was promised, found {newest}")
    problems += [f"no warning names step {step}" for step in later if f"step-{step} is damaged" not in said.getvalue()]
    if newest is not None:
        needed = json.loads((newest.folder / "progress.json").read_text())["metrics_bytes"]
        there = (run / "metrics.jsonl").stat().st_size if (run / "metrics.jsonl").is_file() else 0
        problems += [f"metrics.jsonl has {there} bytes of {needed}"] if there < needed else []
    litter = [path.name for path in run.rglob(".*") if path.name != ".lock"]
    return problems + ([f"left over: {litter}"] if litter else [])


def _is_torn(path: Path) -> bool:
    content = path.read_bytes()
    if path.suffix == ".json":
        try:
            json.loads(content)
        except ValueError:
            return True
    return not content.endswith(b"\n") or b"\0" in content
