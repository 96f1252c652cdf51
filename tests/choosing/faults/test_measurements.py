"""Every kind of false measurement is planted once and caught by its name; an honest run gives none.

`honest()` is a run in which nothing is wrong; each fault changes one thing of it.
"""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sartor.choosing.brief import Brief
from sartor.choosing.faults import measurements
from sartor.choosing.faults.evidence import Check, Evidence
from sartor.choosing.faults.judges import families
from sartor.choosing.faults.measurements import find_false_measurements, warnings_of_run
from sartor.data.chat import ChatFormat
from sartor.data.judge_settings import JudgeSettings
from sartor.data.leaks import Leak, LeakReport
from sartor.data.records import Message, Row
from sartor.data.scorers import scorer
from sartor.data.task import Limits, Task
from sartor.models.hub import load_tokenizer
from sartor.recipes.judge_check import CHECK_FILE
from sartor.retrieval.path import PathConfig
from tests import tiny_folders

CITIES = ("Oslo", "Rome", "Bonn", "Lima", "Cairo", "Paris", "Quito", "Seoul", "Tunis", "Delhi")
RIVERS = ("Amazon", "Niger", "Rhine", "Volga", "Tigris", "Ganges", "Danube", "Mekong", "Yukon", "Ob")
SUBJECTS = ("glass", "salt", "wool", "tea", "copper", "silk", "paper", "rope")
NUM_ROWS = 40


def question(number: int) -> str:
    """Questions of which no two resemble each other, of 7 to 46 words."""
    first, second = RIVERS[number % 10], SUBJECTS[number % 8]
    longer = " ".join(f"{RIVERS[(number * 7 + step) % 10]}{number + step}" for step in range(number))
    return f"{first} {second} {number}: which town trades {second} there {longer}?".replace("  ", " ")


def rows(number: int = NUM_ROWS) -> tuple[Row, ...]:
    return tuple(
        Row(f"t{n}", [Message(role="user", content=question(n))], (CITIES[n % 10],), f"g{n}", where=f"test:{n + 1}")
        for n in range(number)
    )


def words(conversation: Any) -> int:
    """A tokenizer of words, with a template that takes 4 tokens a turn."""
    return sum(len(message["content"].split()) + 4 for message in conversation)


def answer(row: Row, text: str, **others: Any) -> dict[str, Any]:
    messages = [Message(role="system", content="Name the town."), *row.messages]
    values = {
        "id": row.id, "question": row.question, "accepted": list(row.answers), "text": text,
        "score": scorer("exact").score(text, row.answers), "finish": "stop", "prompt_tokens": words(messages),
        "completion_tokens": len(text.split()), "messages": messages, "hosts": [], "error": None,
    }  # fmt: skip
    return values | others


def honest(by: str = "exact") -> Evidence:
    """A local path that is right in two of three rows and a remote one that is right in three of four."""
    test = rows()
    task = Task(Path("task"), "t", "", "Name the town.", scorer(by), Limits(), (), (), test, "file")
    brief = Brief(task, (), (), test, LeakReport((), ()), 16)
    answers = {
        "prompt": [answer(row, row.answers[0] if n % 3 else "Perth") for n, row in enumerate(test)],
        "api": [
            answer(row, row.answers[0] if n % 4 else f"Town {n}", hosts=["api.example"])
            for n, row in enumerate(test)
        ],
    }  # fmt: skip
    facts: dict[str, dict[str, Any]] = {"prompt": {"hosts": []}, "api": {"hosts": ["api.example"], "service": []}}
    return Evidence(brief, answers, facts, {"prompt": "starter", "api": "qwen3-8b"}, words)


def changed(path: str, change: Callable[[int, dict[str, Any]], dict[str, Any]]) -> Evidence:
    evidence = honest()
    answers = {**evidence.answers, path: [each | change(n, each) for n, each in enumerate(evidence.answers[path])]}
    return replace(evidence, answers=answers)


def scored_exactly(evidence: Evidence) -> Evidence:
    by = scorer("exact")
    answers = {
        name: [each | {"score": by.score(each["text"], each["accepted"])} for each in given]
        for name, given in evidence.answers.items()
    }
    return replace(evidence, answers=answers)


def judged_by(model: str, evidence: Evidence | None = None) -> Evidence:
    evidence = evidence or honest()
    by = scorer("judge", JudgeSettings(model=model))
    return replace(evidence, brief=replace(evidence.brief, task=replace(evidence.brief.task, scorer=by)))


def with_test(change: Callable[[int, Row], Row]) -> Evidence:
    evidence = honest()
    test = tuple(change(n, row) for n, row in enumerate(evidence.brief.test))
    return replace(evidence, brief=replace(evidence.brief, test=test))


def kinds(evidence: Evidence) -> set[tuple[str, str | None]]:
    return {(found.kind, found.path) for found in find_false_measurements(evidence)}


def long_prompts(limit: int | None, shown: int = 0) -> Evidence:
    """The remote path's prompts hold 3 to 510 words of passages; with a limit, the service reads no more than that."""

    def change(n: int, each: dict[str, Any]) -> dict[str, Any]:
        messages = [Message(role="user", content=f"{'word ' * (13 * n + 3)}{each['question']}")]
        seen = words(messages) + shown
        return {"messages": messages, "prompt_tokens": min(seen, limit or seen)}

    return changed("api", change)


def other_tokenizer(limit: int) -> Evidence:
    """As long prompts, counted by a tokenizer that makes three tokens of two words."""
    evidence = long_prompts(None)
    counted = [each | {"prompt_tokens": min(each["prompt_tokens"] * 3 // 2, limit)} for each in evidence.answers["api"]]
    return replace(evidence, answers={**evidence.answers, "api": counted})


def repeating(n: int, row: Row) -> Row:
    """Every tenth row asks what the one before it asked, with another mark at its end."""
    if n % 10 != 1:
        return row
    earlier = rows()[n - 1]
    return replace(row, messages=[Message(role="user", content=earlier.question + "!")], answers=earlier.answers)


def nearly_learnt() -> Evidence:
    evidence = honest()
    pairs = tuple(
        Leak(replace(row, id=f"l{n}", where=f"train.jsonl:{n + 1}"), row, 0.9)
        for n, row in enumerate(evidence.brief.test[:3])
    )
    return replace(evidence, brief=replace(evidence.brief, leaks=LeakReport((), pairs)))


def in_documents(answered: bool) -> Evidence:
    asked = rows()[7]
    text = f"Frequently asked\n\nQ: {asked.question}\nA: {asked.answers[0] if answered else 'Ask at the desk'}.\n"
    return replace(honest(), documents=lambda: iter([("a.md", "Nothing here."), ("faq.md", text)]))


def asked_with_itself(n: int, each: dict[str, Any]) -> dict[str, Any]:
    shot = [Message(role="user", content=each["question"]), Message(role="assistant", content=each["accepted"][0])]
    return {"messages": [*shot, *each["messages"]]} if n < 2 else {}


def checked(verdict: str) -> Evidence:
    evidence = honest()
    scores = [each["score"] for each in evidence.answers["prompt"]]
    paths = {"prompt": {"n": NUM_ROWS, "scorer": sum(scores) / NUM_ROWS}}
    found = {"verdict": verdict, "sentence": "People say otherwise.", "paths": paths, "disagreements": [{"id": "t3"}]}
    return replace(evidence, judge_check=found)


def with_service(check: str, passed: bool) -> Evidence:
    evidence = honest()
    finding = {"check": check, "passed": passed, "what": "60 tokens were read where the template gives 30"}
    return replace(evidence, facts={**evidence.facts, "api": {"hosts": ["api.example"], "service": [finding]}})


THOUGHT = "<think>Is it Rome?</think>"
PLANTED: dict[str, tuple[str, str | None, Evidence]] = {
    "a server that cuts, with the tokenizer known": ("prompt_cut", "api", long_prompts(200)),
    "a server that cuts, with another tokenizer": ("prompt_cut", "api", other_tokenizer(400)),
    "a server that cuts every prompt": (
        "prompt_cut",
        "api",
        changed("api", lambda n, each: {
            "messages": [Message(role="user", content="word " * (400 + 20 * n))], "prompt_tokens": 300}),
    ),
    "control tokens in the texts sent": (
        "template_twice",
        "prompt",
        changed("prompt", lambda n, each: {
            "messages": [Message(role="user", content=f"<|im_start|>user\n{each['question']}<|im_end|>")]}),
    ),
    "a service that reads more than it was sent": ("template_twice", "api", long_prompts(None, shown=9)),
    "a service whose checks say so": (
        "template_twice", "api", with_service("the chat template is applied once", False)
    ),
    "a service that applies no template": ("template_missing", "api", long_prompts(None, shown=-4)),
    "answers cut at their length": (
        "answer_cut", "prompt", changed("prompt", lambda n, each: {"finish": "length"} if n < 20 else {})
    ),
    "thinking that was scored": (
        "thinking_scored",
        "prompt",
        scored_exactly(changed("prompt", lambda n, each: {"text": THOUGHT + each["text"]})),
    ),
    "thinking that never ends": (
        "thinking_unfinished",
        "prompt",
        changed("prompt", lambda n, each: {"text": "<think>Is it", "finish": "length", "score": 0.0} if n < 2 else {}),
    ),
    "thinking that scorers leave out": (
        "thinking_left_out", "prompt", changed("prompt", lambda n, each: {"text": THOUGHT + each["text"]})
    ),
    "empty answers": (
        "empty_answers", "api", changed("api", lambda n, each: {"text": " \n", "score": 0.0} if n % 9 == 0 else {})
    ),
    "one answer to everything": (
        "same_answer_always",
        "api",
        scored_exactly(changed("api", lambda n, each: {"text": "Rome." if n % 2 else "rome"})),
    ),
    "a scorer that gives 0 to all": (
        "scorer_at_floor",
        None,
        replace(honest(), answers={
            name: [each | {"text": f"no {n}", "score": 0.0} for n, each in enumerate(given)]
            for name, given in honest().answers.items()}),
    ),
    "a test that is too easy": (
        "scorer_saturated",
        None,
        replace(honest(), answers={
            name: [each | {"text": each["accepted"][0], "score": 1.0} for each in given]
            for name, given in honest().answers.items()}),
    ),
    "right answers among other words": (
        "answer_in_longer_reply",
        "prompt",
        scored_exactly(changed("prompt", lambda n, each: {"text": f"The town is {each['text']}, I think"})),
    ),
    "test rows that are nearly learnt": ("leak", None, nearly_learnt()),
    "test answers in the documents": ("leak", None, in_documents(answered=True)),
    "test questions among the examples": ("leak", "prompt", changed("prompt", asked_with_itself)),
    "test rows that repeat each other": ("near_duplicate_test", None, with_test(repeating)),
    "a judge of the same family": ("judge_same_family", "api", judged_by("Qwen/Qwen3-32B")),
    "a judge that judges itself": ("judge_same_family", "prompt", judged_by("starter")),
    "a judge that cannot be read": (
        "judge_unreadable",
        "api",
        judged_by("claude", changed("api", lambda n, each: {
            "score": None if n < 5 else 1.0, "judged": {"verdict": None if n < 5 else "RIGHT", "said": "Well."}})),
    ),
    "a scorer that gives 0 to all that it can score": (
        "scorer_at_floor",
        None,
        replace(honest(), answers={
            name: [each | {"text": f"no {n}", "score": 0.0 if n else None} for n, each in enumerate(given)]
            for name, given in honest().answers.items()}),
    ),
    "a judge that is down": (
        "judge_silent",
        "api",
        judged_by("claude", changed("api", lambda n, each: {
            "score": None, "error": "the judge gave no answer: refused", "judged": {"verdict": None, "said": ""}}
            if n < 5 else {"judged": {"verdict": "RIGHT", "said": "Well."}})),
    ),
    "a scorer that disagrees with people": ("scorer_disagrees", None, checked("disagrees")),
}  # fmt: skip


@pytest.mark.parametrize(("kind", "path", "evidence"), PLANTED.values(), ids=PLANTED)
def test_a_planted_fault_is_caught_by_its_name_and_nothing_else_is(
    kind: str, path: str | None, evidence: Evidence
) -> None:
    assert kinds(evidence) == {(kind, path)}


@pytest.mark.parametrize(("kind", "path", "evidence"), PLANTED.values(), ids=PLANTED)
def test_a_finding_says_what_and_what_to_do_and_names_rows_that_are_there(
    kind: str, path: str | None, evidence: Evidence
) -> None:
    (found,) = find_false_measurements(evidence)
    assert found.what and found.hint and not found.what.endswith(".")
    known = {row.id for row in evidence.brief.test}
    assert len(found.rows) == len(set(found.rows)) and set(found.rows) <= known
    assert json.loads(json.dumps(found.as_dict())) == found.as_dict()


@pytest.mark.parametrize(
    "evidence",
    [
        honest(),
        long_prompts(None),
        other_tokenizer(10**6),
        replace(long_prompts(None), count_tokens=None),
        judged_by("claude-x"),
        in_documents(answered=False),
        checked("unsure"),
        with_service("the chat template is applied once", True),
        changed("prompt", lambda n, each: {"finish": "length"} if each["score"] == 1 else {}),
        changed("prompt", lambda n, each: {"text": "", "finish": "error", "score": None} if n < 9 else {}),
    ],
    ids=["plain", "long prompts", "another tokenizer", "bytes", "a judge", "documents", "unsure", "service",
         "cut but right", "errors"],
)  # fmt: skip
def test_an_honest_run_gives_none(evidence: Evidence) -> None:
    assert find_false_measurements(evidence) == []


@pytest.mark.parametrize("removed", measurements.CHECKS, ids=lambda check: check.__name__)
def test_no_check_could_be_left_out(removed: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it, some planted fault is not caught any more."""
    kept = tuple(check for check in measurements.CHECKS if check is not removed)
    monkeypatch.setattr(measurements, "CHECKS", kept)
    assert any((kind, path) not in kinds(evidence) for kind, path, evidence in PLANTED.values())


def test_rows_that_are_cut_are_named_one_by_one() -> None:
    (found,) = find_false_measurements(long_prompts(200))
    sizes = {each["id"]: words(each["messages"]) for each in long_prompts(None).answers["api"]}
    assert set(found.rows) == {row for row, size in sizes.items() if size > 200 + 0.02 * size}


def test_how_many_rows_the_test_is_worth() -> None:
    """4 pairs of 40 rows: 40^2 / (32 x 1 + 4 x 4) = 33."""
    (found,) = find_false_measurements(with_test(repeating))
    assert found.rows == ["t1", "t11", "t21", "t31"] and "as much as 33 rows" in found.what


def test_a_conversation_that_repeats_itself_is_no_leak() -> None:
    """The row itself has three turns, of which the last asks again what the first asked."""
    evidence = changed("prompt", asked_with_itself)
    test = tuple(
        replace(row, messages=evidence.answers["prompt"][n]["messages"][:2] + row.messages) if n < 2 else row
        for n, row in enumerate(evidence.brief.test)
    )
    assert kinds(replace(evidence, brief=replace(evidence.brief, test=test))) == set()


def test_repeated_rows_of_one_group_are_known_to_the_statistics() -> None:
    def grouped(n: int, row: Row) -> Row:
        return replace(repeating(n, row), group=f"g{n // 2}")

    assert find_false_measurements(with_test(grouped)) == []


def test_a_question_with_another_answer_is_no_repetition() -> None:
    def contrast(n: int, row: Row) -> Row:
        return replace(repeating(n, row), answers=row.answers)

    assert find_false_measurements(with_test(contrast)) == []


def test_a_cut_that_favours_an_arm_is_said() -> None:
    (found,) = find_false_measurements(changed("prompt", lambda n, each: {"finish": "length"}))
    assert "not compared on the same terms" in found.what


def test_a_check_of_scores_that_are_no_more_is_not_told() -> None:
    evidence = checked("disagrees")
    rescored = [each | {"score": 1.0 - each["score"]} for each in evidence.answers["prompt"]]
    assert find_false_measurements(replace(evidence, answers={**evidence.answers, "prompt": rescored})) == []


def test_families_are_told_from_names_and_from_a_folders_configuration(tmp_path: Path) -> None:
    assert families("Qwen/Qwen3-8B") == families("qwen-max") == {"Qwen"}
    assert families("deepseek-ai/DeepSeek-R1-Distill-Llama-8B") == {"DeepSeek", "Llama"}
    assert families("gpt-4o-mini") == families("o3-mini") == {"GPT"}
    assert families("starter") == families("HuggingFaceTB/SmolLM2-135M-Instruct") == {"SmolLM"}
    assert families("ollama/my-model") == {"ollama/my-model"} and families("llama.cpp") == {"llama.cpp"}
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "qwen2"}')
    assert families(str(folder)) == {"Qwen"}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_folders.language_model(tmp_path_factory.mktemp("models") / "tiny")


def run_of(folder: Path, base: Path, evidence: Evidence, documents: str | None = None) -> Path:
    """The files of a run from which evidence is read."""
    (folder / "paths").mkdir(parents=True)
    (folder / "config.yaml").write_text(f"task: task\nout: run\nbase: {base}\n")
    for name, model in evidence.models.items():
        PathConfig(name=name, description="d", model=model, documents=documents and "all.txt").save(
            folder / "paths" / name
        )
        (folder / "paths" / name / "all.txt").write_text(documents or "")
    if evidence.judge_check is not None:
        (folder / CHECK_FILE).write_text(json.dumps(evidence.judge_check))
    return folder


def told(run: Path, evidence: Evidence) -> list[tuple[str, str | None]]:
    found = warnings_of_run(run, evidence.brief, evidence.answers, evidence.facts)
    return [(each["kind"], each["path"]) for each in found]


def test_a_run_folder_is_read_and_what_is_found_is_said(
    tmp_path: Path, base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever needs a file of its own: the tokenizer, the result of judge-check, the documents, the models' names."""
    plain = run_of(tmp_path / "honest", base, honest(), "Nothing of the test.")
    assert told(plain, honest()) == [] and capsys.readouterr().err == ""
    asked = rows()[7]
    leaking = run_of(tmp_path / "leaking", base, checked("disagrees"), f"Q: {asked.question} A: {asked.answers[0]}")
    assert told(leaking, honest()) == [("leak", None), ("scorer_disagrees", None)]
    shown = capsys.readouterr().err
    assert "warning: leak: 1 of 40 test questions" in shown and "warning: scorer_disagrees: People say" in shown
    assert told(plain, judged_by("Qwen/Qwen3-32B")) == [("judge_same_family", "api")]


def test_prompts_are_counted_by_the_tokenizer_of_the_base(tmp_path: Path, base: Path) -> None:
    """A service with the base's own tokenizer that reads 2,000 tokens at most."""
    chat = ChatFormat(load_tokenizer(base))
    evidence = long_prompts(None)
    counted = [
        each | {"prompt_tokens": min(len(chat.prompt(each["messages"])), 2_000)} for each in evidence.answers["api"]
    ]
    evidence = replace(evidence, answers={**evidence.answers, "api": counted})
    assert told(run_of(tmp_path / "run", base, evidence), evidence) == [("prompt_cut", "api")]
