"""The campaign's own tools see, stop and fail what they claim to, and would notice a save that does not sync."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.crash.system_calls import WHY_NOT

REPOSITORY = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))

PROGRAM = """
import errno, json, os, shutil, signal, sys
from pathlib import Path
os.environ["OMP_NUM_THREADS"] = "1"
from tests.crash.children import Child
from tests.crash.power_loss import problems_of, promised_step, recorded, mark_saves, write_state
from tests.crash.saving import save_steps
from tests.crash.system_calls import GO_ON, Verdict
from sartor.base import durable

folder = Path(sys.argv[1])
def work():
    durable.replace_file(folder / "a.txt", "abcdefgh")

seen = []
Child(work, folder, watched=True).watched(folder, lambda call: seen.append(str(call)) or GO_ON)
calls = [each for each in seen if "a.txt" in each or each.startswith("fsync")]

def torn(call):
    due = call.name == "write" and call.paths[0].endswith(".a.txt.new")
    return Verdict(kill=due, half=due)
code = Child(work, folder, watched=True).watched(folder, torn).code
half = (folder / ".a.txt.new").read_text()

failing = Child(work, folder, watched=True).watched(
    folder, lambda call: Verdict(error=errno.ENOSPC if call.name == "fsync" else 0))

def lost(sync):
    place = folder / f"lost-{sync}"
    place.mkdir()
    def unsynced():
        if not sync:
            os.fsync = lambda descriptor: None
        mark_saves(place)
        save_steps(place / "run", [1, 2, 3])
    found = []
    for moment in recorded(Child(unsynced, place, watched=True), place)[1]:
        state = folder / "state"
        state.mkdir()
        write_state(moment.state, state)
        found += problems_of(moment, state / "run")
        shutil.rmtree(state)
    return found

print(json.dumps([calls, code, half, failing.code, failing.said, lost(True), lost(False)]))
"""


def test_what_is_watched_killed_and_failed(tmp_path: Path) -> None:
    """In a process of its own, because it forks."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    calls, code, half, failed, said, synced, unsynced = json.loads(done.stdout)
    kinds = [call.split()[0] for call in calls if not call.endswith(("said", "out"))]
    assert [kind for kind in kinds if kind != "open"] == ["write", "fsync", "rename", "fsync"]
    assert (code, half) == (-9, "abcd")
    assert failed == 1 and "the disk is full: 8 B needed" in said
    assert synced == []
    assert any("was promised" in problem for problem in unsynced)
