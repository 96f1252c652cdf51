"""Whether all documents fit, to the token; which prompt stands behind them; that they are read once."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sartor.base.errors import UsageError
from sartor.choosing.brief import Brief, make_brief
from sartor.choosing.fitting.budget import Share
from sartor.choosing.prompted import long_context
from sartor.choosing.prompted.long_context import (
    NAME,
    Room,
    fit_long_context,
    room_for_documents,
    seconds_to_read,
    without_what_does_not_fit,
)
from sartor.choosing.prompted.prompting import Prompt
from sartor.data.chat import ChatFormat
from sartor.data.records import Message
from sartor.data.task import Task
from sartor.generation.local import LocalModel
from sartor.generation.protocol import Reply, Sampling
from sartor.models.hub import ModelLocation, load_tokenizer
from sartor.retrieval.path import PathConfig, open_path
from tests import tiny_folders


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_folders.language_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def brief(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Brief:
    task = tiny_folders.task(tmp_path_factory.mktemp("tasks") / "ships")
    return make_brief(Task.load(task), str(model))


def with_context(monkeypatch: pytest.MonkeyPatch, tokens: int) -> None:
    monkeypatch.setattr(long_context, "context_tokens", lambda folder: tokens)


def test_what_is_needed_is_what_the_longest_prompt_has_and_one_token_decides(
    model: Path, brief: Brief, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = room_for_documents(brief, str(model))
    chat = ChatFormat(load_tokenizer(model))
    assert brief.task.documents is not None
    texts = "\n\n".join(
        f"[{n}] {file.name}: {file.read_text().splitlines()[0].lstrip('# ')}\n{file.read_text().strip()}"
        for n, file in enumerate(sorted(brief.task.documents.iterdir()), 1)
    )
    system = Message(role="system", content=f"Documents:\n\n{texts}\n\n{brief.task.instruction}")
    prompts = [len(chat.prompt([system, *row.messages])) for row in (*brief.train, *brief.dev, *brief.test)]
    assert room.needed == max(prompts) + brief.max_new_tokens and room.there == 4096 and room.fits
    for tokens, fits in ((room.needed, True), (room.needed - 1, False)):
        with_context(monkeypatch, tokens)
        assert room_for_documents(brief, str(model)).fits is fits


def test_a_path_that_does_not_fit_is_told_of_or_refused(
    model: Path, brief: Brief, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ["prompt", NAME, "finetune"]
    assert without_what_does_not_fit(names, brief, str(model), []) == names
    with_context(monkeypatch, 100)
    assert without_what_does_not_fit(names, brief, str(model), []) == ["prompt", "finetune"]
    said = capsys.readouterr().err
    assert f"path {NAME} does not apply: documents, question and answer take" in " ".join(said.split())
    assert "reads 100 tokens" in " ".join(said.split())
    with pytest.raises(UsageError, match="path long-context cannot be measured"):
        without_what_does_not_fit(names, brief, str(model), [NAME])
    assert without_what_does_not_fit(["prompt"], brief, str(model), [NAME]) == ["prompt"]


def test_documents_that_are_far_too_long_are_not_all_read(
    model: Path, brief: Brief, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    every = long_context.read_documents
    monkeypatch.setattr(long_context, "read_documents", lambda source: (read.append(d.id) or d for d in every(source)))
    with_context(monkeypatch, 8)
    room = room_for_documents(brief, str(model))
    assert not room.fits and room.cut_short and len(read) < 6
    assert Room(90_000, 8_192, cut_short=True).sentence == (
        "documents, question and answer take more than 90,000 tokens, and the model reads 8,192 tokens"
    )


class Reader:
    """Right where the documents are there and the instruction says `magic`."""

    def __init__(self, brief: Brief):
        self.answers = {row.question: row.answers[0] for row in brief.dev}
        self.asked: list[Any] = []

    def generate(self, conversations: Any, sampling: Sampling, on_reply: Any = None) -> list[Reply]:
        self.asked += conversations
        return [
            Reply(self.answers[each[-1]["content"]] if self._knows(each) else "no", "stop") for each in conversations
        ]

    def _knows(self, conversation: Any) -> bool:
        return "Documents:" in conversation[0]["content"] and "magic" in conversation[0]["content"]


def shop_of(brief: Brief, model: Any, prompt: Prompt) -> Any:
    return SimpleNamespace(
        brief=brief,
        config=SimpleNamespace(seed=0),
        model=lambda name: model,
        prompt_of=lambda name: prompt,
        prompt_settings=lambda prompt: {"instruction": prompt.instruction, "examples": list(prompt.examples)},
        path_config=lambda name, **settings: PathConfig(
            name=name, description="d", model="m", max_new_tokens=8, **settings
        ),
    )


def test_what_prompting_chose_is_tried_behind_the_documents(brief: Brief, tmp_path: Path) -> None:
    reader = Reader(brief)
    better = Prompt("Use magic.", (("red?", "north"),), "as prompting chose")
    path, tried = fit_long_context(shop_of(brief, reader, better), NAME, tmp_path, Share(1000))
    assert (path.instruction, path.examples, path.documents) == ("Use magic.", [("red?", "north")], "documents.txt")
    assert [(each.setting, each.chosen) for each in tried] == [
        ("all documents, instruction, 0 examples", False), ("all documents, as prompting chose", True)
    ]  # fmt: skip
    assert tried[1].dev_score == 1.0
    assert seconds_to_read(tmp_path) > 0
    same = Prompt(brief.task.instruction, (), "as prompting chose")
    _, tried = fit_long_context(shop_of(brief, Reader(brief), same), NAME, tmp_path, Share(1000))
    assert len(tried) == 1


def test_the_path_sends_what_was_tried_and_reads_the_documents_once(model: Path, brief: Brief, tmp_path: Path) -> None:
    reader = Reader(brief)
    plain = Prompt(brief.task.instruction, (), "as prompting chose")
    path, _ = fit_long_context(shop_of(brief, reader, plain), NAME, tmp_path, Share(1000))
    served = Reader(brief)
    open_path(path, tmp_path, served).generator.generate([row.messages for row in brief.dev], Sampling())
    key = lambda conversation: conversation[-1]["content"]  # noqa: E731
    assert sorted(served.asked, key=key) == sorted(reader.asked, key=key)
    local = LocalModel.open(ModelLocation("tiny", model))
    opened = open_path(replace_model(path, model), tmp_path, local)
    needed = room_for_documents(brief, str(model)).needed
    for row in brief.dev[:3]:
        opened.generator.generate([row.messages], path.sampling)
    counts = local.engine.prefix_cache.counts
    assert counts.hits == 2 and counts.prompt_tokens - counts.reused_tokens < 1.5 * needed


def replace_model(path: PathConfig, model: Path) -> PathConfig:
    return path.model_copy(update={"model": str(model)})
