"""`sartor ui`."""

import argparse
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sartor.base.errors import UsageError

if TYPE_CHECKING:
    from sartor.retrieval.protocol import TextEmbedder
    from sartor.retrieval.store import KnowledgeStore

STARTER = "starter"
DEFAULT_PORT = 8080


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "models",
        nargs="*",
        metavar="RUN",
        help="run folders (RUN:PATH for a path of a choice), model folders, Hub ids or starter to talk to "
        "(default: starter, loaded when it is first asked)",
    )
    parser.add_argument("--runs", type=Path, default=Path(), metavar="FOLDER", help="runs to show (default: here)")
    parser.add_argument(
        "--documents",
        type=Path,
        nargs="+",
        default=[],
        metavar="FILE",
        help="knowledge files (.sqlite) to ask, search and add to; one that is missing is made",
    )
    parser.add_argument(
        "--base", default=STARTER, metavar="MODEL", help="model that answers from knowledge files (default: starter)"
    )
    parser.add_argument("--host", default="127.0.0.1", help="address; others than this machine's own need a key")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="port (default: 8080; 0 takes a free one)")
    parser.add_argument(
        "--key-env",
        default="SARTOR_API_KEY",
        metavar="NAME",
        help="environment variable that holds the key the pages ask for (default: SARTOR_API_KEY)",
    )


def run(args: argparse.Namespace) -> None:
    from sartor.base.console import say
    from sartor.serving.auth import check_binding, is_loopback
    from sartor.serving.paths import named_paths
    from sartor.serving.server import http_server, listen
    from sartor.serving.ui import Ui, build_ui, remember_knowledge
    from sartor.serving.ui_documents import DocumentShelf, require_files
    from sartor.serving.ui_models import ModelRoom, open_paths, require_offer

    key = os.environ.get(args.key_env)
    if key is None and args.key_env != "SARTOR_API_KEY":
        raise UsageError(f"the environment has no {args.key_env}", where="--key-env", hint="export it first")
    check_binding(args.host, key)
    runs = RunsBelow(_runs_folder(args.runs))
    offered = [*(args.models or [args.base]), *map(str, args.documents)]
    require_offer(offered)
    named_paths(args.models, None, args.base)  # a name that is nobody's is told now, not when it is first asked
    require_files(args.documents)
    listening = listen(args.host, args.port)
    shelf, loopback = DocumentShelf(args.documents, _embedder), is_loopback(args.host)
    room = ModelRoom(
        offered, lambda: open_paths(offered, None, args.base), key, loopback, on_open=remember_knowledge(shelf)
    )
    named = bool(args.models or args.documents)
    first = "/chat" if named or not runs.paths() else "/runs"
    app = build_ui(Ui(room, shelf, runs, first, load_at_once=bool(args.models)), key, loopback)
    say(f"open http://{_shown(args.host)}:{listening.getsockname()[1]}/ in a browser (Ctrl-C ends)")
    http_server(app).run(sockets=[listening])


@dataclass(frozen=True)
class RunsBelow:
    """The runs in a folder as `sartor runs` reads them, and the trainings inside choices."""

    folder: Path

    def paths(self) -> list[Path]:
        from sartor.recipes.runs import find_runs, is_run

        found = find_runs(self.folder)
        inside = [inner for path in found for inner in sorted(path.glob("paths/*/run")) if is_run(inner)]
        return [*found, *inside]

    def summary(self, path: Path) -> Mapping[str, Any]:
        from sartor.recipes.runs import read_run

        record = read_run(path)
        loss = record.history.series("loss")
        return record.summary.as_dict() | {"last_loss": loss[-1][1] if loss else None}

    def details(self, path: Path) -> Mapping[str, Any]:
        from sartor.cli.runs import run_details

        return run_details(path)

    def choice(self, path: Path) -> Mapping[str, Any]:
        from sartor.choosing.choice_view import choice_view

        return choice_view(path)


def _runs_folder(folder: Path) -> Path:
    if not folder.is_dir():
        raise UsageError("there is no such folder", where=str(folder), hint="name the folder that holds the runs")
    return folder.resolve()


def _embedder(store: "KnowledgeStore") -> "TextEmbedder":
    from sartor.retrieval.embedder import Embedder
    from sartor.serving.shelf import OneAtATime

    return OneAtATime(Embedder.of_store(store))


def _shown(host: str) -> str:
    name = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"[{name}]" if ":" in name else name
