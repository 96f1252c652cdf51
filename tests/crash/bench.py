"""What every test of the campaign works with: the inputs, the uninterrupted run, and a count of what failed."""

import contextlib
import io
import random
import shutil
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.crash.children import Child, Ended, command, real_command
from tests.crash.compare import differences, order_differences
from tests.crash.recipes import Recipe


@dataclass(frozen=True)
class World:
    """Inputs of a recipe and its uninterrupted run in `reference / "run"`, which took `seconds`."""

    recipe: Recipe
    inputs: Path
    reference: Path
    seconds: float

    @staticmethod
    def make(recipe: Recipe, folder: Path) -> "World":
        inputs, reference = folder / f"{recipe.name}-inputs", folder / f"{recipe.name}-reference"
        inputs.mkdir()
        reference.mkdir()
        _must_succeed(Child(lambda: recipe.make_inputs(inputs), inputs).finish())
        log = reference / "rows.log"
        work = command(recipe.arguments(inputs), lambda: recipe.log_rows(log))
        return World(recipe, inputs, reference, _must_succeed(Child(work, reference).finish()).seconds)


class CannotTry(Exception):
    """What a try needs is not to be had on this machine."""


@dataclass
class Bench:
    """One test of one recipe. `tries` counts what was put to the test; `failures` says what was not as it should be,
    `skipped` what cannot be tried here."""

    world: World
    folder: Path
    draw: random.Random
    num_tries: int
    tries: int = 0
    failures: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    @property
    def arguments(self) -> list[str]:
        return self.world.recipe.arguments(self.world.inputs)

    @contextmanager
    def one_try(self, about: str) -> Iterator[Path]:
        """A new folder, counted as a try unless CannotTry is raised; another exception is a failure of the campaign's
        own and is counted, too."""
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        self.tries += 1
        before = len(self.failures)
        try:
            yield folder
        except CannotTry as reason:
            self.tries -= 1
            self.skipped.append(f"{about}: {reason}")
        except Exception as error:
            self.failures.append("".join(traceback.format_exception(error)))
        self.failures[before:] = [f"{about}: {failure}" for failure in self.failures[before:]]
        if len(self.failures) == before:
            shutil.rmtree(folder, ignore_errors=True)

    def start(self, folder: Path, watched: bool = False, prepare: Callable[[], None] | None = None) -> Child:
        """The recipe's command in `folder`."""
        return Child(command(self.arguments, lambda: self._prepare(folder, prepare)), folder, watched)

    def start_real(self, folder: Path) -> Child:
        return Child(real_command(self.arguments), folder)

    def check(self, fine: object, what: str) -> None:
        if not fine:
            self.failures.append(what)

    def check_finishes(self, folder: Path, rows_logged: bool = True) -> None:
        """The same command again runs to its end, and what it leaves is what the uninterrupted run left."""
        ended = self.start(folder).finish()
        self.check(ended.code == 0, f"the same command again ended with {ended.code}: {ended.said[-2000:]}")
        if ended.code == 0:
            self.check_same(folder, rows_logged)

    def check_same(self, folder: Path, rows_logged: bool = True) -> None:
        self.failures += differences(folder / "run", self.world.reference / "run")
        if rows_logged:
            self.failures += order_differences(folder / "rows.log", self.world.reference / "rows.log")

    def check_explained(self, ended: Ended, code: int = 1) -> None:
        """It failed with `code` and one line of explanation, not with a traceback."""
        self.check(ended.code == code, f"exit code {ended.code} instead of {code}: {ended.said[-2000:]}")
        self.check("Traceback" not in ended.said, f"a traceback: {ended.said[-2000:]}")
        self.check("error: " in ended.said, f"no explanation: {ended.said[-500:]}")

    def _prepare(self, folder: Path, prepare: Callable[[], None] | None) -> None:
        self.world.recipe.log_rows(folder / "rows.log")
        if prepare is not None:
            prepare()


@contextmanager
def hushed() -> Iterator[io.StringIO]:
    """What is said on stderr goes into the text that is given."""
    with contextlib.redirect_stderr(io.StringIO()) as said:
        yield said


def _must_succeed(ended: Ended) -> Ended:
    if ended.code != 0:
        raise RuntimeError(f"exit code {ended.code}: {ended.said}")
    return ended
