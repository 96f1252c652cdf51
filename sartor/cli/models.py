"""`sartor models` and `sartor models compare`."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sartor.base.errors import SartorError, UsageError
from sartor.cli.options import add_common, real_number, whole_number
from sartor.cli.output import print_json

if TYPE_CHECKING:
    from sartor.recipes.model_facts import ModelFacts
    from sartor.recipes.models_compare import Candidate, Likelihood, ModelsCompared

LEAST_TRAIN_MINUTES = 0.05


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "action", nargs="?", choices=("list", "compare"), default="list", help="what to do (default: list)"
    )
    parser.add_argument("models", nargs="*", metavar="MODEL", help="models to compare, or to tell of")
    parser.add_argument("--data", metavar="ROWS|TASK", help="rows or task folder to compare on: its held-out rows")
    parser.add_argument(
        "--train-minutes",
        type=real_number(LEAST_TRAIN_MINUTES),
        metavar="N",
        help="also train each with LoRA for so long on the other rows, and measure again",
    )
    parser.add_argument("--score", action="store_true", help="also answer and score the task's dev questions")
    parser.add_argument("--seed", type=whole_number(0), default=0, help="of the training (default: 0)")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder of run folders (default: runs)")
    add_common(parser, json=True)


def run(args: argparse.Namespace) -> None:
    if args.action == "compare":
        _compare(args)
    elif args.data or args.train_minutes or args.score:
        raise UsageError(
            "--data, --train-minutes and --score are for a comparison",
            hint="sartor models compare MODEL MODEL --data ROWS",
        )
    else:
        _list(args)


def _list(args: argparse.Namespace) -> None:
    from sartor.base.console import warn
    from sartor.recipes.model_facts import available_bytes, facts, known_models

    available = available_bytes()
    found, problems = ([facts(name) for name in args.models], []) if args.models else known_models(args.runs)
    for problem in problems:
        warn(problem)
    if args.json:
        models = [each.as_dict(available) for each in found]
        print_json({"memory_available_bytes": available, "models": models, "unusable": problems})
        return
    if not found:
        print(f"no model is on this machine: the first command that needs `starter` fetches it; none in {args.runs}")
        return
    header = ("model", "kind", "parameters", "on disk", "context", "template", "licence", "fits here (estimate)")
    _print_table([header, *(_facts_line(each, available) for each in found)])
    for each in found:
        for note in each.notes:
            print(f"{each.name}: {note}")


def _facts_line(each: "ModelFacts", available: int) -> tuple[str, ...]:
    from sartor.base.durable import format_bytes

    return (
        each.name,
        each.kind,
        _count(each.parameters),
        format_bytes(each.disk_bytes),
        "unknown" if each.context_tokens is None else f"{each.context_tokens:,}",
        "yes" if each.chat_template else "no",
        each.licence,
        each.fits(available),
    )


def _compare(args: argparse.Namespace) -> None:
    from sartor.recipes.models_compare import compare_models

    if len(args.models) < 1 or args.data is None:
        raise UsageError(
            "name models and the rows to compare them on",
            hint="sartor models compare starter OTHER --data train.jsonl",
        )
    found = compare_models(args.models, args.data, args.train_minutes, args.score, args.seed)
    if args.json:
        print_json(found.as_dict())
    else:
        _print_comparison(found)
    if all(each.failed for each in found.candidates):
        raise SartorError("no model could be measured", hint="the reasons are above")


def _print_comparison(found: "ModelsCompared") -> None:
    measured = [each for each in found.candidates if each.failed is None]
    columns = {
        "model": [each.name for each in measured],
        "bits/byte": [_bits(each.before) for each in measured],
        "behind the best [95 %]": [_behind(each.before) for each in measured],
        "nats/token": [f"{each.nats_per_token:.3f}" for each in measured],
    }
    if any(each.after for each in measured):
        columns |= {
            "after LoRA": [_bits(each.after) for each in measured],
            "behind then [95 %]": [_behind(each.after) for each in measured],
            "steps": [str(each.training_steps) for each in measured],
        }
    if any(each.score is not None for each in measured):
        columns["score"] = [_score(each) for each in measured]
    columns |= _costs(measured)
    _print_table([tuple(columns), *zip(*columns.values(), strict=True)])
    print(
        f"\n{found.rows} held-out rows, {found.answer_bytes:,} bytes of answers. Fewer bits a byte are better; "
        "only they compare between tokenizers. Limits that hold 0: not told apart from the best."
    )
    for each in found.candidates:
        if each.failed is not None:
            print(f"{each.name}: failed: {each.failed}")
        for note in each.facts.notes if each.facts else ():
            print(f"{each.name}: {note}")


def _costs(measured: Sequence["Candidate"]) -> dict[str, list[str]]:
    from sartor.base.durable import format_bytes

    known = [each.facts for each in measured if each.facts is not None]
    costs = {
        "reads tok/s": [f"{each.prefill_tokens_per_second:,.0f}" for each in measured],
        "writes tok/s": [f"{each.decode_tokens_per_second:,.0f}" for each in measured],
        "peak memory": [format_bytes(each.peak_bytes or 0) for each in measured],
    }
    if any(each.training_peak_bytes for each in measured):
        costs["in training"] = [format_bytes(each.training_peak_bytes or 0) for each in measured]
    return costs | {
        "parameters": [_count(each.parameters) for each in known],
        "on disk": [format_bytes(each.disk_bytes) for each in known],
        "licence": [each.licence for each in known],
    }


def _bits(found: "Likelihood | None") -> str:
    return "-" if found is None else f"{found.bits_per_byte:.3f}"


def _behind(found: "Likelihood | None") -> str:
    if found is None:
        return "-"
    return "best" if found.behind == 0 == found.high else f"{found.behind:+.3f} [{found.low:+.3f}, {found.high:+.3f}]"


def _score(each: "Candidate") -> str:
    before = "-" if each.score is None else f"{each.score:.3f}"
    return before if each.trained_score is None else f"{before} -> {each.trained_score:.3f}"


def _count(number: int) -> str:
    """`135 M` or `1.2 B`."""
    if number >= 1e9:
        return f"{number / 1e9:.1f} B"
    return f"{number / 1e6:.0f} M" if number >= 1e6 else f"{number:,}"


def _print_table(rows: Sequence[tuple[str, ...]]) -> None:
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
