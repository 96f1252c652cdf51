"""Cleaning: Sartor against datatrove. The same documents, filters, order and thresholds, two processes on each side.

    python -m benchmarks.prepare_vs_datatrove [--documents 20000]

The preset `fineweb-2024`: Gopher repetition, Gopher quality, C4 (without its rule of terminal marks), FineWeb.
Documents: `benchmarks/web_like_documents.py`, needs SARTOR_DATA. Both sides read the same Parquet files, write what
they keep and what they drop with its reason as Parquet (snappy), and run in a process of their own. The time is that of
the whole run: starting the workers, loading libraries and compiled code, reading, filtering, writing. Sartor's
functions are compiled before; how long that takes (once after an installation) is printed too. Memory is the most that
all processes of a side held at once; processor time is that of all of them, and hardly depends on what else runs.
"""

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any, Literal

PROCESSES = 2
FILES = 2  # one for each process; datatrove hands out whole files
ROW_GROUP_DOCUMENTS = 2_000  # about 5 MB of text
PRESET: Literal["fineweb-2024"] = "fineweb-2024"
EXAMPLES = 2  # of each kind of difference
# datatrove's names of the rules by which documents are dropped, and ours.
SAME_RULE = {
    "empty": "empty",
    "dup_para_frac": "gopher_duplicate_paragraphs",
    "dup_para_char_frac": "gopher_duplicate_paragraph_characters",
    "dup_line_frac": "gopher_duplicate_lines",
    "dup_line_char_frac": "gopher_duplicate_line_characters",
    **{f"top_{n}_gram": f"gopher_top_{n}_gram" for n in (2, 3, 4)},
    **{f"duplicated_{n}_n_grams": f"gopher_duplicate_{n}_gram" for n in range(5, 11)},
    "gopher_short_doc": "gopher_few_words",
    "gopher_long_doc": "gopher_many_words",
    "gopher_below_avg_threshold": "gopher_mean_word_length_low",
    "gopher_above_avg_threshold": "gopher_mean_word_length_high",
    "gopher_too_many_hashes": "gopher_hashes",
    "gopher_too_many_ellipsis": "gopher_ellipses",
    "gopher_too_many_bullets": "gopher_bullet_lines",
    "gopher_too_many_end_ellipsis": "gopher_ellipsis_lines",
    "gopher_below_alpha_threshold": "gopher_words_with_letter",
    "gopher_enough_stop_words": "gopher_stop_words",
    "lorem_ipsum": "c4_lorem_ipsum",
    "curly_bracket": "c4_curly_bracket",
    "too_few_sentences": "c4_few_sentences",
    "line_punct_ratio": "fineweb_ended_lines",
    "short_line_ratio": "fineweb_short_lines",
    "char_dup_ratio": "fineweb_duplicate_line_characters",
    "list_ratio": "fineweb_newlines",
}


def write_documents(folder: Path, count: int) -> int:
    """The documents, dealt out to FILES Parquet files; bytes of text."""
    import pyarrow.parquet as pq

    from benchmarks.web_like_documents import web_like_documents
    from sartor.data.documents import documents_table

    folder.mkdir()
    documents = list(web_like_documents(count))
    for number in range(FILES):
        table = documents_table({**row, "source": "benchmark"} for row in documents[number::FILES])
        pq.write_table(table, folder / f"{number}.parquet", compression="snappy", row_group_size=ROW_GROUP_DOCUMENTS)
    return sum(len(row["text"].encode()) for row in documents)


def clean_file(source: Path, out: Path) -> None:
    """Sartor's worker: one file, row group by row group."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    from sartor.data.documents import SCHEMA, TEXT
    from sartor.data.filters.presets import preset

    step = preset(PRESET)
    dropped_schema = SCHEMA.append(pa.field("reason", TEXT))
    with (
        pq.ParquetWriter(out / f"kept-{source.name}", SCHEMA, compression="snappy") as kept,
        pq.ParquetWriter(out / f"dropped-{source.name}", dropped_schema, compression="snappy") as dropped,
    ):
        file = pq.ParquetFile(source)
        for group in range(file.num_row_groups):
            outcome = step(file.read_row_group(group))
            assert outcome.reasons is not None
            stays = pc.is_null(outcome.reasons)
            kept.write_table(outcome.documents.filter(stays).cast(SCHEMA))
            table = outcome.documents.append_column("reason", outcome.reasons).filter(pc.invert(stays))
            dropped.write_table(table.cast(dropped_schema))


def run_sartor(folder: Path) -> dict[str, Any]:
    out = folder / "sartor"
    out.mkdir()
    started = time.perf_counter()
    context = multiprocessing.get_context("spawn")
    files = sorted((folder / "documents").iterdir())
    workers = [context.Process(target=clean_file, args=(file, out)) for file in files]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert all(worker.exitcode == 0 for worker in workers)
    return {"seconds": time.perf_counter() - started}


def run_datatrove(folder: Path) -> dict[str, Any]:
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.filters import (
        C4QualityFilter,
        FineWebQualityFilter,
        GopherQualityFilter,
        GopherRepetitionFilter,
    )
    from datatrove.pipeline.readers import ParquetReader
    from datatrove.pipeline.writers import ParquetWriter

    out = folder / "datatrove"

    def dropped(name: str) -> Any:
        return ParquetWriter(str(out / "dropped" / name))

    executor = LocalPipelineExecutor(
        pipeline=[
            ParquetReader(str(folder / "documents"), read_metadata=False),
            GopherRepetitionFilter(exclusion_writer=dropped("repetition")),
            GopherQualityFilter(exclusion_writer=dropped("quality")),
            C4QualityFilter(filter_no_terminal_punct=False, exclusion_writer=dropped("c4")),
            FineWebQualityFilter(exclusion_writer=dropped("fineweb")),
            ParquetWriter(str(out / "kept")),
        ],
        tasks=FILES,
        workers=PROCESSES,
        logging_dir=str(folder / "logs"),
    )
    started = time.perf_counter()
    executor.run()
    return {"seconds": time.perf_counter() - started}


SIDES = {"sartor": run_sartor, "datatrove": run_datatrove}


def decisions(folder: Path, side: str) -> dict[str, tuple[str | None, str]]:
    """id -> (why it was dropped, text); the reason is None for what was kept."""
    import pyarrow.parquet as pq

    found: dict[str, tuple[str | None, str]] = {}
    for path in sorted((folder / side).rglob("*.parquet")):
        for row in pq.read_table(path).to_pylist():
            if side == "sartor":
                reason = row.get("reason")
            else:
                reason = rule_of(row["metadata"]) if "dropped" in path.parts else None
            found[row["id"]] = (reason, row["text"])
    return found


def rule_of(metadata: Any) -> str:
    reason = (json.loads(metadata) if isinstance(metadata, str) else metadata)["filter_reason"]
    return SAME_RULE[reason]


def measure(side: str, folder: Path) -> dict[str, Any]:
    """Run one side in a session of its own and watch the memory and processor time of all its processes."""
    command = [sys.executable, "-m", "benchmarks.prepare_vs_datatrove", "--side", side, "--folder", str(folder)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True
    ) as process:
        seen = Seen()
        watcher = threading.Thread(target=seen.watch, args=(process,))
        watcher.start()
        output, _ = process.communicate()
        watcher.join()
        if process.returncode:
            raise SystemExit(f"{side} failed: run `{' '.join(command)}` to see why")
    return {
        **json.loads(output.strip().splitlines()[-1]),
        "peak_bytes": seen.peak_bytes,
        "processor_seconds": sum(seen.seconds.values()),
    }


class Seen:
    """What the processes of a session take (Linux): the most memory at once, and processor seconds by process."""

    def __init__(self) -> None:
        self.peak_bytes = 0
        self.seconds: dict[int, float] = {}

    def watch(self, process: subprocess.Popen[str]) -> None:
        while process.poll() is None:
            self.peak_bytes = max(self.peak_bytes, self._look(process.pid))
            time.sleep(0.05)

    def _look(self, session: int) -> int:
        resident = 0
        for path in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = path.read_text().rpartition(")")[2].split()
            except OSError:  # it has ended
                continue
            if int(fields[3]) == session:
                resident += int(fields[21]) * os.sysconf("SC_PAGE_SIZE")
                ticks = int(fields[11]) + int(fields[12])
                self.seconds[int(path.parent.name)] = ticks / os.sysconf("SC_CLK_TCK")
        return resident


def compile_seconds(folder: Path) -> float:
    """How long the first run after an installation takes longer: an empty cache, two documents."""
    code = (
        "import time; started = time.perf_counter()\n"
        "from sartor.data.documents import documents_table\n"
        "from sartor.data.filters.presets import preset\n"
        "rows = [{'id': str(number), 'text': 'One. Two.', 'source': ''} for number in range(2)]\n"
        f"preset({PRESET!r})(documents_table(rows))\n"
        "print(time.perf_counter() - started)"
    )
    times = []
    for cache in (folder / "cache", folder / "cache", None):
        environment = os.environ | ({} if cache is None else {"NUMBA_CACHE_DIR": str(cache)})
        done = subprocess.run(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment, check=True, timeout=600
        )
        times.append(float(done.stdout))
    return times[0] - times[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=20_000)
    parser.add_argument("--side", choices=tuple(SIDES))
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    if options.side:
        print(json.dumps(SIDES[options.side](options.folder)))
        return
    with tempfile.TemporaryDirectory() as name:
        compare(Path(name), options.documents)


def compare(folder: Path, count: int) -> None:
    num_bytes = write_documents(folder / "documents", count)
    print(f"{count:,} documents, {num_bytes / 1e6:.1f} MB of text, preset {PRESET}, {PROCESSES} processes a side")
    print(f"compiling Sartor's functions, once: {compile_seconds(folder):.1f} s")
    found = {side: measure(side, folder) for side in SIDES}
    for side, figures in found.items():
        seconds = figures["seconds"]
        print(
            f"{side:<10} {count / seconds:9,.0f} documents/s  {num_bytes / seconds / 1e6:6.2f} MB/s  {seconds:7.2f} s  "
            f"{figures['processor_seconds']:7.2f} s of processors  {figures['peak_bytes'] / 1e6:6.0f} MB peak"
        )
    ours, theirs = found["sartor"], found["datatrove"]
    memory = ours["peak_bytes"] / theirs["peak_bytes"]
    work = theirs["processor_seconds"] / ours["processor_seconds"]
    wall = theirs["seconds"] / ours["seconds"]
    print(f"ratio      {wall:.1f}x documents/s, {work:.1f}x by processor time, {memory:.2f}x memory")
    report_decisions(decisions(folder, "sartor"), decisions(folder, "datatrove"), count)


def report_decisions(ours: dict[str, Any], theirs: dict[str, Any], count: int) -> None:
    assert ours.keys() == theirs.keys() and len(ours) == count, "a document is missing on one side"
    kept = [name for name in ours if ours[name][0] is None and theirs[name][0] is None]
    same = sum((ours[name][0] is None) == (theirs[name][0] is None) for name in ours)
    texts = sum(ours[name][1] == theirs[name][1] for name in kept)
    reasons = sum((ours[name][0] or "").endswith(theirs[name][0] or "") for name in ours)
    print(f"kept       {sum(reason is None for reason, _ in ours.values()) / count:.1%}")
    print(
        f"decisions  {same / count:.3%} equal; reasons {reasons / count:.3%} equal; "
        f"texts of {texts:,} of {len(kept):,} kept documents equal"
    )
    kinds: dict[tuple[str, str], list[str]] = {}
    for name, (reason, _) in ours.items():
        other = theirs[name][0]
        if not (reason or "").endswith(other or "") or (reason is None) != (other is None):
            kinds.setdefault((other or "kept", reason or "kept"), []).append(name)
    for (other, reason), names in sorted(kinds.items(), key=lambda each: -len(each[1])):
        print(f"  {len(names):5}  datatrove: {other}, Sartor: {reason}, such as")
        for name in names[:EXAMPLES]:
            print(f"           {name}: {theirs[name][1][:100]!r}")
    print("dropped by Sartor:", dict(Counter(reason for reason, _ in ours.values() if reason).most_common()))


if __name__ == "__main__":
    main()
