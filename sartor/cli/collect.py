"""`sartor collect`."""

import argparse
from dataclasses import asdict
from typing import TYPE_CHECKING

from sartor.cli.options import add_common, add_settings, settings_from
from sartor.cli.output import print_json
from sartor.recipes.collect import CollectConfig
from sartor.recipes.collect import run as collect

if TYPE_CHECKING:
    from sartor.data.collecting.report import CollectReport


def add_options(parser: argparse.ArgumentParser) -> None:
    add_settings(parser, CollectConfig, positional=["sources"])
    add_common(parser, json=True, config=True)


def run(args: argparse.Namespace) -> None:
    config = settings_from(args, CollectConfig)
    report = collect(config)
    if args.json:
        print_json({"out": config.out, "total": report.total, **asdict(report)})
        return
    for line in summary(config.out, report):
        print(line)


def summary(out: str, report: "CollectReport") -> list[str]:
    """What was collected, in lines for a person."""
    from sartor.base.durable import format_bytes

    lines = [f"{out}: {report.total:,} documents, {format_bytes(report.text_bytes)} of text"]
    parts = [(report.documents, "read"), (report.unchanged, "unchanged"), (report.kept, "kept, out of reach now")]
    parts += [(report.rejected, "rejected")]
    lines.append(f"{report.found:,} found: " + ", ".join(f"{number:,} {name}" for number, name in parts if number))
    if report.removed:
        lines.append(f"{report.removed:,} documents removed, because the sources do not have them any more")
    if report.reasons:
        lines.append("rejected: " + ", ".join(f"{number:,} {name}" for name, number in report.reasons.items()))
        lines.append(f"the rejects with their reasons: {out}/rejects.jsonl")
    if report.left_out:
        lines.append("left out: " + ", ".join(f"{number:,} {name}" for name, number in report.left_out.items()))
    lines.append(f"clean them: sartor prepare {out} --out {out}-clean")
    return lines
