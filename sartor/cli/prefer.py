"""`sartor prefer`."""

import argparse
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from sartor.base.errors import UsageError
from sartor.cli.options import add_common, real_number, whole_number
from sartor.cli.output import print_json

if TYPE_CHECKING:
    from sartor.recipes.judgements import Judgements
    from sartor.recipes.prefer import PreferenceSession


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="RUN", help="starter, a Hub id, a model folder, or a run folder")
    parser.add_argument(
        "task",
        metavar="TASK",
        type=Path,
        help="task folder, of which train and dev rows are asked and test rows never; or a file of prompts or rows",
    )
    parser.add_argument("--path", metavar="NAME", help="path of a choice that answers (default: the chosen one)")
    parser.add_argument(
        "--against",
        metavar="MODEL",
        help="second model, for a choice also RUN/paths/NAME (default: RUN answers twice)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="where judgements go (default: preferences.jsonl in or beside TASK); ties and skips go to FILE's name "
        "with .ties.jsonl",
    )
    parser.add_argument("--temperature", type=real_number(0), default=1.0, help="of both answers (default: 1)")
    parser.add_argument(
        "--max-new-tokens",
        type=whole_number(1),
        help="length of an answer (default: 256, or what a path of a choice was measured with)",
    )
    parser.add_argument("--seed", type=int, default=0, help="of order, sides and answers (default: 0)")
    parser.add_argument("--page", action="store_true", help="judge on a web page that only this machine can reach")
    parser.add_argument("--port", type=int, help="port of the page (default: a free one)")
    add_common(parser, json=True)


def run(args: argparse.Namespace) -> None:
    from sartor.cli.prefer_terminal import is_terminal, judge_in_terminal
    from sartor.recipes.judgements import Judgements
    from sartor.recipes.prefer import PreferenceSession, open_contestants
    from sartor.recipes.prefer_questions import place_of_preferences, read_questions

    _check(args, is_terminal())
    questions = read_questions(args.task)
    judgements = Judgements(args.out or place_of_preferences(args.task))
    judgements.require_usable()
    listening = _listen(args.port) if args.page else None
    contestants = open_contestants(args.model, args.path, args.against, args.max_new_tokens)
    with judgements, PreferenceSession(questions, contestants, judgements, args.seed, args.temperature) as session:
        try:
            if listening is not None:
                _judge_on_page(session, judgements, str(args.task), listening)
            else:
                judge_in_terminal(session)
        finally:
            _report(session, judgements, args.json)


def _check(args: argparse.Namespace, has_terminal: bool) -> None:
    if args.port is not None and not args.page:
        raise UsageError("only the page has a port", where="--port", hint="add --page")
    if args.temperature == 0 and args.against is None:
        what = "at temperature 0 a model gives the same answer twice"
        raise UsageError(what, where="--temperature", hint="raise it, or name a second model with --against")
    if not args.page and not has_terminal:
        raise UsageError("there is no terminal to show answers in", hint="add --page and judge in a browser")


def _listen(port: int | None) -> socket.socket:
    from sartor.serving.server import listen

    return listen("127.0.0.1", port or 0)


def _judge_on_page(
    session: "PreferenceSession", judgements: "Judgements", source: str, listening: socket.socket
) -> None:
    from sartor.base.console import say
    from sartor.serving.prefer_page import build_prefer_app, new_token
    from sartor.serving.server import http_server

    def finish() -> None:
        server.should_exit = True

    token = new_token()
    server = http_server(build_prefer_app(session, token, source, str(judgements.file), finish))
    say(f"Judge at http://127.0.0.1:{listening.getsockname()[1]}/{token}/ (Finish on the page or Ctrl-C ends)")
    server.run(sockets=[listening])


def _report(session: "PreferenceSession", judgements: "Judgements", as_json: bool) -> None:
    """What this sitting came to; it is the data of the command."""
    counts = session.counts
    if as_json:
        print_json({"out": str(judgements.file), "ties_out": str(judgements.ties_file), **counts.as_dict()})
        return
    print(
        f"{counts.preferences} preferences in {judgements.file}; {counts.ties} ties and {counts.skips} skips in "
        f"{judgements.ties_file.name}"
    )
    not_shown = {"identical": counts.identical, "empty": counts.empty, "not answered": counts.failed}
    told = [f"{count} {name}" for name, count in not_shown.items() if count]
    print(
        f"{counts.remaining} of {counts.questions} questions remain, {counts.judged_before} were judged before"
        + (f"; pairs not shown: {', '.join(told)}" if told else "")
    )
