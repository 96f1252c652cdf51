"""The row browser of a report: every test question with the answers of all paths."""

import json
from typing import Any

from sartor.choosing.labels import label
from sartor.reporting.figures import number, short_seconds, texts

ANSWER_CHARACTERS, PASSAGE_CHARACTERS = 2000, 900
FINISHES = {"length": "cut off by the length limit", "error": "the path failed here"}
KINDS = (
    ("differ", "answers differ"),
    ("right", "all right"),
    ("wrong", "none right"),
    ("unscored", "not all scored"),
)


def browsed_rows(answers: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Every test question with each path's answer, those first on which the paths disagree most."""
    given = {name: {str(answer["id"]): answer for answer in listed} for name, listed in answers.items()}
    rows = []
    for row_id in dict.fromkeys(row_id for by_id in given.values() for row_id in by_id):
        present = {name: by_id[row_id] for name, by_id in given.items() if row_id in by_id}
        first = next(iter(present.values()))
        scores = [s for answer in present.values() if (s := number(answer.get("score"))) is not None]
        spread = max(scores) - min(scores) if scores else 0.0
        kind = _kind(spread, scores, len(present))
        rows.append(
            {
                "id": row_id,
                "kind": kind,
                "spread": spread,
                "question": str(first.get("question") or ""),
                "accepted": texts(first.get("accepted")),
                "sources": _sources(present),
                "answers": [_answer(name, present.get(name)) for name in given],
            }
        )
    return sorted(rows, key=lambda row: (-row["spread"], row["kind"] == "right"))


def _kind(spread: float, scores: list[float], num_answers: int) -> str:
    """One of KINDS; what the unscored answers are worth could make any of them of a row whose other scores agree."""
    if spread > 1e-9:
        return "differ"
    if len(scores) < num_answers:
        return "unscored"
    return "right" if min(scores) >= 1 else "wrong"


def _answer(name: str, answer: dict[str, Any] | None) -> dict[str, Any]:
    """One path's answer, its mark as sign and as word; `hidden` characters of a long one are not shown."""
    recorded, answer = answer is not None, answer or {}
    score, text = number(answer.get("score")), str(answer.get("text") or "")
    if not recorded:
        sign, word, style = "–", "no answer recorded", "none"
    elif score is None:
        sign, word, style = "?", "not scored", "none"
    elif score >= 1:
        sign, word, style = "✓", "right", "right"
    elif score <= 0:
        sign, word, style = "✗", "wrong", "wrong"
    else:
        sign, word, style = "◐", f"partial {score:.2f}", "partial"
    seconds, finish = number(answer.get("seconds")), FINISHES.get(answer.get("finish") or "")
    notes = [note for note in (finish, None if seconds is None else short_seconds(seconds)) if note]
    return {
        "name": name,
        "label": label(name),
        "sign": sign,
        "word": word,
        "style": style,
        "note": ", ".join(notes),
        **_cut(text, ANSWER_CHARACTERS),
    }


def _cut(text: str, characters: int) -> dict[str, Any]:
    return {"text": text[:characters], "hidden": max(0, len(text) - characters)}


def _sources(present: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """The passages that were handed to the paths; paths that saw the same ones share an entry."""
    shared: dict[str, dict[str, Any]] = {}
    for name, answer in present.items():
        passages = answer.get("passages") or []
        if passages:
            entry = shared.setdefault(
                json.dumps(passages, sort_keys=True),
                {
                    "labels": [],
                    "passages": [
                        {
                            "title": str(passage.get("title") or ""),
                            "chunk_id": str(passage.get("chunk_id") or ""),
                            **_cut(str(passage.get("text") or ""), PASSAGE_CHARACTERS),
                        }
                        for passage in passages
                    ],
                },
            )
            entry["labels"].append(label(name))
    return list(shared.values())
