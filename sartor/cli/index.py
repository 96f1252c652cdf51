"""`sartor index`."""

import argparse
from dataclasses import asdict
from pathlib import Path

from sartor.cli.options import add_common
from sartor.cli.output import print_json


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("documents", type=Path, help="file or folder: text, Markdown, HTML, PDF, Word, EPUB, JSONL")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help="knowledge file; an existing one is updated"
    )
    add_common(parser, json=True)


def run(args: argparse.Namespace) -> None:
    from sartor.recipes.index import index

    report = index(args.documents, args.out)
    if args.json:
        print_json(asdict(report))
        return
    print(
        f"{args.out}: {report.added} documents added, {report.replaced} replaced, {report.removed} removed, "
        f"{report.unchanged} unchanged; {report.chunks} passages"
    )
    for document in report.without_text:
        print(f"no text in {document}, so it cannot be found")
    print(f'ask it: sartor ask {args.out} "…"')
