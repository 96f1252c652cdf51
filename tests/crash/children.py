"""Child processes that do one piece of work and can be stopped, killed or watched at any moment.

They are forked from a parent which has imported everything and computed nothing (no torch threads), so that starting
one takes milliseconds instead of the seconds of a command's imports.
"""

import gc
import importlib
import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import sartor
from sartor.cli.main import main
from tests.crash import system_calls
from tests.crash.system_calls import After, Before

PRELOADED = (
    "sartor.cli.finetune",
    "sartor.cli.reward",
    "sartor.cli.dpo",
    "sartor.cli.ppo",
    "sartor.recipes.examples",
    "sartor.recipes.reward_stage",
    "sartor.recipes.dpo_stage",
    "sartor.recipes.rl_methods",
    "sartor.recipes.training",
    "sartor.train.checkpoint",
    "sartor.generation.local",
    "rich.console",
    "torch._dynamo",
    "torch.optim.adamw",
    "transformers.models.llama.modeling_llama",
    "transformers.models.llama.configuration_llama",
    "transformers.models.auto.tokenization_auto",
    "transformers.models.auto.modeling_auto",
    "transformers.tokenization_utils_tokenizers",
)
SECONDS_ALLOWED = 120.0
ESCAPED_EXIT_CODE = 99
DEEPEST_GENERATION = 2  # a child may have children of its own, and those none
_generation = 0

Work = Callable[[], int | None]
"""What a child does; None is exit code 0."""


@dataclass(frozen=True)
class Ended:
    """How a child ended: exit code (negative: signal), what it said on stderr, and how long it took."""

    code: int
    said: str
    seconds: float


class Child:
    """`work` in a forked process in `folder`, where its output goes to the files `out` and `said`."""

    def __init__(self, work: Work, folder: Path, watched: bool = False):
        self.folder, self.started = folder, time.monotonic()
        if _generation >= DEEPEST_GENERATION:
            os._exit(ESCAPED_EXIT_CODE)
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                _become(work, folder, watched)
            finally:
                os._exit(ESCAPED_EXIT_CODE)  # whatever happens, a child never goes on as its parent

    def wait(self, seconds: float = SECONDS_ALLOWED) -> Ended | None:
        """How it ended, None when it has not ended within `seconds`."""
        handle = os.pidfd_open(self.pid)
        try:
            if not select.select([handle], [], [], max(seconds, 0))[0]:
                return None
        finally:
            os.close(handle)
        return self._ended(os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1]))

    def finish(self) -> Ended:
        """How it ended. TimeoutError (and the child is killed) when it does not end."""
        ended = self.wait()
        if ended is None:
            self.kill()
            raise TimeoutError(f"the child did not end within {SECONDS_ALLOWED:g} s: {self._said()}")
        return ended

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def kill(self) -> Ended:
        """SIGKILL."""
        self.signal(signal.SIGKILL)
        ended = self.wait()
        assert ended is not None
        return ended

    def watched(self, folder: Path, before: Before, after: After | None = None) -> Ended:
        """Let it run (it was made with `watched`) with every system call on `folder` seen."""
        try:
            return self._ended(system_calls.watch(self.pid, folder, before, after))
        except BaseException:
            self.kill()
            raise

    def _ended(self, code: int) -> Ended:
        return Ended(code, self._said(), time.monotonic() - self.started)

    def _said(self) -> str:
        said = self.folder / "said"
        return said.read_text(errors="replace") if said.is_file() else ""


def preload() -> None:
    """Import what the commands import. Nothing is computed here."""
    for name in PRELOADED:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()


def command(arguments: Sequence[str], prepare: Callable[[], None] | None = None) -> Work:
    """The work of `sartor ARGUMENTS`; `prepare` is called in the child first."""

    def work() -> int:
        sys.argv = [str(Path(sartor.__file__).with_name("__main__.py")), *arguments]
        if prepare is not None:
            prepare()
        return main(arguments)

    return work


def real_command(arguments: Sequence[str]) -> Work:
    """The same in an interpreter of its own."""

    def work() -> None:
        path = os.pathsep.join(filter(None, [str(Path(sartor.__file__).parents[1]), os.environ.get("PYTHONPATH")]))
        os.environ["PYTHONPATH"] = path
        os.execv(sys.executable, [sys.executable, "-m", "sartor", *arguments])

    return work


def _become(work: Work, folder: Path, watched: bool) -> None:
    global _generation
    _generation += 1
    code = 1
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a parent in the background ignores it
        os.chdir(folder)
        for descriptor, name in ((1, "out"), (2, "said")):
            file = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
            os.dup2(file, descriptor)
            os.close(file)
        sys.stdout, sys.stderr = (os.fdopen(d, "w", buffering=1, closefd=False) for d in (1, 2))
        if watched:
            system_calls.watch_me()
        code = work() or 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
