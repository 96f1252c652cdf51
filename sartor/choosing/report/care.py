"""What a careful reader should know before believing the numbers, the gravest first."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sartor.choosing.labels import PAIRS
from sartor.choosing.report.lines import Line, line_named
from sartor.data.leaks import LeakReport
from sartor.reporting.figures import number, texts

FEW_QUESTIONS = 50
MOST_IDS = 10
Told = Collection[tuple[str, Any]]  # kind and path of what the search for false measurements found
NO_LEAKS = (LeakReport((), ()).text(), LeakReport((), ()).text(among=PAIRS))


@dataclass(frozen=True)
class Caution:
    """`what` is wrong, what to do about it (`hint`), and on which test rows it was seen. `found` tells that a search
    for false measurements came upon it, `limit` that a path breaks a limit."""

    what: str
    hint: str = ""
    rows: tuple[str, ...] = ()
    more_rows: int = 0
    found: bool = False
    limit: bool = False


def cautions(choice: dict[str, Any], lines: Sequence[Line]) -> list[Caution]:
    """Found false measurements come first, those of the path that the verdict names before the others; those of
    references, which nobody chooses, come last."""
    how = choice.get("how") or {}
    warnings = sorted(choice.get("warnings") or [], key=lambda warning: not _about_marked(warning, lines))
    of_references = [warning for warning in warnings if _about_reference(warning, lines)]
    named = [warning for warning in warnings if warning not in of_references]
    told = {(str(warning.get("kind")), warning.get("path")) for warning in warnings}
    noted = list(_about_rows(choice, how, told))
    noted += [caution for line in _marked_first(lines) for caution in _about(line, told)]
    noted.sort(key=lambda caution: caution.limit)  # the paths' list says which are ruled out, too
    found, last = ([_found(warning, lines) for warning in some] for some in (named, of_references))
    return [*found, *noted, *last]


def _marked_first(lines: Sequence[Line]) -> list[Line]:
    return sorted(lines, key=lambda line: not line.marked)


def checked(choice: dict[str, Any]) -> str:
    """That the search for false measurements found nothing; empty where it was not made or did find something."""
    if choice.get("warnings") != []:
        return ""
    return "Searched for false measurements (cut or repeated prompts, leaks, judges that disagree …): none found."


def test_touched(choice: dict[str, Any]) -> int | None:
    touched = choice.get("test_touched", (choice.get("how") or {}).get("test_touched"))
    return touched if isinstance(touched, int) else None


def _about_marked(warning: dict[str, Any], lines: Sequence[Line]) -> bool:
    line = line_named(lines, warning.get("path"))
    return line is None or line.marked


def _about_reference(warning: dict[str, Any], lines: Sequence[Line]) -> bool:
    line = line_named(lines, warning.get("path"))
    return line is not None and line.reference


def _found(warning: dict[str, Any], lines: Sequence[Line]) -> Caution:
    line = line_named(lines, warning.get("path"))
    rows = texts(warning.get("rows"))
    what = str(warning.get("what") or str(warning.get("kind") or "").replace("_", " "))
    about = line.title if line else str(warning.get("path") or "")
    named = about and not what.lower().startswith((about.lower(), str(warning.get("path")).lower()))
    return Caution(
        f"{about}: {what}" if named else what,
        str(warning.get("hint") or ""),
        tuple(rows[:MOST_IDS]),
        max(0, len(rows) - MOST_IDS),
        found=True,
    )


def _about_rows(choice: dict[str, Any], how: dict[str, Any], told: Told) -> Iterator[Caution]:
    """What the rows make doubtful, where the search for false measurements has not told it."""
    leaks_told = any(kind == "leak" for kind, _ in told)  # of rows to learn from; nothing searches the pairs
    for leaks in (None if leaks_told else how.get("leaks"), how.get("pair_leaks")):
        if leaks is not None and leaks not in NO_LEAKS:
            counts = " ".join(line for line in leaks.splitlines() if not line.startswith(" "))
            yield Caution(f"{counts} Exact copies were kept out of fitting; near ones may make scores too high.")
    touched = test_touched(choice)
    if touched is not None and touched > 1:
        yield Caution(
            f"The test questions were used {touched} times; a choice repeated on them is less sure "
            "than its intervals say."
        )
    if (how.get("rows_test") or FEW_QUESTIONS) < FEW_QUESTIONS:
        yield Caution(f"There are only {how['rows_test']} test questions, so intervals are wide.")


def _about(line: Line, told: Told) -> Iterator[Caution]:
    path = line.record
    if line.marked and path.get("bytes_sent"):
        yield Caution(f"{line.title} sends every question to {', '.join(texts(path.get('hosts'))) or 'another host'}.")
    if line.marked and "finetune" in line.name and not path.get("seeds"):
        yield Caution(
            f"{line.title} was trained once, so how much of its score is the luck of that training is not known.",
            "`--seeds 3` trains it again and counts that in.",
        )
    if line.failed:
        yield Caution(f"{line.title} failed and was not measured: {line.failed}")
    yield from (Caution(f"{line.title} is ruled out: {reason}", limit=True) for reason in line.ruled_out)
    if path.get("unscored"):
        yield Caution(f"{line.title}: {path['unscored']:,} answers could not be scored{_bounded(path)}.")
    share = number(path.get("truncated_replies"))
    if share and ("answer_cut", path["name"]) not in told:
        yield Caution(f"{line.title}: {100 * share:.1f} % of replies were cut off by the length limit.")


def _bounded(path: dict[str, Any]) -> str:
    """What the score may be, whatever the unscored answers are worth."""
    low, high = (number(bound) for bound in path.get("bounds") or (None, None))
    if low is None or high is None:
        return ""
    return f"; whatever they are worth, the score is from {100 * low:.1f} to {100 * high:.1f} points"
