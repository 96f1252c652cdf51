"""`sartor choose` killed at any moment, the same command again: the same answers, choice and report as without.

What a clock says (seconds, and the energy and money that follow from them) differs between any two runs. So what a run
wrote is compared in two steps, both byte for byte: deciding again from its own files changes none of it; and decided
again with one value for all that clocks say, it is what the uninterrupted run comes to.
"""

import json
import signal
from pathlib import Path
from typing import Any

import sartor.choosing.decide  # noqa: F401  imported before children are forked, which then start at once
import sartor.choosing.fitting.course  # noqa: F401
from sartor.models import hub
from tests import tiny_folders
from tests.crash.bench import Bench
from tests.crash.children import Child, Ended, command
from tests.crash.system_calls import GO_ON, WHY_NOT, Call, Verdict

RUN = "run"
PATHS = ("prompt", "rag", "finetune")
OPTIONS = ("--paths", *PATHS, "--budget", "1h")  # time enough for all that can be tried
KILLED_AT_A_CALL = 3  # every so many tries the kill comes at a change of a file, before it or in its middle
KILLED_TWICE = 4  # every so many tries the run that goes on is killed, too
SECONDS_ALLOWED = 300.0
CLOCK_WORDS = ("seconds", "latency_p50_s", "latency_p95_s", "cost_per_1k", "energy_wh", "carbon_g", "setup_cost")
SAME = 1.0


def killed_anywhere(bench: Bench) -> None:
    """SIGKILL at moments drawn evenly from the uninterrupted run's duration and at changes of files drawn from all."""
    inputs, reference = bench.folder / "inputs", bench.folder / "reference"
    inputs.mkdir()
    reference.mkdir()
    _made(Child(lambda: make_inputs(inputs), inputs))
    seconds, calls = _reference(inputs, reference)
    if problems := not_as_decided(inputs, reference):
        raise RuntimeError(f"the uninterrupted run is not what its files say: {problems}")
    expected = _settled(inputs, reference)
    while bench.tries < bench.num_tries:
        number = bench.tries
        at_call = bench.draw.randrange(1, calls) if calls and number % KILLED_AT_A_CALL == 1 else 0
        moment, half = bench.draw.uniform(0, seconds), bench.draw.random() < 0.5
        about = f"killed at change {at_call} of {calls}" if at_call else f"killed after {moment:.3f} of {seconds:.3f} s"
        with bench.one_try(about) as folder:
            ended = _killed_at_call(inputs, folder, at_call, half) if at_call else _killed(inputs, folder, moment)
            if ended.code != -signal.SIGKILL:  # quicker than the uninterrupted one was
                bench.tries -= 1
            if number % KILLED_TWICE == KILLED_TWICE - 1:
                _killed(inputs, folder, bench.draw.uniform(0, seconds))
            again = _finished(_start(inputs, folder))
            bench.check(again.code == 0, f"the same command again ended with {again.code}: {again.said[-2000:]}")
            if again.code == 0:
                bench.failures += not_as_decided(inputs, folder)
                bench.failures += _differences(_settled(inputs, folder), expected)


def make_inputs(folder: Path) -> None:
    tiny_folders.language_model(folder / "language")
    tiny_folders.embedding_model(folder / "embedding")
    tiny_folders.task(folder / "task")


def _start(inputs: Path, folder: Path, *options: str, watched: bool = False) -> Child:
    """`sartor choose` in `folder`, with the given options or those of a whole run."""

    def prepare() -> None:
        own = hub.fetch
        hub.fetch = lambda name: inputs / "embedding" if name == "minilm" else own(name)

    whole = (str(inputs / "task"), "--out", RUN, "--base", str(inputs / "language"), *OPTIONS)
    return Child(command(["choose", *(options or whole)], prepare), folder, watched)


def _finished(child: Child) -> Ended:
    return child.wait(SECONDS_ALLOWED) or child.kill()


def _made(child: Child) -> Ended:
    ended = _finished(child)
    if ended.code != 0:
        raise RuntimeError(f"exit code {ended.code}: {ended.said}")
    return ended


def _killed(inputs: Path, folder: Path, moment: float) -> Ended:
    child = _start(inputs, folder)
    return child.wait(moment) or child.kill()


def _killed_at_call(inputs: Path, folder: Path, number: int, half: bool) -> Ended:
    seen = 0

    def before(call: Call) -> Verdict:
        nonlocal seen
        if not _counts(call):
            return GO_ON
        seen += 1
        return Verdict(kill=seen == number, half=seen == number and half and call.name == "write")

    return _start(inputs, folder, watched=True).watched(folder, before)


def _counts(call: Call) -> bool:
    """A change of the run's own files, not of what the child prints."""
    return call.changes and not any(Path(path).name in ("out", "said") for path in call.paths)


def _reference(inputs: Path, folder: Path) -> tuple[float, int]:
    """The uninterrupted run: its seconds and how often it changed files (0 where that cannot be watched)."""
    if WHY_NOT is not None:
        return _made(_start(inputs, folder)).seconds, 0
    calls = 0

    def before(call: Call) -> Verdict:
        nonlocal calls
        calls += _counts(call)
        return GO_ON

    ended = _start(inputs, folder, watched=True).watched(folder, before)
    if ended.code != 0:
        raise RuntimeError(f"exit code {ended.code}: {ended.said}")
    return ended.seconds, calls


def not_as_decided(inputs: Path, folder: Path) -> list[str]:
    """What of a finished run's answers, choice and report is changed by deciding again from its own files."""
    written = _compared(folder / RUN)
    _made(_start(inputs, folder, "--rescore", RUN))
    changed = _differences(written, _compared(folder / RUN))
    return [f"the run itself wrote another {difference}" for difference in changed]


def _settled(inputs: Path, folder: Path) -> dict[str, bytes]:
    """What a finished run comes to when it is decided again with all clocks stopped."""
    run = folder / RUN
    for file in sorted([*run.rglob("*.json"), *(run / "answers").glob("*.jsonl")]):
        if "checkpoints" not in file.parts:
            _stop_clocks(file)
    _made(_start(inputs, folder, "--rescore", RUN))
    return _compared(run)


def _compared(run: Path) -> dict[str, bytes]:
    """Answers, choice and report, and what was trained."""
    files = [run / "choice.json", run / "report.html", run / "report.md", run / "test_touches.jsonl"]
    files += [*(run / "answers").glob("*.jsonl"), *(run / "paths").rglob("path.json")]
    files += [file for file in (run / "paths").rglob("*.safetensors") if "checkpoints" not in file.parts]
    return {str(file.relative_to(run)): file.read_bytes() for file in sorted(files)}


def _stop_clocks(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    lines = text.splitlines() if file.suffix == ".jsonl" else [text]
    stopped = [json.dumps(_stopped(json.loads(line)), ensure_ascii=False) for line in lines]
    file.write_text("\n".join(stopped) + "\n", encoding="utf-8")


def _stopped(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: SAME if isinstance(each, float) and any(word in name for word in CLOCK_WORDS) else _stopped(each)
            for name, each in value.items()
        }
    return [_stopped(each) for each in value] if isinstance(value, list) else value


def _differences(found: dict[str, bytes], expected: dict[str, bytes]) -> list[str]:
    missing = [
        f"{name} is {'missing' if name in expected else 'new'}" for name in sorted(found.keys() ^ expected.keys())
    ]
    both = sorted(found.keys() & expected.keys())
    return missing + [
        f"{name}: {_first(found[name], expected[name])}" for name in both if found[name] != expected[name]
    ]


def _first(one: bytes, other: bytes) -> str:
    place = next((place for place, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]), len(one))
    around = slice(max(place - 60, 0), place + 60)
    return f"{one[around]!r} instead of {other[around]!r}"
