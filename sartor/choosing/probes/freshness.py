"""How a changed fact, and a deleted document, reach a path's answers.

For a path that reads documents a copy of them is changed and asked: one document at a time, put back afterwards. A path
that reads none answers as before; what it says is scored all the same, and it can only be trained again.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from sartor.base.errors import DataError
from sartor.choosing.probes.abstaining import abstains
from sartor.choosing.probes.document_copies import DocumentCopy, copy_of_documents
from sartor.choosing.probes.edits import Edit
from sartor.choosing.probes.probed_path import Finding, ProbedPath, while_time_lasts
from sartor.choosing.probes.replacements import stands_in
from sartor.data.extract import Document, make_document, read_documents
from sartor.data.scorers import Scorer
from sartor.data.thinking import scored_text
from sartor.generation.protocol import Reply

MOST_EDITS = 24


@dataclass(frozen=True)
class Told:
    """What a path said of one fact: before, with the fact changed, and without the document. Seconds are from the
    change to the answer; None for a path that reads no documents, which says the same throughout."""

    id: str
    question: str
    document: str
    old: str
    new: str
    before: str
    edited: str
    deleted: str
    edited_seconds: float | None
    deleted_seconds: float | None
    document_found: bool  # whether a passage of the deleted document was still retrieved
    elsewhere: bool  # whether the old answer stands in another document's passage


def probe_freshness(
    path: ProbedPath,
    edits: Sequence[Edit],
    left_out: Mapping[str, int],
    documents: Mapping[str, Document],
    phrase: str | None,
    scratch: Path,
) -> Finding:
    """The findings `edited` and `deleted`, counts of facts; whether the path `follows` its documents, or was `trained`;
    and every fact under `rows`. `left_out` says how many dev
    rows have no edit, by reason; `phrase` is what the task answers where documents do not. An answer that failed counts
    as not right."""
    chosen = edits[:MOST_EDITS]
    told = _reading(path, chosen, documents, scratch) if path.reads_documents else _closed(path, chosen)
    scorer = path.brief.task.scorer
    done = chosen[: len(told)]
    return {
        "edited": _edited(told, done, scorer),
        "deleted": _deleted(told, done, scorer, phrase),
        "follows": path.reads_documents,
        "trained": path.config.adapter is not None,
        "left_out": dict(left_out) | _more(len(edits) - len(told)),
        "rows": [asdict(each) for each in told],
    }


def _more(count: int) -> dict[str, int]:
    return {"more than the probe asks or has time for": count} if count else {}


def _closed(path: ProbedPath, edits: Sequence[Edit]) -> list[Told]:
    replies = path.ask([edit.row for edit in edits])
    return [_told(edit, reply, reply, reply, None, None) for edit, reply in zip(edits, replies, strict=True)]


def _reading(path: ProbedPath, edits: Sequence[Edit], documents: Mapping[str, Document], scratch: Path) -> list[Told]:
    copy = copy_of_documents(path, scratch, documents)
    try:
        before = copy.ask([edit.row for edit in edits])
        told = []
        for edit, reply in while_time_lasts(list(zip(edits, before, strict=True)), path.seconds):
            told.append(_one(copy, edit, reply, documents[edit.document_id]))
        return told
    finally:
        copy.close()


def _one(copy: DocumentCopy, edit: Edit, before: Reply, document: Document) -> Told:
    """Change the fact and ask, put it back, delete the document and ask, put it back."""
    started = time.monotonic()
    _parse_again(document)
    changed = make_document(document.id, document.title, edit.edited(document), document.path, document.metadata)
    copy.write(changed)
    (edited,) = copy.ask([edit.row])
    edited_seconds = time.monotonic() - started
    copy.write(document)
    started = time.monotonic()
    copy.remove(document.id)
    (deleted,) = copy.ask([edit.row])
    deleted_seconds = time.monotonic() - started
    copy.write(document)
    return _told(edit, before, edited, deleted, edited_seconds, deleted_seconds)


def _parse_again(document: Document) -> None:
    """Read the document's file as it must be read after a change: the edit itself is made in the text, since a PDF
    cannot be written, and the time that parsing takes belongs to what is measured."""
    file = Path(document.path)
    if not document.path or not file.is_file():
        raise DataError("the document's file is gone", where=document.path or document.id, hint="restore it")
    for _ in read_documents(file, notice=lambda sentence: None):
        pass


def _told(
    edit: Edit,
    before: Reply,
    edited: Reply,
    deleted: Reply,
    edited_seconds: float | None,
    deleted_seconds: float | None,
) -> Told:
    others = [each for each in deleted.passages if each.document_id != edit.document_id]
    before_text, edited_text, deleted_text = (
        scored_text(reply.text, [*edit.row.answers, *edit.before]) for reply in (before, edited, deleted)
    )
    return Told(
        id=edit.row.id,
        question=edit.row.question,
        document=edit.document_id,
        old=edit.old,
        new=edit.new,
        before=before_text,
        edited=edited_text,
        deleted=deleted_text,
        edited_seconds=edited_seconds,
        deleted_seconds=deleted_seconds,
        document_found=len(others) < len(deleted.passages),
        elsewhere=any(stands_in(edit.old_core, each.text) for each in others),
    )


def _edited(told: Sequence[Told], edits: Sequence[Edit], scorer: Scorer) -> Finding:
    pairs = list(zip(told, edits, strict=True))
    right = [each for each, edit in pairs if edit.says_new(each.edited, scorer)]
    return {
        "n": len(told),
        "right_before": sum(edit.says_old(each.before, scorer) for each, edit in pairs),
        "right_after": len(right),
        "old_after": sum(edit.says_old(each.edited, scorer) for each, edit in pairs),
        "seconds": _median([each.edited_seconds for each in right]),  # a wrong answer is not there yet
    }


def _deleted(told: Sequence[Told], edits: Sequence[Edit], scorer: Scorer, phrase: str | None) -> Finding:
    said = [each for each, edit in zip(told, edits, strict=True) if edit.still_says(each.deleted, scorer)]
    return {
        "n": len(told),
        "still_said": len(said),
        "said_elsewhere": sum(each.elsewhere for each in said),  # not from the deleted document: another holds it too
        "still_found": sum(each.document_found for each in told),
        "abstained": sum(abstains(each.deleted, phrase) for each in told),
        "seconds": _median([each.deleted_seconds for each in told]),
    }


def _median(seconds: Sequence[float | None]) -> float | None:
    known = [each for each in seconds if each is not None]
    return median(known) if known else None
