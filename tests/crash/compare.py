"""Whether a run that was crashed and resumed is the uninterrupted run."""

import json
from pathlib import Path
from typing import Any

from sartor.base import manifest
from sartor.base.run_folder import RunFolder

MEASURED_TIMES = {"seconds", "timing_bytes"}
NOT_COMPARED = {
    ".lock",
    "timing.jsonl",
    "report.html",  # shows times
    manifest.NAME,  # holds hashes of files with times in them; it is checked instead
}


def differences(run: Path, expected: Path) -> list[str]:
    """What is not byte for byte as in the run `expected`, measured times apart. Of the checkpoints the last one is
    compared; the others are only to be whole, because a run that was stopped saves at other steps, too."""
    found = _contents(run), _contents(expected)
    wrong = [f"{name} is missing" for name in found[1].keys() - found[0].keys()]
    wrong += [f"{name} should not be there" for name in found[0].keys() - found[1].keys()]
    wrong += [f"{name} differs" for name in found[0].keys() & found[1].keys() if found[0][name] != found[1][name]]
    for step in RunFolder(run).steps():
        problem = manifest.problem_with(run / "checkpoints" / f"step-{step}")
        wrong += [f"checkpoint {step}: {problem}"] if problem else []
    return sorted(wrong)


def order_differences(log: Path, expected: Path) -> list[str]:
    """Steps whose rows, each time they were taken, were not those of the uninterrupted run."""
    wanted = dict(_lines(expected))
    if not wanted:
        return ["the uninterrupted run logged no rows"]
    wrong = {step for step, rows in _lines(log) if wanted.get(step) != rows}
    missing = wanted.keys() - {step for step, _ in _lines(log)}
    return [f"other rows at step {step}" for step in sorted(wrong)] + [f"step {step} never seen" for step in missing]


def _lines(log: Path) -> list[tuple[int, list[str]]]:
    return [(step, rows) for step, rows in map(json.loads, log.read_text().splitlines())]


def _contents(run: Path) -> dict[str, bytes]:
    last = max(RunFolder(run).steps(), default=0)
    names = {path.relative_to(run) for path in run.rglob("*") if path.is_file() and path.name not in NOT_COMPARED}
    return {
        str(name): _without_times(run / name)
        for name in names
        if name.parts[0] != "checkpoints" or name.parts[1] == f"step-{last}"
    }


def _without_times(path: Path) -> bytes:
    content = path.read_bytes()
    return json.dumps(_dropped(json.loads(content))).encode() if path.suffix == ".json" else content


def _dropped(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _dropped(inner) for key, inner in value.items() if key not in MEASURED_TIMES}
    return [_dropped(inner) for inner in value] if isinstance(value, list) else value
