"""`sartor ask`."""

import argparse
from dataclasses import asdict
from pathlib import Path

from sartor.cli.options import add_common, some_text, whole_number
from sartor.cli.output import print_json


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, help="knowledge file made by `sartor index`")
    parser.add_argument("question", type=some_text, help="what to ask")
    parser.add_argument("--base", default="starter", metavar="MODEL", help="model that answers (default: starter)")
    parser.add_argument("-k", type=whole_number(1), default=3, help="how many passages it reads (default: 3)")
    parser.add_argument(
        "--max-new-tokens", type=whole_number(1), default=200, help="length of the answer (default: 200)"
    )
    add_common(parser, json=True)


def run(args: argparse.Namespace) -> None:
    from sartor.base.errors import SartorError
    from sartor.generation.protocol import Sampling
    from sartor.recipes.index import answer
    from sartor.retrieval.path import open_retriever
    from sartor.retrieval.search import DEFAULT_DENSE_WEIGHT

    retriever = open_retriever(args.file, DEFAULT_DENSE_WEIGHT)
    result = answer(retriever, args.question, args.base, args.k, Sampling(max_new_tokens=args.max_new_tokens))
    if result.reply.error is not None:
        raise SartorError(
            f"no answer: {result.reply.error}",
            hint="ask shorter, or lower -k or --max-new-tokens to what the model reads",
        )
    if args.json:
        print_json(
            {
                "answer": result.reply.text,
                "finish": result.reply.finish,
                "cited": [asdict(passage) for passage in result.cited],
                "passages": [asdict(passage) for passage in result.passages],
            }
        )
        return
    print(result.reply.text.strip())
    print()
    for number, passage in enumerate(result.passages, 1):
        mark = "cited" if passage in result.cited else "read"
        print(f"[{number}] {mark}: {passage.title} ({passage.document_id}, {passage.start}-{passage.end})")
