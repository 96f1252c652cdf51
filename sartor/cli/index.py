"""`sartor index`."""

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from sartor.base.errors import UsageError
from sartor.cli.knowledge_options import shown_place
from sartor.cli.options import add_common, some_text
from sartor.cli.output import print_json

if TYPE_CHECKING:
    from sartor.recipes.index import Indexed


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "documents",
        type=some_text,
        help="file or folder: text, Markdown, HTML, PDF, Word, slides, tables, EPUB, code, JSONL; "
        "with --list, --stats, --delete or --compact the knowledge file itself",
    )
    parser.add_argument(
        "--out",
        type=some_text,
        metavar="FILE",
        help="knowledge file or postgresql:// address; an existing one is brought up to date",
    )
    parser.add_argument(
        "--embedder",
        type=some_text,
        metavar="MODEL",
        help="embedding model: minilm, a sentence-transformers folder or a Hub id (default: the store's own, at first "
        "minilm)",
    )
    parser.add_argument("--watch", action="store_true", help="go on and index every change until Ctrl-C")
    parser.add_argument(
        "--on-bad-file",
        choices=("stop", "skip"),
        help="a file that cannot be read: stop and change nothing, or name it and go on "
        "(default: stop, with --watch skip)",
    )
    parser.add_argument(
        "--questions",
        type=Path,
        metavar="FILE",
        help="rows with a question and its evidence (ids of documents): afterwards choose on them how searches rank",
    )
    parser.add_argument(
        "--reranker",
        type=some_text,
        metavar="MODEL",
        help="a cross-encoder's folder or Hub id; with --questions, it is used where it finds more",
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--list", action="store_true", help="the documents in the knowledge file")
    what.add_argument("--stats", action="store_true", help="counts and sizes of the knowledge file")
    what.add_argument(
        "--delete", nargs="+", type=some_text, metavar="ID", help="remove documents, and every word of them in the file"
    )
    what.add_argument("--compact", action="store_true", help="make the file as small as what it holds")
    add_common(parser, json=True)


def run(args: argparse.Namespace) -> None:
    if args.list or args.stats or args.delete or args.compact:
        if args.out or args.watch or args.on_bad_file or args.embedder or args.questions:
            what = "--out, --embedder, --questions, --watch and --on-bad-file index documents"
            raise UsageError(what, hint="name the knowledge file alone")
        _manage(args)
    elif args.out is None:
        raise UsageError("--out is missing", where="--out", hint="name the knowledge file to make or bring up to date")
    elif args.reranker and not args.questions:
        raise UsageError(
            "--reranker is chosen on questions", where="--reranker", hint="give them with --questions FILE"
        )
    elif args.watch and args.questions:
        raise UsageError("--watch never ends, so nothing can follow it", where="--questions", hint="index first")
    elif args.watch:
        _watch(args)
    else:
        from sartor.recipes.index import index

        _report(index(Path(args.documents), args.out, args.on_bad_file or "stop", args.embedder), args)
        if args.questions:
            _choose(args)


def _choose(args: argparse.Namespace) -> None:
    from sartor.base.console import say
    from sartor.recipes.ranking import RECALL_AT, tune_ranking

    choice = tune_ranking(args.out, args.questions, args.reranker)
    if args.json:
        print_json(asdict(choice))
        return
    for name, (recall, reciprocal) in choice.tried.items():
        print(f"{name:<24} recall@{RECALL_AT} {recall:.3f}  MRR@10 {reciprocal:.3f}")
    again = f", read again by {choice.ranking.rerank}" if choice.ranking.rerank else ""
    print(
        f"{shown_place(args.out)} now ranks: {choice.ranking.mode}, dense weight {choice.ranking.dense_weight:g}{again}"
    )
    if not args.reranker:
        say("not tried: reading the best passages again (--reranker names a cross-encoder; none comes with Sartor)")


def _watch(args: argparse.Namespace) -> None:
    from sartor.base.console import say
    from sartor.recipes.index import watch

    try:
        found = watch(Path(args.documents), args.out, args.on_bad_file or "skip", args.embedder)
        for number, indexed in enumerate(found):
            report = indexed.report
            if number == 0 or report.added or report.replaced or report.removed:
                _report(indexed, args)
            if number == 0:
                say(f"watching {args.documents}; Ctrl-C ends")
    except KeyboardInterrupt:
        say("stopped; the store is whole")


def _report(indexed: "Indexed", args: argparse.Namespace) -> None:
    report = indexed.report
    if args.json:
        print_json({**asdict(report), "bad_files": indexed.bad_files})
        return
    print(
        f"{shown_place(args.out)}: {report.added} documents added, {report.replaced} replaced, "
        f"{report.removed} removed, "
        f"{report.unchanged} unchanged; {report.chunks} passages, {report.embedded} embedded",
        flush=True,
    )
    for document in report.without_text:
        print(f"no text in {document}, so it cannot be found")
    if indexed.bad_files:
        print(f"{len(indexed.bad_files)} files could not be read; what was known of them stays")
    if not args.watch:
        print(f'ask it: sartor ask {shown_place(args.out)} "…"')


def _manage(args: argparse.Namespace) -> None:
    if args.delete:
        from sartor.recipes.index import delete

        delete(args.documents, args.delete)
        _say(args, {"deleted": args.delete}, f"{args.documents}: {len(args.delete)} documents deleted")
        return
    from sartor.base.durable import format_bytes
    from sartor.recipes.index import open_file

    with open_file(args.documents) as store:
        if args.compact:
            before, after = store.compact()
            told = f"{args.documents}: {format_bytes(before)} before, {format_bytes(after)} now"
            _say(args, {"bytes_before": before, "bytes": after}, told)
        elif args.stats:
            found = {**asdict(store.statistics()), "ranking": asdict(store.ranking), "fields": store.fields()}
            _say(args, found, "\n".join(f"{name.replace('_', ' '):<14} {value}" for name, value in found.items()))
        else:
            entries = store.documents()
            told = "\n".join(f"{entry.id}\t{entry.chunks}\t{entry.title}" for entry in entries)
            _say(args, [asdict(entry) for entry in entries], told)


def _say(args: argparse.Namespace, value: object, text: str) -> None:
    if args.json:
        print_json(value)
    elif text:
        print(text)
