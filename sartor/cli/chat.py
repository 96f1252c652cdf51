"""`sartor chat`."""

import argparse
import sys
from typing import TYPE_CHECKING

from sartor.cli.options import real_number, whole_number
from sartor.data.records import Conversation, Message

if TYPE_CHECKING:
    from sartor.generation.protocol import Sampling
    from sartor.retrieval.path import OpenPath


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="starter, a Hub id, a model folder, or a run folder")
    parser.add_argument("--path", metavar="NAME", help="path of a choice to talk to (default: the chosen one)")
    parser.add_argument("--system", default="", metavar="TEXT", help="system prompt")
    parser.add_argument(
        "--temperature", type=real_number(0), default=0.0, help="0 always takes the likeliest token (default: 0)"
    )
    parser.add_argument("--max-new-tokens", type=whole_number(1), default=512, help="length of a reply (default: 512)")
    parser.add_argument("--seed", type=int, default=0, help="of sampling (default: 0)")


def run(args: argparse.Namespace) -> None:
    from sartor.base.console import say
    from sartor.generation.protocol import Sampling
    from sartor.retrieval.path import open_model

    path = open_model(args.model, args.path)
    sampling = Sampling(args.max_new_tokens, args.temperature, seed=args.seed)
    history: Conversation = [Message(role="system", content=args.system)] if args.system else []
    if sys.stdin.isatty():
        say("Type a message; an empty line starts afresh, Ctrl-D ends.")
    while (line := _read()) is not None:
        if not line.strip():
            history = history[:1] if args.system else []
            continue
        asked = [*history, Message(role="user", content=line)]
        reply = _reply(path, asked, sampling)
        if reply is not None:
            history = [*asked, Message(role="assistant", content=reply)]


def _read() -> str | None:
    try:
        return input("> " if sys.stdin.isatty() else "")
    except EOFError:
        return None


def _reply(path: "OpenPath", history: Conversation, sampling: "Sampling") -> str | None:
    """Answer the last message, showing the words as they come; None when there was no answer."""
    if path.local is None:
        (reply,) = path.generator.generate([history], sampling)
        print(reply.text if reply.error is None else f"(no answer: {reply.error})")
        return reply.text if reply.error is None else None
    sent, passages = path.prepare(history)
    text = ""
    for piece in path.local.stream(sent, sampling):
        text += piece
        print(piece, end="", flush=True)
    print()
    for number, passage in enumerate(passages or [], 1):
        print(f"  [{number}] {passage.title} ({passage.document_id})")
    return text
