"""The classifier of quality that `--quality-examples` asks for: learnt from the user's good texts and a sample of the
documents that are prepared, before the first shard is worked on."""

import heapq
from collections.abc import Iterator
from pathlib import Path

from sartor.base.console import say
from sartor.base.errors import DataError
from sartor.data.document_folder import DocumentFolder
from sartor.data.documents import documents_table
from sartor.data.filters.main_text import MainText
from sartor.data.filters.quality import WEIGHTS
from sartor.data.filters.quality_training import train_quality
from sartor.data.readers import read_rows

FOLDER = "quality"
SAMPLED_DOCUMENTS = 2_000
SAMPLED_CHARACTERS = 20_000  # of a document: the classifier reads the beginning of a text only


def make_classifier(examples: Path, source: DocumentFolder, out: Path) -> None:
    """Put a model into `out/quality`, if it is not there. DataError for examples that cannot be used, and too few."""
    folder = out / FOLDER
    if (folder / WEIGHTS).exists():
        return
    model = train_quality(good_texts(examples), sampled_texts(source))
    model.save(folder)
    held_out, auc = model.held_out, model.held_out.auc
    say(
        f"quality: learnt from {held_out.num_good:,} good texts and {held_out.num_other:,} of these documents; "
        f"of held-out ones the good one scores higher in {auc.value:.1%} of pairs ({auc.low:.1%} to {auc.high:.1%})"
    )


def good_texts(path: Path) -> list[str]:
    """The `text` of every row. DataError for a row without one."""
    texts = []
    for where, row in read_rows(path):
        text = row.get("text")
        if not isinstance(text, str):
            raise DataError("has no text", where=f"{where}, text", hint='rows of good texts are {"text": "…"}')
        texts.append(text)
    return texts


def sampled_texts(source: DocumentFolder) -> list[str]:
    """Texts of the documents with the smallest hashes: the same sample however the documents are cut into files.

    Files that cannot be read are passed over here; they are named and counted when their turn comes.
    """
    smallest = heapq.nsmallest(SAMPLED_DOCUMENTS, _beginnings(source))
    page = documents_table({"id": key, "text": text, "source": "", "media_type": kind} for key, text, kind in smallest)
    outcome = MainText()(page)
    texts = outcome.documents["text"].to_pylist()
    kept = [True] * len(texts) if outcome.reasons is None else [why is None for why in outcome.reasons.to_pylist()]
    return [text for text, is_kept in zip(texts, kept, strict=True) if is_kept]


def _beginnings(source: DocumentFolder) -> Iterator[tuple[str, str, str]]:
    for file in source.files:
        try:
            for table in source.tables_of(file):
                columns = (table[name].to_pylist() for name in ("sha256", "text", "media_type"))
                for key, text, kind in zip(*columns, strict=True):
                    yield key, text if kind.startswith("text/html") else text[:SAMPLED_CHARACTERS], kind
        except DataError:
            continue
