"""From a folder of documents to a cleaned one: the phases in their order, each over all shards.

    OUT/prepare.json     what is done, to what: the same command goes on, another one is refused
    OUT/journal/         an entry for each shard and phase
    OUT/work/            what is between the phases; removed at the end
    OUT/documents/       what was kept, a folder of documents once `documents.json` is there
    OUT/rejects/         what was dropped, with reasons

Killed at any moment, the same command goes on after the last shard that was finished, and ends with the same bytes.
"""

import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from sartor import __version__
from sartor.base.console import progress, warn
from sartor.base.durable import replace_json
from sartor.base.errors import Interrupted, UsageError
from sartor.base.lock import Lock
from sartor.base.out_folder import make_out_folder
from sartor.base.signals import StopRequest
from sartor.data.document_file import DocumentFile
from sartor.data.document_folder import MANIFEST, DocumentFolder, publish_documents
from sartor.data.pipeline.accounting import Ledger, total
from sartor.data.pipeline.description import Description, combined
from sartor.data.pipeline.engine import Engine
from sartor.data.pipeline.journal import Entry, Journal
from sartor.data.pipeline.samples import Sample, smallest
from sartor.data.pipeline.shard import Cleaning, OnBadShard, Phase, ShardWork

STATE, WORK, FORMAT = "prepare.json", "work", "sartor prepare 2"


class Search(Protocol):
    """The search for duplicates over all shards, between two phases."""

    def find(self, out: Path, shards: Sequence[Entry], start_over: Callable[[], None]) -> None:
        """From the shards' signatures, leave a verdict (`shard.verdict_path`) on each that was kept, numbered as the
        next phase numbers them. `start_over` is called before verdicts change: it forgets what earlier ones led to."""
        ...


@dataclass(frozen=True)
class Plan:
    """What is to be done. `settings` and `source` decide the output; the engine does not. `begin` makes in the folder
    what the steps need. With a `search` there are two phases, `before` and `after` it; without one `before` is all."""

    source: DocumentFolder
    settings: Mapping[str, Any]
    before: Cleaning
    after: Cleaning | None = None
    search: Search | None = None
    begin: Callable[[Path], None] | None = None

    def phases(self, out: Path, on_bad_shard: OnBadShard) -> list[Phase]:
        if self.search is None or self.after is None:
            return [Phase("clean", self.before, self.source.path, out, "documents", on_bad_shard=on_bad_shard)]
        between = f"{WORK}/kept"
        return [
            Phase("filter", self.before, self.source.path, out, between, on_bad_shard=on_bad_shard),
            Phase("finish", self.after, out, out, "documents", verdicts=True),
        ]


@dataclass
class Account:
    """What came of it: the counts of each phase, and what the documents were like before and after."""

    given: int
    errors: int
    kept: int
    written: int
    ledger: Ledger
    before: Description
    after: Description
    samples: dict[tuple[str, str], list[Sample]]
    problems: dict[str, str]
    seconds: Counter[str] = field(default_factory=Counter)


def prepare_documents(plan: Plan, out: Path, engine: Engine, on_bad_shard: OnBadShard = "stop") -> Account:
    """Do what is left to do of `plan` in `out`; when it was complete already, only count.

    SartorError when documents go missing; UsageError when `out` was begun with other settings or other documents;
    DataError, after all other shards are done, for a damaged shard where it is to stop; Interrupted on SIGINT.
    """
    engine.check()
    make_out_folder(out)
    with Lock(out / ".lock", "preparing documents here"), StopRequest() as stop:
        _begin(plan, out)
        phases = plan.phases(out, on_bad_shard)
        if (out / MANIFEST).exists():
            return _account(plan, phases, Journal(out))
        if plan.begin is not None:
            plan.begin(out)
        seconds: Counter[str] = Counter()
        files: Sequence[DocumentFile] = plan.source.files
        for phase in phases:
            entries = _run_phase(phase, files, engine, stop, seconds)
            files = [entry.outputs["kept"] for entry in entries if "kept" in entry.outputs]
            if plan.search is not None and phase is phases[0]:
                plan.search.find(out, entries, lambda: Journal(out).forget(phases[1].name))
        account = _account(plan, phases, Journal(out))
        publish_documents(out, [file for file in files if file.rows])
        account.seconds = seconds
        return account


def finish(out: Path) -> None:
    """Remove what only a run that is not complete needs."""
    shutil.rmtree(out / WORK, ignore_errors=True)


def _begin(plan: Plan, out: Path) -> None:
    """Note what is done here, or make sure that it is the same as before."""
    files = {file.name: file.sha256 for file in plan.source.files}
    now = {"format": FORMAT, "version": __version__, "settings": dict(plan.settings), "input": files}
    path = out / STATE
    if not path.exists():
        if (out / MANIFEST).exists():
            hint = "choose another folder for --out"
            raise UsageError("holds documents that were not prepared here", where=str(out), hint=hint)
        replace_json(path, now)
        return
    try:
        before = json.loads(path.read_text())
    except ValueError:
        raise UsageError("cannot be read", where=str(path), hint="remove the folder and start again") from None
    if before.get("format") != FORMAT and not (out / MANIFEST).exists():
        hint = "remove this folder, or choose another one for --out"
        raise UsageError("was begun when the steps had other rules", where=str(out), hint=hint)
    differences = list(_differences(before, json.loads(json.dumps(now))))
    if differences:
        hint = "give the same settings, choose another folder, or remove this one"
        raise UsageError(f"was begun otherwise: {'; '.join(differences)}", where=str(out), hint=hint)


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    if before.get("version") != now["version"]:
        yield f"with Sartor {before.get('version')}, this is {now['version']}"
    was, settings = before.get("settings", {}), now["settings"]
    for name in dict.fromkeys([*was, *settings]):
        if was.get(name) != settings.get(name):
            yield f"{name} was {was.get(name)}, now {settings.get(name)}"
    if before.get("input") != now["input"]:
        yield "the documents were others"


def _run_phase(
    phase: Phase, files: Sequence[DocumentFile], engine: Engine, stop: StopRequest, seconds: Counter[str]
) -> list[Entry]:
    """Work on the shards that are not done; the entries of all, in order."""
    journal = Journal(phase.out)
    found = {number: journal.done(phase.name, number, file) for number, file in enumerate(files)}
    left = [number for number, entry in found.items() if entry is None]
    entries = {number: entry for number, entry in found.items() if entry is not None}
    work = ShardWork(phase)
    done = sum(entry.source.text_bytes for entry in entries.values())
    with progress(phase.name, sum(file.text_bytes for file in files), done) as bar:
        for result in engine.run(work, [phase.task(number, files[number]) for number in left]):
            entry = Entry.from_dict(result["entry"])
            entries[entry.number] = entry
            seconds.update(result["seconds"])
            if entry.problem:
                warn(f"{entry.source.name} was left out: {entry.problem}")
            bar.advance(entry.source.text_bytes, f"{len(entries)} of {len(files)} shards")
            if stop.requested:
                raise Interrupted("stopped on request", where=str(phase.out), hint="the same command goes on from here")
    return [entries[number] for number in range(len(files))]


def _account(plan: Plan, phases: Sequence[Phase], journal: Journal) -> Account:
    """Add up the journal and check the sums: what came in was kept, dropped, or in error."""
    ledgers, entries = [], []
    files: Sequence[DocumentFile] = plan.source.files
    for phase in phases:
        read = [journal.read(phase.name, number) for number in range(len(files))]
        missing = [number for number, entry in enumerate(read) if entry is None]
        if missing:
            what = f"the journal lacks shard {missing[0]} of phase {phase.name}"
            raise UsageError(what, where=str(phase.out), hint="remove the folder and start again")
        entries.append([entry for entry in read if entry is not None])
        ledgers.append(total((entry.ledger for entry in entries[-1]), phase.step_names(phase.cleaning.steps())))
        ledgers[-1].check(f"all shards, phase {phase.name}")
        files = [entry.outputs["kept"] for entry in entries[-1] if "kept" in entry.outputs]
    return _summed(plan, ledgers, entries)


def _summed(plan: Plan, ledgers: Sequence[Ledger], entries: Sequence[Sequence[Entry]]) -> Account:
    whole = Ledger(ledgers[0].given, ledgers[0].errors, ledgers[-1].kept)
    for ledger in ledgers:
        whole.steps.update(ledger.steps)
    whole.check("all shards and phases")
    return Account(
        given=plan.source.num_documents,
        errors=whole.errors,
        kept=whole.kept,
        written=sum(entry.outputs["kept"].rows for entry in entries[-1] if "kept" in entry.outputs),
        ledger=whole,
        before=combined(entry.before for entry in entries[0]),
        after=combined(entry.after for entry in entries[-1]),
        samples=smallest(sample for phase in entries for entry in phase for sample in entry.samples),
        problems={entry.source.name: entry.problem for entry in entries[0] if entry.problem},
    )
