"""lm-evaluation-harness against our server: scores and answers are those of the same model in its own process."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.serving.tiny_server import TinyServer, tiny_server

pytest.importorskip("lm_eval", reason="lm-evaluation-harness is not installed")

ROWS = [
    {
        "question": f"where does the {animal} sit {number}",
        "choices": ["on the mat", "nowhere", "añ 猫"],
        "answer": number % 3,
    }
    for number, animal in enumerate(["cat", "dog", "猫", "cat and the dog"])
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TinyServer]:
    with tiny_server(tmp_path_factory.mktemp("tiny")) as made:
        yield made


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """One that scores choices and one that generates, on rows of a local file."""
    folder = tmp_path_factory.mktemp("task")
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    common: dict[str, Any] = {
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(folder / "rows.jsonl")}, "cache_dir": str(folder / "cache")},
        "test_split": "test",
        "doc_to_text": "{{question}}",
    }
    choosing = {
        "task": "tiny_choices",
        "output_type": "multiple_choice",
        "doc_to_choice": "{{choices}}",
        "doc_to_target": "{{answer}}",
        "metric_list": [{"metric": "acc"}],
    }
    answering = {
        "task": "tiny_answers",
        "output_type": "generate_until",
        "doc_to_target": "{{choices[answer]}}",
        "generation_kwargs": {"until": ["\n\n"], "max_gen_toks": 6},
        "metric_list": [{"metric": "exact_match"}],
    }
    return {"choices": common | choosing, "answers": common | answering}


@pytest.fixture(scope="module", autouse=True)
def _no_report_of_the_machine() -> Iterator[None]:
    """The harness asks a dozen programs for their versions, which takes it half a minute a run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lm_eval.evaluator.add_env_info", lambda results: None)
        patch.setattr("lm_eval.evaluator.get_git_commit_hash", lambda: "")
        yield


def evaluate(model: Any, task: dict[str, Any], chat: bool = False) -> list[Any]:
    """The model's responses, request by request."""
    import lm_eval
    from lm_eval.tasks import TaskManager

    found = lm_eval.simple_evaluate(
        task_manager=TaskManager(include_defaults=False),  # it would read some ten thousand task files
        model=model,
        tasks=[task],
        apply_chat_template=chat,
        log_samples=True,
        bootstrap_iters=0,
        verbosity="ERROR",
    )
    samples = sorted(found["samples"][task["task"]], key=lambda sample: sample["doc_id"])
    assert len(samples) == len(ROWS)
    return [response[0] for sample in samples for response in sample["resps"]]


@pytest.fixture(scope="module")
def in_process(server: TinyServer) -> Any:
    from lm_eval.models.huggingface import HFLM

    model = AutoModelForCausalLM.from_pretrained(server.folder, dtype=torch.float32)
    return HFLM(pretrained=model, tokenizer=AutoTokenizer.from_pretrained(server.folder), device="cpu", batch_size=1)


def local_completions(server: TinyServer, **options: Any) -> Any:
    from lm_eval.models.openai_completions import LocalCompletionsAPI

    return LocalCompletionsAPI(model="tiny", base_url=f"{server.url}/v1/completions", max_length=512, **options)


@pytest.mark.parametrize(
    "options",
    [
        {"tokenizer_backend": "auto"},
        {"tokenizer_backend": "remote", "batch_size": 3},
        {"tokenizer_backend": "huggingface", "tokenized_requests": False},
    ],
    ids=["ids, tokenizer of the server", "several at once", "texts, tokenizer of the client"],
)
def test_local_completions_scores_as_in_process(
    server: TinyServer, tasks: dict[str, Any], in_process: Any, options: dict[str, Any]
) -> None:
    options = dict(options)
    if options["tokenizer_backend"] == "huggingface":
        options["tokenizer"] = str(server.folder)
    model = local_completions(server, **options)
    if options["tokenizer_backend"] == "auto":
        assert model.tokenizer_backend == "remote", "the harness did not find our tokenizer"
    scored, expected = evaluate(model, tasks["choices"]), evaluate(in_process, tasks["choices"])
    assert len(scored) == 3 * len(ROWS)
    for (ours, our_greedy), (theirs, their_greedy) in zip(scored, expected, strict=True):
        assert ours == pytest.approx(theirs, abs=1e-3) and our_greedy == their_greedy


def test_local_completions_generates_as_in_process(server: TinyServer, tasks: dict[str, Any], in_process: Any) -> None:
    answers = evaluate(local_completions(server, tokenizer_backend="remote"), tasks["answers"])
    assert answers == evaluate(in_process, tasks["answers"]) and any(answers)


def test_local_chat_completions_answers_as_in_process(
    server: TinyServer, tasks: dict[str, Any], in_process: Any
) -> None:
    from lm_eval.models.openai_completions import LocalChatCompletion

    model = LocalChatCompletion(model="tiny", base_url=f"{server.url}/v1/chat/completions")
    answers = evaluate(model, tasks["answers"], chat=True)
    assert answers == evaluate(in_process, tasks["answers"], chat=True) and any(answers)
