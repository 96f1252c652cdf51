"""R7: whatever happens to any file of a checkpoint is found by the manifest, and an older checkpoint takes over."""

import random
import shutil
from pathlib import Path

from sartor.base import manifest
from sartor.base.run_folder import RunFolder
from tests.crash.bench import Bench, hushed

KINDS = ("flip", "truncate", "zero", "swap", "remove", "extend", "of another step")
RESUMES_SHARE = 0.02


def damaged(bench: Bench) -> None:
    """R7: one damage to one file of the newest checkpoint a try; after some of them the same command is run to its
    end, with the newest or with every checkpoint damaged."""
    template = bench.folder / "unfinished"
    shutil.copytree(bench.world.reference / "run", template / "run")
    for made_at_the_end in ("result.json", "README.md", "adapter", "model"):
        path = template / "run" / made_at_the_end
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    num_resumes = max(2, int(RESUMES_SHARE * bench.num_tries))
    for number in range(bench.num_tries):
        with bench.one_try(f"damage {number}") as folder:
            shutil.copytree(template, folder, dirs_exist_ok=True)
            run = folder / "run"
            older, newest = RunFolder(run).steps()[-2:]
            what = damage(run / "checkpoints" / f"step-{newest}", run / "checkpoints" / f"step-{older}", bench.draw)
            problem = manifest.problem_with(run / "checkpoints" / f"step-{newest}")
            bench.check(problem, f"{what} was not found")
            with hushed() as said:
                found = RunFolder(run).newest_checkpoint()
            bench.check(found is not None and found.step == older, f"{what}: {found} instead of step {older}")
            bench.check(
                f"step-{newest} is damaged and passed over" in said.getvalue(), f"{what}: said {said.getvalue()}"
            )
            if number < num_resumes:
                if number % 2:
                    (run / "checkpoints" / f"step-{older}" / "progress.json").unlink()
                bench.check_finishes(folder, rows_logged=False)


def damage(folder: Path, other: Path, draw: random.Random) -> str:
    """Change something in `folder`, a checkpoint as `other` is one; what was done."""
    while True:
        kind, victim = draw.choice(KINDS), draw.choice(sorted(path for path in folder.iterdir() if path.is_file()))
        before = victim.read_bytes()
        content = bytearray(before)
        if kind == "flip":
            content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        elif kind == "truncate":
            del content[draw.randrange(len(content)) :]
        elif kind == "zero":
            start = draw.randrange(len(content))
            end = draw.randrange(start, len(content)) + 1
            content[start:end] = bytes(end - start)
        elif kind == "extend":
            content += draw.randbytes(draw.randrange(1, 9))
        elif kind == "of another step":
            content = bytearray((other / victim.name).read_bytes())
        elif kind == "swap":
            second = draw.choice(sorted(path for path in folder.iterdir() if path.is_file()))
            content = bytearray(second.read_bytes())
            if content != before:
                second.write_bytes(before)
        if kind == "remove":
            victim.unlink()
        elif content != before:
            victim.write_bytes(content)
        else:
            continue
        return f"{kind} {victim.name}"
