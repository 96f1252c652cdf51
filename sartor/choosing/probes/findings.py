"""What the probes found, as choice.json has it; needs no model."""

import json
from pathlib import Path
from typing import Any

from sartor.base.console import format_seconds
from sartor.choosing.choose import PROBES
from sartor.choosing.labels import title

FOLDER = "probes"
ONLY_IN_THE_FILE = ("rows", "left_out")


def result_file(run: Path, name: str, probe: str) -> Path:
    """Where the result of a probe of the path of this name is."""
    return run / FOLDER / name / f"{probe}.json"


def findings(run: Path, name: str) -> dict[str, Any]:
    """By probe, without the single rows; a probe that was not made of this path is missing.

    Of `unanswerable` there are two kinds: the task's own questions that its documents do not answer (`own`), and those
    whose document was deleted by the probe of freshness (`removed`).
    """
    files = {probe: result_file(run, name, probe) for probe in PROBES}
    found = {
        probe: {key: value for key, value in _found(file).items() if key not in ONLY_IN_THE_FILE}
        for probe, file in files.items()
        if file.is_file()
    }
    if "freshness" in found:
        found["freshness"]["sentence"] = _sentence(run, name, found["freshness"])
    if "robustness" in found and found.get("freshness", {}).get("follows"):
        own, removed = (
            {key: part[key] for key in ("n", "abstained")}
            for part in (found["robustness"]["unanswerable"], found["freshness"]["deleted"])
        )
        total = {key: own[key] + removed[key] for key in own}
        found["robustness"]["unanswerable"] |= total | {"own": own, "removed": removed}
    return found


def _sentence(run: Path, name: str, found: dict[str, Any]) -> str:
    """Made anew each time: what a clock says stands in its own fields."""
    edited, who = found["edited"], title(name)
    if found["follows"]:
        right = f"{who} told {edited['right_after']} of {edited['n']} changed facts as they are now"
        if not edited["right_after"]:
            return f"{right} and {edited['old_after']} as they were."
        after = f"{format_seconds(edited['seconds'])} after the change (median, answering included)"
        return f"{right}, {after}, and {edited['old_after']} as they were."
    only = f"{who} reads no documents: a changed fact reaches its answers only"
    if not found["trained"]:
        return f"{only} if someone rewrites its prompt."
    fitted = json.loads((run / "paths" / name / "fitted.json").read_text(encoding="utf-8"))
    return f"{only} by training again, which took {format_seconds(fitted['setup_seconds'])}."


def _found(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))["found"]
    return found
