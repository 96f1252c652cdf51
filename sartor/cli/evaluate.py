"""`sartor evaluate`."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from sartor.base.errors import UsageError
from sartor.cli.options import add_common, whole_number
from sartor.cli.output import print_json

if TYPE_CHECKING:
    from sartor.recipes.evaluate import Contest


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "names",
        nargs="+",
        metavar="MODEL|TASK",
        help="models (starter, Hub id, model or run folder, base URL) and task folders; "
        "a folder with a task.yaml is a task, everything else a model",
    )
    parser.add_argument("--split", choices=("test", "dev"), default="test", help="rows to ask (default: test)")
    parser.add_argument(
        "--max-new-tokens",
        type=whole_number(1),
        default=128,
        help="length of a reply (default: 128; paths of a choice keep their own)",
    )
    parser.add_argument("--remote-model", metavar="NAME", help="model to ask for at a base URL")
    parser.add_argument("--key-env", metavar="NAME", help="environment variable with the key for a base URL")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder to keep the answers in")
    add_common(parser, json=True)


def run(args: argparse.Namespace) -> None:
    from sartor.recipes.evaluate import as_json, evaluate

    tasks = [name for name in args.names if (Path(name) / "task.yaml").is_file()]
    models = [name for name in args.names if name not in tasks]
    if not tasks or not models:
        raise UsageError(
            "name at least one model and one task folder", hint="a task folder holds a task.yaml; see docs/tasks.md"
        )
    if (args.remote_model or args.key_env) and not any(name.startswith(("http://", "https://")) for name in models):
        raise UsageError(
            "--remote-model and --key-env are for a service, and none is named",
            hint="name its base URL, such as https://api.openai.com/v1",
        )
    found, contests = evaluate(
        models, tasks, args.split, args.max_new_tokens, args.remote_model, args.key_env, args.out
    )
    if args.json:
        print_json(as_json(found, contests))
        return
    for each in found:
        if each.score is None or each.ci is None:
            print(f"{each.model} on {each.task}: no row could be scored")
            continue
        cut = f", {each.truncated_replies} replies cut at their length" if each.truncated_replies else ""
        missing = f", {each.unscored} unscored" if each.unscored else ""
        print(
            f"{each.model} on {each.task}: {each.score:.3f} [{each.ci[0]:.3f}, {each.ci[1]:.3f}] "
            f"({each.scorer}, {each.n} rows{missing}{cut})"
        )
    for contest in contests:
        _print_contest(contest)


def _print_contest(contest: "Contest") -> None:
    found_difference = contest.comparison
    if found_difference is not None:
        print(
            f"{contest.a} minus {contest.b} on {contest.task}: {found_difference.difference:+.3f} "
            f"[{found_difference.low:+.3f}, {found_difference.high:+.3f}], p = {found_difference.p:.3g} "
            f"({found_difference.test})"
        )
    if contest.preferred is not None:
        for sentence in contest.preferred.sentences(contest.a, contest.b):
            print(f"judge on {contest.task}: {sentence}")
