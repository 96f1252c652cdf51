"""A planted difference of each kind is told by name, and an honest run tells nothing."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sartor.base.configuration import Layer, build
from sartor.base.durable import replace_json
from sartor.choosing.choose import ChooseConfig, Outcome, rescore, run
from sartor.choosing.faults.arms_lint import ARM_FILE, CHECKS, Arm, Arms, lint
from sartor.data.records import Row
from sartor.retrieval.path import Knowledge, PathConfig
from tests import tiny_folders

SAMPLING = {"max_new_tokens": 8, "temperature": 0.0, "stop": [], "seed": 0}
KNOWLEDGE = Knowledge(file="k", passages=1)


def row(number: int) -> Row:
    question = f"where is ship {number}"
    return Row(f"r{number}", [{"role": "user", "content": question}], ("north",), f"g{number}", ("d",))


ROWS = tuple(map(row, range(4)))


def answer(asked: Row, passages: bool, system: bool = True, **settings: Any) -> dict[str, Any]:
    text = "it lies north" if passages else ""
    front = [{"role": "system", "content": "Answer."}] if system else []
    content = f"[1] {text}\n\nQuestion: {asked.question}" if passages else asked.question
    return {
        "id": asked.id,
        "question": asked.question,
        "accepted": list(asked.answers),
        "text": f"answer {asked.id}",
        "score": 1.0,
        "seed": 0,
        "model": "abc",
        "messages": [*front, {"role": "user", "content": content}],
        "passages": [{"document_id": "d", "text": text}] if passages else [],
    } | settings


def arm(name: str, conditions: dict[str, Any] | None = None, seconds: float = 10.0, **settings: Any) -> Arm:
    reads = "rag" in name
    given = settings.pop("answers", None) or [answer(each, reads) for each in ROWS]
    values = {"name": name, "description": "", "model": "m", "instruction": "Answer.", "max_new_tokens": 8}
    config = PathConfig(**(values | ({"knowledge": KNOWLEDGE} if reads else {}) | settings))
    kept = {"sampling": SAMPLING, "scorer": "exact", "template": "t"} | (conditions or {})
    return Arm(name, config, given, {"setup_seconds": seconds}, kept)


def kinds(*arms: Arm, share: float = 100.0) -> dict[str, str | None]:
    return {found.kind: found.path for found in lint(Arms(arms, ROWS, share))}


def changed(**settings: Any) -> list[dict[str, Any]]:
    return [answer(each, False, **settings) for each in ROWS]


HONEST = [arm("rag"), arm("prompt")]
EARLIER = [{"role": "user", "content": "Where is SHIP 2?"}, {"role": "assistant", "content": "north"}]
PLANTED: dict[str, Callable[[], Arm]] = {
    "prompt_without_passages": lambda: arm("finetune", instruction="Answer from the passages."),
    "passages_without_prompt": lambda: arm("finetune+rag", instruction="Answer from memory."),
    "unequal_length": lambda: arm("finetune", {"sampling": SAMPLING | {"max_new_tokens": 64}}),
    "other_stop": lambda: arm("finetune", {"sampling": SAMPLING | {"stop": ["\n"]}}),
    "other_sampling": lambda: arm("finetune", {"sampling": SAMPLING | {"temperature": 0.7}}),
    "other_scorer": lambda: arm("finetune", {"scorer": "contains"}),
    "other_rows": lambda: arm("finetune", answers=changed(accepted=["south"])),
    "other_base": lambda: arm("finetune", model="another"),
    "other_template": lambda: arm("finetune", {"template": "another"}),
    "system_prompt_in_one": lambda: arm("finetune", answers=changed(system=False)),
    "unequal_budget": lambda: arm("finetune", seconds=500.0),
    "examples_from_test": lambda: arm("finetune", examples=[("Where is ship 1?", "north")]),
}


def test_every_kind_has_a_planted_fault() -> None:
    assert set(PLANTED) == {check.__name__ for check in CHECKS}


@pytest.mark.parametrize("kind", PLANTED)
def test_a_planted_fault_is_told_by_name_of_its_path_and_nothing_else_is(kind: str) -> None:
    planted = PLANTED[kind]()
    assert kinds(*HONEST, planted) == {kind: planted.name}


def test_equal_arms_are_told_nothing_of() -> None:
    assert kinds(*HONEST, arm("finetune"), arm("finetune+rag")) == {}


@pytest.mark.parametrize(
    ("planted", "kind"),
    [
        (arm("finetune+rag", answers=[answer(each, True, messages=changed()[0]["messages"]) for each in ROWS]),
         "passages_without_prompt"),
        (arm("finetune", answers=[answer(each, True) for each in ROWS]), "passages_without_prompt"),
        (arm("finetune", answers=changed(score=0.5)), "other_scorer"),
        (arm("finetune", answers=changed()[:3]), "other_rows"),
        (arm("finetune", answers=changed(model="other weights")), "other_base"),
        (arm("finetune", answers=changed(seed=7)), "other_sampling"),
        (arm("finetune", answers=[answer(each, False, messages=EARLIER + changed()[0]["messages"]) for each in ROWS]),
         "examples_from_test"),
    ],
)  # fmt: skip
def test_it_is_also_told_from_the_answers(planted: Arm, kind: str) -> None:
    found = [each for each in lint(Arms([*HONEST, planted], ROWS)) if each.kind == kind]
    assert [each.path for each in found] == ["finetune+rag" if "rag" in planted.name else "finetune"]
    if kind not in ("other_base", "other_sampling"):
        assert set(found[0].rows) <= {each.id for each in ROWS} and found[0].rows


@pytest.mark.parametrize(
    ("instruction", "speaks"),
    [
        ("Use the context below.", True),
        ("Answer from the given text.", True),
        ("Which documents say so?", True),
        ("Reply in the context of banking.", False),
        ("Answer the question with a short phrase.", False),
    ],
)
def test_which_instructions_speak_of_passages(instruction: str, speaks: bool) -> None:
    assert ("prompt_without_passages" in kinds(arm("rag"), arm("prompt", instruction=instruction))) is speaks
    assert kinds(arm("rag", instruction=instruction)) == {}


def test_where_no_path_reads_passages_the_text_is_the_question() -> None:
    label = "Label the following text."
    assert kinds(arm("prompt", instruction=label), arm("finetune", instruction=label)) == {}
    assert kinds(arm("rag"), arm("finetune", instruction=label)) == {"prompt_without_passages": "finetune"}


def test_a_fit_that_ends_a_little_late_is_no_finding() -> None:
    assert kinds(arm("prompt"), arm("finetune", seconds=150.0), share=100.0) == {}
    assert kinds(arm("prompt"), arm("finetune", seconds=40.0), share=1.0) == {}  # the last step of a short fit
    assert "unequal_budget" in kinds(arm("prompt"), arm("finetune", seconds=62.0), share=1.0)


def test_a_remote_model_may_be_another_and_write_otherwise() -> None:
    remote = arm("api", {"template": None}, api_base_url="http://x", model="gpt", answers=changed(model="gpt"))
    assert kinds(*HONEST, remote) == {}


# --- a whole run ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outcome]:
    folder = tmp_path_factory.mktemp("models")
    tiny_folders.language_model(folder / "language")
    task = tiny_folders.task(tmp_path_factory.mktemp("tasks") / "ships")
    with pytest.MonkeyPatch.context() as patch:
        tiny_folders.use_embedder(patch, tiny_folders.embedding_model(folder / "embedding"))
        settings = {"task": str(task), "base": str(folder / "language"), "paths": ["prompt", "rag", "finetune"]}
        out = str(tmp_path_factory.mktemp("runs") / "ships")
        yield run(build(ChooseConfig, Layer({**settings, "out": out, "budget": "3s", "probes": ["none"]})))


def linted(outcome: Outcome) -> set[tuple[str, str | None]]:
    names = {check.__name__ for check in CHECKS}
    return {(each["kind"], each["path"]) for each in outcome.choice["warnings"] if each["kind"] in names}


def test_an_honest_run_is_told_nothing_of_and_a_changed_one_is(finished: Outcome) -> None:
    assert linted(finished) == set()
    file = finished.out / "paths" / "finetune" / ARM_FILE
    conditions = json.loads(file.read_text())
    assert conditions["scorer"] == "regex" and conditions["template"] and conditions["sampling"]["max_new_tokens"] > 0
    replace_json(file, conditions | {"template": "another"})
    assert linted(rescore(finished.out)) == {("other_template", "finetune")}
