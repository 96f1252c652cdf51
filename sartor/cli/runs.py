"""`sartor runs`: list, show, compare and remove run folders."""

import argparse
import importlib
import itertools
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sartor.cli.options import VerbParser, add_common
from sartor.cli.output import print_json

if TYPE_CHECKING:
    from sartor.base.configuration import Config
    from sartor.recipes.runs import RunRecord, RunSummary
    from sartor.train.history import History

NONE, DAMAGED = "—", "damaged"
LIST_COLUMNS = ("name", "kind", "state", "base", "rows", "steps", "dev loss", "score", "time", "size", "begun")
LONGEST_SHOWN_VALUE = 60


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(act=_list, folder=None, json=False)  # of `sartor runs` alone
    actions = parser.add_subparsers(title="actions", metavar="ls|show|compare|rm", parser_class=VerbParser)

    listing = _action(actions, "ls", "list the runs here, or in a folder", "sartor runs ls experiments/")
    listing.add_argument(
        "folder", type=Path, nargs="?", help="where to look (default: here); its runs/ is looked at, too"
    )
    listing.set_defaults(act=_list)

    show = _action(actions, "show", "what a run was given, learnt from and came to", "sartor runs show runs/tuned")
    show.add_argument("run", type=Path, help="run folder")
    show.set_defaults(act=_show)

    compare = _action(
        actions,
        "compare",
        "settings that differ and results, side by side",
        "sartor runs compare runs/small runs/large --html compared.html",
    )
    compare.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="two run folders or more")
    compare.add_argument("--html", type=Path, metavar="FILE", help="also write a page with the curves overlaid")
    compare.set_defaults(act=_compare)

    remove = _action(actions, "rm", "delete runs, or only their checkpoints", "sartor runs rm runs/old --checkpoints")
    remove.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="run folders")
    remove.add_argument("--checkpoints", action="store_true", help="delete only checkpoints; what was trained stays")
    remove.add_argument("--yes", action="store_true", help="do not ask")
    remove.set_defaults(act=_remove)


def _action(actions: Any, name: str, summary: str, example: str) -> VerbParser:
    parser: VerbParser = actions.add_parser(
        name, help=summary, description=summary[0].upper() + summary[1:] + ".", epilog=f"example: {example}"
    )
    parser.set_defaults(parser_of_action=parser)
    add_common(parser, json=True)
    return parser


def run(args: argparse.Namespace) -> None:
    args.act(args)


def _list(args: argparse.Namespace) -> None:
    from sartor.base.console import say
    from sartor.recipes.runs import find_runs

    folder = args.folder or Path()
    found = [_listed(path) for path in find_runs(folder)]
    if args.json:
        print_json([each.as_dict() for each in found])
    elif found:
        _print_table([LIST_COLUMNS, *(each.line() for each in found)])
    else:
        say(f"no runs in {folder} nor in {folder / 'runs'}")


@dataclass(frozen=True)
class _Listed:
    """A run in the list; `summary` is None where a file of it is damaged, which `error` tells."""

    path: Path
    summary: "RunSummary | None"
    error: str | None = None

    def line(self) -> tuple[str, ...]:
        if self.summary is not None:
            return _line(self.summary)
        told = {"name": str(self.path), "state": DAMAGED}
        return tuple(told.get(column, NONE) for column in LIST_COLUMNS)

    def as_dict(self) -> dict[str, Any]:
        from sartor.recipes.runs import RunSummary

        if self.summary is not None:
            return {**self.summary.as_dict(), "error": None}
        unknown = dict.fromkeys(field.name for field in fields(RunSummary))
        return {**unknown, "path": str(self.path), "state": DAMAGED, "error": self.error}


def _listed(path: Path) -> _Listed:
    """One run; a damaged one is warned about, so that it does not hide the others."""
    from sartor.base.console import warn
    from sartor.base.errors import SartorError
    from sartor.recipes.runs import summarise

    try:
        return _Listed(path, summarise(path))
    except SartorError as error:
        told = f"{error.where}: {error.what}" if error.where else error.what
        warn(told)
        return _Listed(path, None, told)


def _show(args: argparse.Namespace) -> None:
    from sartor.recipes.runs import read_run

    record = read_run(args.run)
    given, certificate = _given(record), _certificate(args.run)
    if args.json:
        print_json(_as_json(record) | {"settings": given, "certificate": certificate})
        return
    summary = record.summary
    print(f"{summary.path}: {summary.kind}, {summary.state}")
    if record.failure:
        print(f"it failed: {record.failure}")
    _print_section("settings that differ from their defaults", [(key, _shown(value)) for key, value in given.items()])
    _print_section("results", [(name, cell) for name, cell in _results(record).items() if cell != NONE])
    if certificate:
        _print_section("what was learnt from", certificate)
    if record.diagnosis is not None:
        _print_section("curves", _curves(record.history))
        _print_section(record.diagnosis.verdict, record.diagnosis.sentences())
    for alarm in record.alarms:
        _print_section(f"alarm: {alarm.name}", alarm.sentences())
    _print_section("files", _paths(args.run))


def _compare(args: argparse.Namespace) -> None:
    from sartor.base.console import say
    from sartor.base.errors import UsageError
    from sartor.recipes.runs import differing, read_run

    if len(args.runs) < 2:
        raise UsageError("one run cannot be compared", hint="name two run folders or more")
    records = [read_run(path) for path in args.runs]
    names = _short_names(args.runs)
    unlike = differing([record.settings for record in records])
    if args.html is not None:
        _write_page(args.html, names, records, unlike)
        say(f"wrote {args.html}")
    if args.json:
        runs = {name: _as_json(record) for name, record in zip(names, records, strict=True)}
        settings = {key: dict(zip(names, values, strict=True)) for key, values in unlike.items()}
        print_json({"runs": runs, "settings": settings})
        return
    header = ("", *names)
    settings_lines = [(key, *map(_shown, values)) for key, values in unlike.items()]
    _print_table([header, *(settings_lines or [("all settings are the same",)]), ("",), *_result_lines(records)])


def _remove(args: argparse.Namespace) -> None:
    from sartor.base.console import say
    from sartor.base.durable import format_bytes
    from sartor.base.errors import UsageError
    from sartor.recipes.runs import folder_bytes, remove_checkpoints, remove_run, require_run

    for path in args.runs:
        require_run(path)  # all of them, before the first one goes
    what = "the checkpoints of" if args.checkpoints else "all of"
    if not args.yes:
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise UsageError("nobody can be asked whether to delete", hint="add --yes to delete without asking")
        sizes = {path: folder_bytes(path / "checkpoints" if args.checkpoints else path) for path in args.runs}
        listed = ", ".join(f"{path} ({format_bytes(size)})" for path, size in sizes.items())
        print(f"delete {what} {listed}? [y/N] ", end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            say("nothing was deleted")
            return
    freed = {}
    for path in args.runs:
        freed[str(path)] = remove_checkpoints(path) if args.checkpoints else remove_run(path)
        if not args.json:
            print(f"{path}: {format_bytes(freed[str(path)])} freed")
    if args.json:
        print_json({"freed_bytes": freed})


def _line(summary: "RunSummary") -> tuple[str, ...]:
    from sartor.base.console import format_seconds
    from sartor.base.durable import format_bytes

    score, note = _figure(summary.score, ".3f"), summary.choice
    if summary.outcome is not None and summary.outcome_name is not None:
        score, note = _figure(summary.outcome, ".3f"), summary.outcome_name.replace("_", " ")
    return (
        str(summary.path),
        summary.kind,
        summary.state,
        NONE if summary.base is None else _last_part(summary.base),
        _figure(summary.rows, ","),
        _figure(summary.steps, ","),
        _figure(summary.dev_loss, ".4f"),
        score if note is None else f"{score} ({note})",
        NONE if summary.seconds is None else format_seconds(summary.seconds),
        format_bytes(summary.size_bytes),
        summary.begun[:16].replace("T", " "),
    )


def _results(record: "RunRecord") -> dict[str, str]:
    """Figures of a run by what they are; a dash for what it does not have."""
    history, diagnosis = record.history, record.diagnosis
    line = dict(zip(LIST_COLUMNS, _line(record.summary), strict=True))
    return {
        "state": line["state"],
        "rows": line["rows"],
        "steps": line["steps"],
        "best step": _figure(history.best_step, ","),
        "held-out loss before": _figure(history.dev_loss_before, ".4f"),
        "held-out loss, kept": line["dev loss"],
        "training loss at the end": _figure(_training_loss(history), ".4f"),
        "gap at the end": _figure(diagnosis.gap_at_end if diagnosis else None, "+.4f"),
        "score before": _figure(history.before.get(history.outcome_name) if history.aligns else None, ".3f"),
        "score": line["score"],
        "verdict": diagnosis.verdict if diagnosis else NONE,
        "alarms": ", ".join(alarm.name for alarm in record.alarms) or NONE,
        "time": line["time"],
        "size": line["size"],
        "begun": line["begun"],
        **{f"last {name}": _figure(value, ".4g") for name, value in _last_metrics(history).items()},
    }


def _training_loss(history: "History") -> float | None:
    """None where the loss tells nothing, because the answers that it is of are the policy's own."""
    return None if history.samples or not history.train_loss else history.train_loss[-1][1]


def _result_lines(records: "Sequence[RunRecord]") -> list[tuple[str, ...]]:
    """Results side by side, without those that no run has."""
    results = [_results(record) for record in records]
    names = dict.fromkeys(name for each in results for name in each)
    lines = [(name, *(each.get(name, NONE) for each in results)) for name in names]
    return [line for line in lines if set(line[1:]) != {NONE}]


def _last_metrics(history: "History") -> dict[str, float]:
    """The last value of every metric but those that are told already or only count."""
    told = ("step", "loss", "dev_loss", "dev_score", "seconds", "trained_tokens", "row_tokens")
    return {name: history.series(name)[-1][1] for name in history.names() if name not in told}


def _curves(history: "History") -> list[tuple[str, str]]:
    from sartor.reporting.figures import sparkline

    series = {
        "training loss": [] if history.samples else [value for _, value in history.train_loss],
        "held-out loss": [value for _, value in history.dev_loss],
        "held-out accuracy": [value for _, value in history.series("dev_accuracy")],
        "sampled reward": [value for _, value in history.smoothed("reward")] if history.samples else [],
        "held-out reward": [value for _, value in history.series("dev_reward")],
        "score": [value for _, value in history.series("dev_score")],
    }
    return [
        (name, f"{sparkline(values)}  {values[0]:.3f} -> {values[-1]:.3f}") for name, values in series.items() if values
    ]


def _as_json(record: "RunRecord") -> dict[str, Any]:
    """A run for programs: figures of JSON only, everything under the names that its files use."""
    history, diagnosis = record.history, record.diagnosis
    return {
        "summary": record.summary.as_dict(),
        "failure": record.failure,
        "best_step": history.best_step,
        "dev_loss_before": history.dev_loss_before,
        "last_metrics": _last_metrics(history),
        "result": dict(history.result),
        "diagnosis": None if diagnosis is None else vars(diagnosis),
        "alarms": [vars(alarm) for alarm in record.alarms],
    }


def run_details(path: Path) -> dict[str, Any]:
    """A run as `sartor runs show --json` tells it, with what a page shows besides."""
    from sartor.recipes.runs import read_run
    from sartor.train.run_report import written_texts

    record = read_run(path)
    sentences = record.diagnosis.sentences() if record.diagnosis is not None else []
    return _as_json(record) | {
        "settings": record.settings,
        "given": sorted(_given(record)),
        "certificate": _certificate(path),
        "verdict": record.diagnosis.verdict if record.diagnosis is not None else None,
        "sentences": sentences,
        "alarm_sentences": [{"name": alarm.name, "sentences": alarm.sentences()} for alarm in record.alarms],
        "planned_steps": record.history.planned_steps,
        "files": _paths(path),
        "samples": [
            {"step": step, "prompt": prompt, "text": text}
            for step, texts in written_texts(path)
            for prompt, text in texts
        ],
    }


def _given(record: "RunRecord") -> dict[str, Any]:
    from sartor.recipes.runs import unlike_defaults

    config_class = _settings_class(record.summary.kind)
    return record.settings if config_class is None else unlike_defaults(record.settings, config_class)


def _settings_class(kind: str) -> "type[Config] | None":
    """The settings of the verb `kind`, such as FinetuneConfig; None for one that this version does not have."""
    from sartor.cli.main import VERBS

    for room in ("recipes", "choosing"):
        if kind in VERBS and find_spec(f"sartor.{room}.{kind}"):
            module = importlib.import_module(f"sartor.{room}.{kind}")
            return getattr(module, f"{kind.capitalize()}Config", None)
    return None


def _certificate(path: Path) -> list[str]:
    """The sentences of certificate.json; none where there is no certificate."""
    from sartor.train.certificate import Certificate
    from sartor.train.history import read_record

    stored = read_record(path / "certificate.json")
    names = {field.name for field in fields(Certificate)}
    if not names <= stored.keys():
        return []
    pairs = [f"{stored['pairs']:,} pairs, each of two rows"] if isinstance(stored.get("pairs"), int) else []
    return pairs + Certificate(**{name: stored[name] for name in names}).sentences()


def _paths(path: Path) -> list[str]:
    names = (
        "report.html",
        "README.md",
        "metrics.jsonl",
        "config.yaml",
        "adapter",
        "model",
        "choice.json",
        "checkpoints",
    )
    return [str(path / name) for name in names if (path / name).exists()]


def _write_page(
    file: Path, names: Sequence[str], records: "Sequence[RunRecord]", unlike: Mapping[str, Sequence[Any]]
) -> None:
    from sartor.train.comparison import write_comparison

    histories = {name: record.history for name, record in zip(names, records, strict=True)}
    settings = {key: [_shown(value) for value in values] for key, values in unlike.items()}
    write_comparison(file, histories, settings, {name: cells for name, *cells in _result_lines(records)})


def _short_names(paths: Sequence[Path]) -> list[str]:
    """Each run's last name, or its whole path where two have the same one."""
    last = [path.resolve().name for path in paths]
    names = [name if last.count(name) == 1 else str(path) for name, path in zip(last, paths, strict=True)]
    return [f"{name} ({place})" if names.count(name) > 1 else name for place, name in enumerate(names, 1)]


def _last_part(name: str) -> str:
    return name.rstrip("/").rpartition("/")[2] or name


def _figure(value: float | None, form: str) -> str:
    return NONE if value is None else format(value, form)


def _shown(value: Any) -> str:
    from sartor.reporting.figures import plain, visible

    text = visible(plain(value))
    return text if len(text) <= LONGEST_SHOWN_VALUE else text[: LONGEST_SHOWN_VALUE - 1] + "…"


def _print_section(title: str, lines: Sequence[str] | Sequence[tuple[str, str]]) -> None:
    if lines:
        print(f"\n{title}")
        _print_table([("", line) if isinstance(line, str) else ("", *line) for line in lines])


def _print_table(lines: Sequence[Sequence[str]]) -> None:
    """Columns as wide as their widest cell, two spaces apart; a line of a single cell widens none."""
    wide = [line for line in lines if len(line) > 1]
    widths = [max(map(len, column)) for column in itertools.zip_longest(*wide, fillvalue="")]
    for line in lines:
        cells = [cell.ljust(widths[place]) if place < len(line) - 1 else cell for place, cell in enumerate(line)]
        print("  ".join(cells).rstrip())
