"""Putting what the journal holds into the folder of documents, so that a reader finds the old, nothing, or the new."""

import json
import os
import shutil
from pathlib import Path

from sartor.base.durable import replace_file, sync_folder
from sartor.base.errors import DataError
from sartor.data.collecting.journal import Journal
from sartor.data.document_folder import MANIFEST, SUBFOLDER, DocumentFolder, DocumentWriter

STAGING, OLD = ".publishing", ".documents.old"
REJECTS = "rejects.jsonl"


def published(folder: Path) -> DocumentFolder | None:
    """What is there already and complete."""
    try:
        return DocumentFolder.open(folder)
    except DataError:
        return None


def publish(journal: Journal, folder: Path) -> DocumentFolder:
    """Write all documents beside their place, then move them there; the manifest comes last."""
    staging = folder / STAGING
    for leftover in (staging, folder / OLD):
        if leftover.exists():
            shutil.rmtree(leftover)
    with DocumentWriter(staging) as writer:
        for table in journal.tables():
            writer.add(table)
    (folder / MANIFEST).unlink(missing_ok=True)
    sync_folder(folder)
    if (folder / SUBFOLDER).exists():
        os.rename(folder / SUBFOLDER, folder / OLD)
    os.rename(staging / SUBFOLDER, folder / SUBFOLDER)
    os.rename(staging / MANIFEST, folder / MANIFEST)
    sync_folder(folder)
    for leftover in (staging, folder / OLD):
        shutil.rmtree(leftover, ignore_errors=True)
    return DocumentFolder.open(folder)


def write_rejects(journal: Journal, folder: Path) -> None:
    """`rejects.jsonl`: a line for everything that could not be read, with its reason."""

    def write(path: Path) -> None:
        with path.open("w", encoding="utf-8") as stream:
            for row in journal.rejects():
                stream.write(json.dumps(row, ensure_ascii=False) + "\n")

    replace_file(folder / REJECTS, write)
