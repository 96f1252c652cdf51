"""`sartor chat`."""

import argparse
import sys
from typing import TYPE_CHECKING

from sartor.base.errors import DataError
from sartor.cli.options import real_number, whole_number
from sartor.data.records import Conversation, Message

if TYPE_CHECKING:
    from sartor.generation.local import LocalModel
    from sartor.generation.protocol import Passage, Sampling
    from sartor.retrieval.path import OpenPath
    from sartor.retrieval.rewriting import SearchQuestion

SHOW = "/passages"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="starter, a Hub id, a model folder, or a run folder")
    parser.add_argument("--path", metavar="NAME", help="path of a choice to talk to (default: the chosen one)")
    parser.add_argument("--system", default="", metavar="TEXT", help="system prompt")
    parser.add_argument(
        "--temperature", type=real_number(0), default=0.0, help="0 always takes the likeliest token (default: 0)"
    )
    parser.add_argument("--max-new-tokens", type=whole_number(1), default=512, help="length of a reply (default: 512)")
    parser.add_argument(
        "--follow-ups",
        choices=("words", "model", "as-is"),
        default="words",
        help="how a question that leans on what was said is searched for: with the words that it leans on, written out "
        "by the model, or as it is (default: words)",
    )
    parser.add_argument("--seed", type=int, default=0, help="of sampling (default: 0)")


def run(args: argparse.Namespace) -> None:
    from sartor.base.console import say
    from sartor.generation.protocol import Sampling
    from sartor.retrieval.path import open_model

    talk = _Talk(open_model(args.model, args.path), Sampling(args.max_new_tokens, args.temperature, seed=args.seed))
    talk.follow_ups = args.follow_ups
    history: Conversation = [Message(role="system", content=args.system)] if args.system else []
    if sys.stdin.isatty():
        more = f" {SHOW} shows what the last answer was read from." if talk.path.retriever else ""
        say(f"Type a message; an empty line starts afresh, Ctrl-D ends.{more}")
    while (line := _read()) is not None:
        if not line.strip():
            history = history[:1] if args.system else []
            continue
        if line.strip() == SHOW:
            talk.show()
            continue
        asked = [*history, Message(role="user", content=line)]
        reply = talk.reply(asked)
        if reply is not None:
            history = [*asked, Message(role="assistant", content=reply)]


def _read() -> str | None:
    try:
        return input("> " if sys.stdin.isatty() else "")
    except EOFError:
        return None


class _Talk:
    """Answers from one path; the passages of the last one are kept to be shown."""

    def __init__(self, path: "OpenPath", sampling: "Sampling"):
        self.path, self.sampling, self.follow_ups = path, sampling, "words"
        self.passages: list[Passage] | None = None

    def reply(self, asked: Conversation) -> str | None:
        """Answer the last message, showing the words as they come; None when there was no answer."""
        if self.path.local is None:
            return self._whole_reply(asked)
        try:
            return self._streamed_reply(self.path.local, asked)
        except DataError as error:  # such as a conversation that has outgrown the model's context
            print(f"(no answer: {'; '.join(filter(None, (error.what, error.hint)))}; an empty line starts afresh)")
            return None

    def _streamed_reply(self, local: "LocalModel", asked: Conversation) -> str:
        from sartor.retrieval.grounded import link_filter

        sent, self.passages = self.path.prepare(asked, self._search_question())
        links = link_filter(self.passages, asked) if self.passages is not None else None
        text = ""
        for piece in local.stream(sent, self.sampling):
            shown = links.push(piece) if links else piece
            text += shown
            print(shown, end="", flush=True)
        rest = links.finish() if links else ""
        print(rest)
        self._tell(text + rest, asked, links.removed if links else [])
        return text + rest

    def _whole_reply(self, asked: Conversation) -> str | None:
        from sartor.retrieval.grounded import link_filter

        (reply,) = self.path.generator.generate([asked], self.sampling)
        self.passages = reply.passages if self.path.retriever else None
        if reply.error is not None:
            print(f"(no answer: {reply.error})")
            return None
        if self.passages is None:
            print(reply.text)
            return reply.text
        links = link_filter(self.passages, asked)
        text = links.push(reply.text) + links.finish()
        print(text)
        self._tell(text, asked, links.removed)
        return text

    def show(self) -> None:
        """The passages of the last answer, whole."""
        from sartor.retrieval.inert import inert

        if not self.passages:
            print("(no passages)")
        for number, passage in enumerate(self.passages or [], 1):
            print(f"[{number}] {inert(passage.title)} ({passage.document_id}, {passage.start}-{passage.end})")
            print("\n".join(f"    {line}" for line in inert(passage.text).splitlines()))

    def _tell(self, text: str, asked: Conversation, removed: list[str]) -> None:
        """What the answer rests on, and what was taken out of it."""
        from sartor.retrieval.citations import cite
        from sartor.retrieval.inert import inert

        for address in removed:
            print(f"removed, since no passage holds it: {address}", file=sys.stderr)
        passages = self.passages or []
        cited = {each.number: each for each in cite(text, passages, asked[-1]["content"])}
        for number, passage in enumerate(passages, 1):
            place, how = passage.document_id, "read"
            if number in cited:
                place += f", {cited[number].start}-{cited[number].end}"
                how = "supports it, found by its words" if cited[number].added else "cited"
            print(f"  [{number}] {how}: {inert(passage.title)} ({place})")

    def _search_question(self) -> "SearchQuestion":
        from sartor.retrieval.rewriting import ModelRewriting, last_words, with_key_terms

        if self.follow_ups == "model" and self.path.local is not None:
            return ModelRewriting(self.path.local)
        return last_words if self.follow_ups == "as-is" else with_key_terms
