"""`sartor ask`."""

import argparse
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

from sartor.cli.knowledge_options import add_where, knowledge_place, where_of
from sartor.cli.options import add_common, some_text, whole_number
from sartor.cli.output import print_json

if TYPE_CHECKING:
    from sartor.retrieval.grounded import Answer


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "file", type=knowledge_place, help="knowledge file made by `sartor index`, or a postgresql:// address"
    )
    parser.add_argument("question", type=some_text, help="what to ask")
    parser.add_argument("--base", default="starter", metavar="MODEL", help="model that answers (default: starter)")
    parser.add_argument("-k", type=whole_number(1), default=3, help="how many passages it reads (default: 3)")
    add_where(parser)
    parser.add_argument(
        "--abstain",
        choices=("never", "usual", "strict"),
        default="usual",
        help="whether to say so where the documents do not speak of the matter: usual keeps back 1 in 20 answers that "
        "they do hold, strict 1 in 10 (default: usual)",
    )
    parser.add_argument("--show", action="store_true", help="print the passages that it read")
    parser.add_argument(
        "--max-new-tokens", type=whole_number(1), default=200, help="length of the answer (default: 200)"
    )
    add_common(parser, json=True)


def run(args: argparse.Namespace) -> None:
    from sartor.base.errors import SartorError
    from sartor.generation.protocol import Sampling
    from sartor.recipes.asking import answer

    sampling = Sampling(max_new_tokens=args.max_new_tokens)
    result = answer(args.file, args.question, args.base, args.k, sampling, where_of(args), args.abstain)
    if result.reply.error is not None:
        raise SartorError(
            f"no answer: {result.reply.error}",
            hint="ask shorter, or lower -k or --max-new-tokens to what the model reads",
        )
    for address in result.removed:
        print(f"removed from the answer, since no passage holds it: {address}", file=sys.stderr)
    if args.json:
        print_json(
            {
                "answer": result.reply.text,
                "finish": result.reply.finish,
                "abstained": result.abstained,
                "support": result.support,
                "citations": [asdict(citation) for citation in result.citations],
                "cited": [asdict(passage) for passage in result.cited],
                "removed": result.removed,
                "passages": [asdict(passage) for passage in result.passages],
            }
        )
        return
    _print(result, args.show)


def _print(result: "Answer", show: bool) -> None:
    from sartor.retrieval.inert import inert

    print(result.reply.text.strip())
    print()
    if result.abstained:
        print("Nearest passages (--abstain never asks the model all the same):" if result.passages else "No passages.")
    read = {citation.number for citation in result.citations}
    for citation in result.citations:
        how = "supports it, found by its words" if citation.added else "cited"
        print(f"[{citation.number}] {how}: {citation.document_id}, {citation.start}-{citation.end}")
        print(f"    {' '.join(inert(citation.text).split())[:300]}")
    for number, passage in enumerate(result.passages, 1):
        if number not in read or show:
            print(f"[{number}] read: {inert(passage.title)} ({passage.document_id}, {passage.start}-{passage.end})")
        if show or result.abstained:
            text = inert(passage.text) if show else " ".join(inert(passage.text).split())[:300]
            print("\n".join(f"    {line}" for line in text.splitlines()))
