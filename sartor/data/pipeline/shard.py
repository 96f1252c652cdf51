"""All the work on one shard in one phase: read, clean, write what was kept and what was dropped, account for it.

At no time more than one table of a few megabytes of text is worked on.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Protocol

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from sartor.base.durable import file_sha256
from sartor.base.errors import DataError, SartorError
from sartor.data import documents
from sartor.data.document_file import DocumentFile, DocumentFileWriter, text_bytes
from sartor.data.document_folder import DocumentFolder
from sartor.data.duplicates.signatures import write_signatures
from sartor.data.filters.step import Outcome, Step
from sartor.data.pipeline import rejects
from sartor.data.pipeline.accounting import Ledger, StepCounts
from sartor.data.pipeline.description import Description
from sartor.data.pipeline.journal import Entry, Journal
from sartor.data.pipeline.samples import Mask, Samples

OnBadShard = Literal["stop", "skip"]
Change = Callable[[pa.Table], pa.Table]
Signer = Callable[[pa.Table, int, int], pa.Table]
"""(documents, number of the shard, the first document's row in it) -> their signatures."""
VERDICTS = "duplicates"


class Cleaning(Protocol):
    """What is done in a phase. It travels to other processes, so it holds plain settings and makes the rest there."""

    def steps(self) -> Sequence[Step]:
        """In their order, each with a name of its own."""
        ...

    def split(self) -> Change | None:
        """Cuts kept documents into those that are written; None where they are written whole."""
        ...

    def signers(self) -> Mapping[str, Signer]:
        """What makes signatures of kept documents, by which duplicates over all shards are found; by name."""
        ...

    def mask(self) -> Mask:
        """Hides personal data in what is shown as an example."""
        ...


@dataclass(frozen=True)
class Phase:
    """One pass over all shards. `kept` is the folder of documents, below `out`, that takes what is kept; `verdicts` is
    true where a search for duplicates left its word on every shard."""

    name: str
    cleaning: Cleaning
    source: Path
    out: Path
    kept: str
    verdicts: bool = False
    on_bad_shard: OnBadShard = "stop"

    def step_names(self, steps: Sequence[Step]) -> list[str]:
        """Of `cleaning.steps()`, with the verdicts of the search before them."""
        return [VERDICTS] * self.verdicts + [step.name for step in steps]

    def task(self, number: int, file: DocumentFile) -> str:
        return json.dumps({"number": number, "file": asdict(file)})


class UnreadableShard(DataError):
    """An input shard that is not what it was when it was written."""


@dataclass(frozen=True)
class ShardWork:
    """Does a phase's tasks: callable with `Phase.task`'s text, gives `{"entry": …, "seconds": by step}`."""

    phase: Phase

    def __call__(self, task: str) -> dict[str, Any]:
        values = json.loads(task)
        number, file = values["number"], DocumentFile(**values["file"])
        shard = _Shard(self, number, file)
        try:
            entry = shard.clean()
        except UnreadableShard as error:
            if self.phase.on_bad_shard == "stop":
                raise
            entry = _unreadable(number, file, str(error.what), self.step_names)
        entry.ledger.check(f"{self.phase.source / file.name}, phase {self.phase.name}")
        Journal(self.phase.out).write(self.phase.name, entry)
        return {"entry": entry.as_dict(), "seconds": shard.seconds}

    @cached_property
    def steps(self) -> list[Step]:
        return list(self.phase.cleaning.steps())

    @cached_property
    def step_names(self) -> list[str]:
        return self.phase.step_names(self.steps)

    @cached_property
    def split(self) -> Change | None:
        return self.phase.cleaning.split()

    @cached_property
    def signers(self) -> Mapping[str, Signer]:
        return self.phase.cleaning.signers()

    @cached_property
    def mask(self) -> Mask:
        return self.phase.cleaning.mask()


@dataclass
class _Shard:
    work: ShardWork
    number: int
    file: DocumentFile
    seconds: dict[str, float] = field(default_factory=dict)

    def clean(self) -> Entry:
        phase, name = self.work.phase, f"{self.number:05d}.parquet"
        self.ledger = Ledger(self.file.rows, steps={step: StepCounts() for step in self.work.step_names})
        self.samples = Samples(self.work.mask)
        before, after = Description(), Description()
        with ExitStack() as on_failure:

            def writer(path: str, schema: pa.Schema) -> DocumentFileWriter:
                opened = DocumentFileWriter(phase.out, path, schema)
                on_failure.callback(opened.abandon)
                return opened

            kept = writer(f"{phase.kept}/{name}", documents.SCHEMA)
            self.rejects = writer(f"{rejects.SUBFOLDER}/{phase.name}-{name}", rejects.SCHEMA)
            writers = {"kept": kept, "rejects": self.rejects}
            signatures: dict[str, list[pa.Table]] = {name: [] for name in self.work.signers}
            row = 0
            for table in self._read():
                before.note(table)
                cleaned = self._cleaned(table, row)
                row += table.num_rows
                for signer, sign in self.work.signers.items():
                    made = self._timed(signer, sign, cleaned, self.number, self.ledger.kept)
                    signatures[signer].append(made)
                self.ledger.kept += cleaned.num_rows
                if self.work.split is not None:
                    cleaned = self._timed("segments", self.work.split, cleaned)
                after.note(cleaned)
                self._timed("writing", kept.add, cleaned)
            outputs = {name: writer.finish() for name, writer in writers.items()}
            on_failure.pop_all()
        for signer, made in signatures.items():
            if made:
                outputs[signer] = _write_signatures(phase.out, f"{signature_folder(signer)}/{name}", made)
        self._check_written(outputs)
        return Entry(self.number, self.file, self.ledger, before, after, self.samples.as_list(), outputs)

    def _read(self) -> Iterator[pa.Table]:
        """The shard's tables; only what goes wrong in reading makes a shard unreadable."""
        tables = DocumentFolder(self.work.phase.source, ()).tables_of(self.file)
        while True:
            try:
                table = self._timed("reading", next, tables, None)
            except DataError as error:
                what = f"{error.what}; it held {self.file.rows:,} documents"
                hint = "restore it and run the same command again, or go on without it: --on-bad-shard skip"
                raise UnreadableShard(what, where=error.where, hint=hint) from error
            if table is None:
                return
            yield table

    def _cleaned(self, table: pa.Table, first_row: int) -> pa.Table:
        if self.work.phase.verdicts:
            reasons, details = self._verdicts(table.num_rows, first_row)
            table = self._after(VERDICTS, table, Outcome(table, reasons, details=details))
        for step in self.work.steps:
            outcome = self._timed(step.name, step, table) if table.num_rows else Outcome(table)
            self._check(step.name, table, outcome)
            table = self._after(step.name, table, outcome)
        return table

    def _after(self, step: str, given: pa.Table, outcome: Outcome) -> pa.Table:
        """What the step keeps; what it drops goes to the rejects, as the step made it, and everything is counted."""
        counts = self.ledger.steps[step]
        counts.documents += given.num_rows
        counts.text_bytes += text_bytes(given)
        counts.edits.update(outcome.counts)
        if outcome.reasons is None or outcome.reasons.null_count == len(outcome.reasons):
            return outcome.documents
        is_dropped = pc.is_valid(outcome.reasons)
        reasons = outcome.reasons.filter(is_dropped)
        details = None if outcome.details is None else outcome.details.filter(is_dropped)
        dropped = rejects.rejects_table(outcome.documents.filter(is_dropped), step, reasons, details)
        counts.dropped.update({item["values"]: item["counts"] for item in pc.value_counts(reasons).to_pylist()})
        counts.dropped_bytes += text_bytes(dropped)
        self.samples.note(dropped)
        self.rejects.add(dropped)
        return outcome.documents.filter(pc.invert(is_dropped))

    def _check(self, step: str, given: pa.Table, outcome: Outcome) -> None:
        """A step gives back the same documents in the same order."""
        if len(given) != len(outcome.documents) or not given["id"].equals(outcome.documents["id"]):
            raise self._broken(f"step {step} gave back {len(outcome.documents)} documents for {len(given)}, or others")
        if outcome.reasons is not None and len(outcome.reasons) != len(given):
            raise self._broken(f"step {step} judged {len(outcome.reasons)} documents of {len(given)}")

    def _check_written(self, outputs: dict[str, DocumentFile]) -> None:
        """What lies on the disk is what was counted."""
        if outputs["rejects"].rows != self.ledger.dropped:
            raise self._broken(f"{outputs['rejects'].rows} rejects written, {self.ledger.dropped} documents dropped")
        if self.work.split is None and outputs["kept"].rows != self.ledger.kept:
            raise self._broken(f"{outputs['kept'].rows} documents written, {self.ledger.kept} kept")

    def _broken(self, what: str) -> SartorError:
        where = str(self.work.phase.source / self.file.name)
        return SartorError(what, where=where, hint="this is a bug in Sartor: please report it")

    def _verdicts(self, rows: int, first_row: int) -> tuple[pa.Array, pa.Array]:
        """Reason and detail [rows] for each of the shard's documents from `first_row`, null where it is kept."""
        found = self._found.slice(first_row, rows)
        return found["reason"].combine_chunks(), found["detail"].combine_chunks()

    @cached_property
    def _found(self) -> pa.Table:
        found = pq.read_table(verdict_path(self.work.phase.out, self.number))
        if found.num_rows != self.file.rows:
            raise self._broken(f"there are verdicts on {found.num_rows} documents, the shard has {self.file.rows}")
        return found

    def _timed(self, name: str, function: Callable[..., Any], *arguments: Any) -> Any:
        started = time.perf_counter()
        try:
            return function(*arguments)
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - started


def signature_folder(signer: str) -> str:
    """Where a signer's files are, below the folder that is prepared."""
    return f"work/signatures/{signer}"


def _write_signatures(out: Path, name: str, tables: Sequence[pa.Table]) -> DocumentFile:
    path = out / name
    path.parent.mkdir(parents=True, exist_ok=True)
    write_signatures(path, tables)
    rows = sum(table.num_rows for table in tables)
    return DocumentFile(name, rows, 0, path.stat().st_size, file_sha256(path))


def verdict_path(out: Path, number: int) -> Path:
    """`number` as in the phase that reads it: shards that were left out before have none."""
    return out / "work" / VERDICTS / f"{number:05d}.parquet"


def _unreadable(number: int, file: DocumentFile, problem: str, steps: Sequence[str]) -> Entry:
    ledger = Ledger(file.rows, errors=file.rows, steps={step: StepCounts() for step in steps})
    return Entry(number, file, ledger, Description(), Description(), [], {}, problem)
