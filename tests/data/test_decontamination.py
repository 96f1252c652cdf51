"""Documents that hold test rows are found, by the definition, and no others."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sartor.base.errors import DataError, SartorError
from sartor.data.decontamination.held_out import held_out_texts
from sartor.data.decontamination.index import HeldOutIndex
from sartor.data.decontamination.step import Decontaminate, Decontamination, Searched
from sartor.data.documents import documents_table

LONG = "In which year did the old harbour master of the northern town first refuse to light the lamp?"
SHORT = "Who painted the blue door of the mill?"
TINY = "What is it?"


@pytest.fixture
def task(tmp_path: Path) -> Path:
    folder = tmp_path / "Harbour Facts"
    folder.mkdir()
    (folder / "task.yaml").write_text("scorer: exact\n")
    answer = "it was the youngest of the three brothers who lived there"
    rows = [{"id": "lamp", "question": LONG, "answer": "1871"}, {"question": SHORT, "answer": answer}]
    rows.append({"messages": [{"role": "user", "content": TINY}], "answer": "a boat"})
    (folder / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "train.jsonl").write_text(
        "".join(json.dumps({"question": f"{LONG} {number}", "answer": "x"}) + "\n" for number in range(9))
    )
    return folder


def outcome(texts: list[str], **settings) -> tuple[list[str | None], list[str | None]]:
    rows = [{"id": str(number), "text": text, "source": "test"} for number, text in enumerate(texts)]
    found = Decontaminate(Decontamination(**settings))(documents_table(rows))
    assert found.reasons is not None and found.details is not None
    return found.reasons.to_pylist(), found.details.to_pylist()


def test_test_questions_are_found_and_named(task: Path) -> None:
    part = " ".join(LONG.split()[2:15])
    texts = [
        "A quiz.\n" + LONG.upper().replace(" ", "\n") + " Nobody knows.",
        f"Before {part} after",
        f"Before {' '.join(part.split()[:12])} after",
        f"He asked: \u201c{SHORT}\u201d and left.",
        f"{TINY} {SHORT.replace('mill', 'house')}",
        "",
    ]
    reasons, details = outcome(texts, tasks=[str(task)])
    held = "contaminated_harbour_facts"
    assert reasons == [held, held, None, held, None, None]
    assert details[0] == "Harbour Facts row lamp (100% of its 6 n-grams)"
    assert details[1] == "Harbour Facts row lamp (17% of its 6 n-grams)"
    assert details[3] == "Harbour Facts row test-2 (100% of its 1 n-grams)"
    assert details[2] is details[4] is None


def test_a_share_can_be_asked_for(task: Path) -> None:
    words = LONG.split()
    texts = [" ".join(words[:13]), " ".join(words[:15]), LONG]
    reasons, _ = outcome(texts, tasks=[str(task)], least_share=0.5)
    assert [reason is not None for reason in reasons] == [False, True, True]


def test_answers_only_when_asked_for(task: Path) -> None:
    text = ["They say it was the youngest of the three brothers who lived there, then."]
    assert outcome(text, tasks=[str(task)])[0] == [None]
    assert outcome(text, tasks=[str(task)], answers=True)[0] != [None]


def test_texts_too_short_are_counted_and_nothing_to_look_for_is_an_error(task: Path) -> None:
    step = Decontaminate(Decontamination(tasks=(str(task),)))
    assert step.by_task == {"Harbour Facts": Searched(2, 1)}
    with pytest.raises(DataError, match="no test text has 50 words"):
        Decontaminate(Decontamination(tasks=(str(task),), gram_words=60, least_words=50))


def test_files_of_rows_and_texts(tmp_path: Path) -> None:
    (tmp_path / "quiz.v2.jsonl").write_text(json.dumps({"ask": [{"deep": LONG}], "number": 3}) + "\n")
    (tmp_path / "speech.txt").write_text(SHORT)
    sources = [str(tmp_path / "quiz.v2.jsonl"), str(tmp_path / "speech.txt")]
    reasons, details = outcome([f"x {LONG}", f"x {SHORT}"], tasks=sources)
    assert reasons == ["contaminated_quiz", "contaminated_speech"]
    assert details[0] is not None and f"{sources[0]}:1" in details[0]
    (tmp_path / "picture.png").write_bytes(b"x")
    for name in ("picture.png", "absent.txt", "absent.jsonl", "absent"):
        with pytest.raises(SartorError):
            held_out_texts(tmp_path / name)


WORDS = st.lists(st.sampled_from("abc"), max_size=12).map(" ".join)


@given(
    st.lists(WORDS, max_size=6),
    st.lists(WORDS, max_size=6),
    st.integers(1, 5),
    st.integers(0, 3),
    st.sampled_from([0, 0.4, 1]),
)
def test_matches_are_those_of_the_definition(
    held: list[str], documents: list[str], most: int, fewer: int, least_share: float
) -> None:
    least = max(most - fewer, 1)

    def grams(text: str, length: int) -> set[tuple[str, ...]]:
        words = text.split()
        return {tuple(words[at : at + length]) for at in range(len(words) - length + 1)}

    index = HeldOutIndex(held, most, least)
    for document, match in zip(documents, index.matches(documents, least_share), strict=True):
        shares = []
        for text in held:
            length = min(len(text.split()), most)
            own = grams(text, length) if length >= least else set()
            shares.append(len(own & grams(document, length)) / len(own) if own else 0.0)
        best = max(shares, default=0.0)
        if best == 0 or best < least_share:
            assert match is None
        else:
            assert match is not None and match.share == best and match.text == shares.index(best)
    assert int((~index.is_searched).sum()) == sum(len(text.split()) < least for text in held)
