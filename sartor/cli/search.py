"""`sartor search`."""

import argparse
from dataclasses import asdict

from sartor.cli.knowledge_options import add_where, where_of
from sartor.cli.options import add_common, real_number, some_text, whole_number
from sartor.cli.output import print_json


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=some_text, help="knowledge file made by `sartor index`, or its database's address")
    parser.add_argument("query", type=some_text, help="what to look for")
    parser.add_argument("-k", type=whole_number(1), default=5, help="how many passages (default: 5)")
    add_where(parser)
    parser.add_argument(
        "--dense-weight",
        type=real_number(0, 1),
        metavar="W",
        help="0 ranks by words alone, 1 by meaning alone (default: what the knowledge file says, at first 0.7)",
    )
    add_common(parser, json=True)


def run(args: argparse.Namespace) -> None:
    from sartor.recipes.index import search

    (found,) = search(args.file, [args.query], args.k, args.dense_weight, where_of(args))
    if args.json:
        print_json([asdict(passage) for passage in found])
        return
    for number, passage in enumerate(found, 1):
        print(
            f"[{number}] {passage.score:.3f}  {passage.title}  ({passage.document_id}, {passage.start}-{passage.end})"
        )
        print(f"    {' '.join(passage.text.split())[:300]}")
