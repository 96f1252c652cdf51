"""`sartor serve`."""

import argparse
import os

from sartor.base.errors import UsageError


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("runs", nargs="+", metavar="RUN", help="run folders, model folders, Hub ids or starter")
    parser.add_argument("--path", metavar="NAME", help="path of a choice to serve (default: the chosen one)")
    parser.add_argument("--host", default="127.0.0.1", help="address; others than this machine's own need a key")
    parser.add_argument("--port", type=int, default=8000, help="port (default: 8000; 0 takes a free one)")
    parser.add_argument(
        "--key-env",
        default="SARTOR_API_KEY",
        metavar="NAME",
        help="environment variable that holds the key callers must send (default: SARTOR_API_KEY)",
    )


def run(args: argparse.Namespace) -> None:
    from sartor.serving.auth import check_binding
    from sartor.serving.paths import served_models
    from sartor.serving.server import serve

    key = os.environ.get(args.key_env)
    if key is None and args.key_env != "SARTOR_API_KEY":
        raise UsageError(f"the environment has no {args.key_env}", where="--key-env", hint="export it first")
    check_binding(args.host, key)  # before a model is loaded for nothing
    serve(served_models(args.runs, args.path), args.host, args.port, key, args.key_env)
