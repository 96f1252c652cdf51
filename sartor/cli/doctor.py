"""`sartor doctor`: what this machine and installation have, and what is wrong with it; or what knowledge files hold
and whether they are sound. Uses no network."""

import argparse
import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sartor.base.errors import DataError
from sartor.cli.options import add_common

LEAST_DISK_BYTES = 2_000_000_000  # both starter models, and room for a first run
LEAST_MEMORY_BYTES = 3_000_000_000  # a small model being fine-tuned


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "files", nargs="*", type=Path, help="knowledge files to check, instead of this machine and installation"
    )
    add_common(parser, json=True)


def run(args: argparse.Namespace) -> int:
    """Exit code 1 when a problem was found."""
    if args.files:
        stores = {str(file): _store_report(file) for file in args.files}
        print(json.dumps(stores, indent=2) if args.json else "\n\n".join(map(_store_as_text, stores, stores.values())))
        return int(any(store["problems"] for store in stores.values()))
    from sartor.base.device import memory
    from sartor.base.environment import describe_environment
    from sartor.models.starter import cache_folder

    available = memory().available_bytes
    cache = cache_folder()
    free = shutil.disk_usage(next(folder for folder in (cache, *cache.parents) if folder.exists())).free
    models = _starter_models()
    report = {
        **describe_environment(),
        "memory_available_bytes": available,
        "cache": str(cache),
        "disk_free_bytes": free,
        "starter_models": models,
        "problems": _problems(available, free, cache, models),
    }
    print(json.dumps(report, indent=2) if args.json else _as_text(report))
    return 1 if report["problems"] else 0


def _store_report(file: Path) -> dict[str, Any]:
    """What is in a knowledge file, and its problems."""
    from sartor.retrieval.store import KnowledgeStore

    try:
        with KnowledgeStore(file) as store:
            return {**asdict(store.statistics()), "problems": store.problems()}
    except DataError as error:
        return {"problems": [f"{error.what}; {error.hint}"]}


def _store_as_text(file: str, report: dict[str, Any]) -> str:
    counts = [f"{name.replace('_', ' '):<16}{value}" for name, value in report.items() if name != "problems"]
    verdict = [f"problem: {problem}" for problem in report["problems"]] or ["no problem found"]
    return "\n".join([file, *counts, *verdict])


def _starter_models() -> dict[str, str]:
    """`ready`, `not fetched yet`, or what is wrong with the copy in the cache."""
    from sartor.base.manifest import problem_with
    from sartor.models.starter import STARTERS, starter_folder

    states = {}
    for name in STARTERS:
        folder = starter_folder(name)
        states[name] = (problem_with(folder) or "ready") if folder.is_dir() else "not fetched yet"
    return states


def _problems(available: int, free: int, cache: Path, models: dict[str, str]) -> list[str]:
    from sartor.base.durable import format_bytes

    problems = []
    if available < LEAST_MEMORY_BYTES:
        problems.append(f"only {format_bytes(available)} of memory are available; close other programs")
    if free < LEAST_DISK_BYTES:
        problems.append(f"only {format_bytes(free)} free in {cache}; make space or set SARTOR_CACHE")
    problems += [
        f"the model {name} in the cache is damaged ({state}); the next command that needs it fetches it again"
        for name, state in models.items()
        if state not in ("ready", "not fetched yet")
    ]
    return problems


def _as_text(report: dict[str, Any]) -> str:
    from sartor.base.durable import format_bytes

    available, total = report["memory_available_bytes"], report["memory_bytes"]
    rows = {
        "Sartor": report["sartor"],
        "Python": f"{report['python']} on {report['platform']}",
        "processor": f"{report['processor']}, {report['cores']} cores",
        "memory": f"{format_bytes(available)} of {format_bytes(total)} available",
        "device": f"{report['device']}, computes in {report['compute_dtype']}",
        "cache": f"{report['cache']}, {format_bytes(report['disk_free_bytes'])} free",
        **{f"model {name}": state for name, state in report["starter_models"].items()},
        **{name: version or "missing" for name, version in report["packages"].items()},
        **report["variables"],
    }
    width = max(map(len, rows)) + 2
    lines = [f"{name:<{width}}{value}" for name, value in rows.items()]
    verdict = [f"problem: {problem}" for problem in report["problems"]] or ["no problem found"]
    return "\n".join([*lines, "", *verdict])
