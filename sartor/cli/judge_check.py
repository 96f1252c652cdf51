"""`sartor judge-check`."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from sartor.base.errors import UsageError
from sartor.cli.options import add_common, whole_number
from sartor.cli.output import print_json

if TYPE_CHECKING:
    from sartor.recipes.judge_check import Check

DISAGREES_EXIT_CODE = 4
MOST_SHOWN = 10
LONGEST_SHOWN = 100


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "answers",
        metavar="RUN|ANSWERS.jsonl",
        type=Path,
        help="a run of `sartor choose`, or a file of answers that `sartor evaluate --out` kept",
    )
    parser.add_argument(
        "--labels",
        type=Path,
        metavar="FILE",
        help="what people say of the answers: rows with `label` (1 right, 0 wrong) and `key`, or `id` and `path`",
    )
    parser.add_argument(
        "--sheet",
        type=Path,
        metavar="FILE",
        help="write answers to label to a new .csv or .jsonl file instead; it does not tell who gave them",
    )
    parser.add_argument("--rows", type=whole_number(1), help="answers on the sheet (default: 50)")
    parser.add_argument(
        "--task",
        metavar="TASK",
        help="score the answers anew with this task's scorer, to try a judge before it is used",
    )
    add_common(parser, json=True)


def run(args: argparse.Namespace) -> int:
    from sartor.base.console import say
    from sartor.recipes.judge_check import check_run

    if args.sheet is not None:
        _write_sheet(args)
        return 0
    if args.rows is not None:
        raise UsageError("only a sheet has rows", where="--rows", hint="add --sheet labels.csv")
    if args.labels is None:
        hint = "write a sheet to fill in with --sheet labels.csv, then give it as --labels"
        raise UsageError("there are no labels to compare with", where="--labels", hint=hint)
    _require_there(args.answers)
    found = check_run(args.answers, args.labels, args.task)
    if args.answers.is_dir() and args.task is None:
        say(f"kept with the run; `sartor choose --rescore {args.answers}` takes it into the report")
    if args.json:
        print_json(found.as_json())
    else:
        _print(found)
    return DISAGREES_EXIT_CODE if found.verdict == "disagrees" else 0


def _write_sheet(args: argparse.Namespace) -> None:
    from sartor.base.console import say
    from sartor.recipes.labels import draw, read_answered, write_sheet

    if args.labels is not None or args.task is not None:
        other = "--labels" if args.labels is not None else "--task"
        raise UsageError(f"--sheet and {other} do not go together", hint="write the sheet, fill it in, then check it")
    _require_there(args.answers)
    drawn = draw(read_answered(args.answers), args.rows or 50)
    write_sheet(args.sheet, drawn)
    say(f"write 1 (right), 0 (wrong) or 0.5 (partly) into the column label, then check with --labels {args.sheet}")
    if args.json:
        print_json({"sheet": str(args.sheet), "rows": len(drawn)})
    else:
        print(f"{len(drawn)} answers to label in {args.sheet}")


def _require_there(source: Path) -> None:
    if not source.exists():
        raise UsageError("there is no such run or file", where=str(source), hint="check the path")


def _print(found: "Check") -> None:
    table = found.table
    print(found.sentence)
    kappa = "not defined (one word only)" if found.kappa is None else f"{found.kappa:.2f}"
    print(f"Cohen's kappa: {kappa}")
    print()
    print(f"{found.labelled} labelled answers   scorer: right   scorer: wrong")
    print(f"people: right  {table.right_right:>20.0f}  {table.right_wrong:>14.0f}")
    print(f"people: wrong  {table.wrong_right:>20.0f}  {table.wrong_wrong:>14.0f}")
    _print_paths(found)
    if found.disagreements:
        print(f"\n{len(found.disagreements)} answers that people and scorer call differently:")
    for each in found.disagreements[:MOST_SHOWN]:
        print(f"  {each.path}, {each.id}: people {each.label:g}, scorer {each.score:g} ({each.where})")
        print(f"    question: {_short(each.question)}")
        print(f"    accepted: {_short(' | '.join(each.accepted))}")
        print(f"    answer:   {_short(each.answer)}")
    if len(found.disagreements) > MOST_SHOWN:
        print(f"  and {len(found.disagreements) - MOST_SHOWN} more; --json has them all")
    left_out = {"unscored answers": found.unscored, "rows without a label": found.labels.blank,
                "labels of answers that are not there": found.labels.unknown}  # fmt: skip
    told = [f"{count:,} {name}" for name, count in left_out.items() if count]
    if told:
        print(f"\nleft out: {', '.join(told)}")


def _print_paths(found: "Check") -> None:
    print("\nscore by the scorer, and as people would score all answers:")
    for name, each in found.paths.items():
        if each.estimate is None or each.low is None or each.high is None:
            by_people = "no label tells"
        else:
            by_people = f"{each.estimate:.3f} [{each.low:.3f}, {each.high:.3f}]"
        how = ", labels of all paths taken together" if each.pooled else ""
        print(f"  {name}: {each.scorer:.3f} -> {by_people} ({each.labelled} of {each.n} answers labelled{how})")


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= LONGEST_SHOWN else line[: LONGEST_SHOWN - 1] + "…"
