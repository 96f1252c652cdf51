"""How much memory and time it takes to clean a gigabyte of text: `sartor prepare` with every step, as users run it.

    python -m benchmarks.prepare_memory [--megabytes 1000] [--processes 2]

Documents are those of `web_like_documents.py` (real texts, a third of them spoiled), one in ten of them twice. Memory
is that of the command and all its processes together, looked at ten times a second: resident sets added up (shared
pages counted in each), and, where Linux tells, proportional sets (shared pages counted once).
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from benchmarks.web_like_documents import web_like_documents
from sartor.data.document_folder import DocumentFolder, DocumentWriter
from sartor.data.documents import documents_table

BATCH, COPIED_EVERY = 2000, 10
ALLOWED_BYTES = 2_000_000_000
SECONDS_BETWEEN_LOOKS = 0.1
LICENCES = ("CC0-1.0", "CC-BY-SA-4.0", None)


def make_documents(path: Path, megabytes: int) -> DocumentFolder:
    """A folder with so much text."""
    documents = rows()
    written = 0
    with DocumentWriter(path) as writer:
        while written < megabytes * 1_000_000:
            batch = list(islice(documents, BATCH))
            written += sum(len(row["text"].encode()) for row in batch)
            writer.add(documents_table(batch))
    return DocumentFolder.open(path)


def rows() -> Iterator[dict[str, Any]]:
    for number, document in enumerate(web_like_documents(sys.maxsize)):
        kind = document["id"].split()[1]
        source, licence = f"https://{kind}.example/{number}", LICENCES[number % len(LICENCES)]
        row = {"id": f"d{number}", "text": document["text"], "source": source, "licence": licence}
        yield row
        if number % COPIED_EVERY == 0:
            yield {**row, "id": f"copy-of-d{number}"}


def memory_of(root: int) -> tuple[int, int]:
    """(resident, proportional) bytes of a process and all that it started."""
    processes = {int(path.name): parent_of(path) for path in Path("/proc").iterdir() if path.name.isdigit()}
    family: set[int] = set()
    added = {root}
    while added:
        family |= added
        added = {process for process, parent in processes.items() if parent in family} - family
    fields = [rollup(process) for process in family]
    return sum(field.get("Rss", 0) for field in fields), sum(field.get("Pss", 0) for field in fields)


def parent_of(folder: Path) -> int:
    try:
        return int((folder / "stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, IndexError):  # it has ended
        return 0


def rollup(process: int) -> dict[str, int]:
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()[1:]
    except OSError:
        return {}
    return {line.partition(":")[0]: int(line.split()[1]) * 1024 for line in lines if line.endswith("kB")}


def prepare(documents: Path, out: Path, processes: int) -> dict[str, Any]:
    """Run the command and watch it; what it reports, with the peaks."""
    command = [sys.executable, "-m", "sartor", "prepare", str(documents), "--out", str(out), "--json"]
    command += ["--languages", "en", "--processes", str(processes), "--segment-characters", "20000"]
    started, resident, proportional = time.monotonic(), 0, 0
    with tempfile.TemporaryFile() as printed:
        process = subprocess.Popen(command, stdout=printed)
        while process.poll() is None:
            now = memory_of(process.pid)
            resident, proportional = max(resident, now[0]), max(proportional, now[1])
            time.sleep(SECONDS_BETWEEN_LOOKS)
        if process.returncode != 0:
            raise SystemExit(f"the command ended with {process.returncode}")
        printed.seek(0)
        report = json.load(printed)
    return {
        "seconds": time.monotonic() - started,
        "resident_bytes": resident,
        "proportional_bytes": proportional,
        "counts": report["counts"],
        "seconds_by_step": report["seconds_by_step"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=1000)
    parser.add_argument("--processes", type=int, default=2)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        documents = make_documents(Path(temporary) / "documents", args.megabytes)
        measured = prepare(documents.path, Path(temporary) / "out", args.processes)
    text = documents.num_bytes
    print(json.dumps({"documents": documents.num_documents, "text_bytes": text, **measured}, indent=2))
    print(
        f"{text / 1e9:.2f} GB of text, {documents.num_documents:,} documents in {len(documents.files)} shards, "
        f"{args.processes} processes: {measured['resident_bytes'] / 1e9:.2f} GB resident at most "
        f"({measured['proportional_bytes'] / 1e9:.2f} GB with shared pages counted once), "
        f"{measured['seconds']:.0f} s, {text / 1e6 / measured['seconds']:.1f} MB/s"
    )
    if measured["resident_bytes"] > ALLOWED_BYTES:
        raise SystemExit(f"more than the {ALLOWED_BYTES / 1e9:.0f} GB that are allowed")


if __name__ == "__main__":
    main()
