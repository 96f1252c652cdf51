"""Several adapters, prompts and knowledge files as model ids over one base in memory."""

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from sartor.adapters.lora import LoraSettings, add_lora
from sartor.adapters.store import adapter_files
from sartor.data.extract import read_documents
from sartor.data.records import Conversation
from sartor.generation.local import LocalModel
from sartor.generation.protocol import Sampling
from sartor.models.forward import load_packed
from sartor.models.hub import locate
from sartor.retrieval.embedder import Embedder
from sartor.retrieval.indexing import index_folder
from sartor.retrieval.path import Knowledge, PathConfig
from sartor.retrieval.store import KnowledgeStore
from sartor.serving.paths import named_paths, served_models
from sartor.serving.served_model import ServedModel
from tests import tiny_folders

QUESTION: Conversation = [{"role": "user", "content": "where does the red ship lie"}]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A base, two runs with adapters on it, a choice with two paths, and a knowledge file."""
    base = tiny_folders.language_model(tmp_path / "base")
    for seed, name in enumerate(("one", "two")):
        adapter(tmp_path / name / "adapter", base, seed)
    embedding = tiny_folders.embedding_model(tmp_path / "embedding")
    documents(tmp_path, "The red ship lies in the north harbour.")
    with KnowledgeStore(tmp_path / "ships.sqlite", create=True) as store:
        index_folder(store, read_documents(tmp_path / "documents"), Embedder(embedding, source="minilm"))
    knowledge = Knowledge(file="../../../ships.sqlite", passages=1, dense_weight=0.4)
    PathConfig(name="rag", description="", model=str(base), knowledge=knowledge).save(tmp_path / "choice/paths/rag")
    tuned = {"model": str(base), "adapter": "../../../one/adapter", "knowledge": knowledge}
    PathConfig.model_validate({"name": "both", "description": ""} | tuned).save(tmp_path / "choice/paths/both")
    (tmp_path / "choice" / "choice.json").write_text('{"choice": "rag"}')
    with pytest.MonkeyPatch.context() as patch:
        tiny_folders.use_embedder(patch, embedding)
        yield tmp_path


def adapter(folder: Path, base: Path, seed: int) -> None:
    model, settings = load_packed(base, torch.float32), LoraSettings(4, 8.0)
    numbers = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for layer in add_lora(model, settings).values():
            layer.lora_B.normal_(std=0.3, generator=numbers)
    folder.mkdir(parents=True)
    for name, content in adapter_files(model, settings, str(base)).items():
        (folder / name).write_bytes(content)


def documents(place: Path, text: str) -> None:
    (place / "documents").mkdir(exist_ok=True)
    (place / "documents" / "ships.md").write_text(text)


def open_all(place: Path) -> dict[str, ServedModel]:
    names = ["one", "two", "base", "choice:rag", "choice:both", "ships.sqlite"]
    models = served_models([str(place / name) for name in names], base=str(place / "base"))
    return {model.id: model for model in models}


def answer(model: ServedModel, asked: Conversation = QUESTION) -> list[int]:
    assert model.engine is not None
    prompt, _ = model.prepare(asked, ())
    (request,) = model.engine.add_group(prompt, [Sampling(max_new_tokens=8)], adapter=model.adapter)
    found = []
    while model.engine.has_work:
        found += [event.token_id for event in model.engine.step() if event.request_id == request]
    return found


def test_one_base_one_store_and_one_embedder_serve_them_all(place: Path) -> None:
    before = weights_in_memory()
    models = open_all(place)
    assert list(models) == ["one", "two", "base", "choice:rag", "choice:both", "ships", "minilm"]
    answering = [model for name, model in models.items() if name != "minilm"]
    assert len({id(model.engine) for model in answering}) == 1
    assert models["one"].adapter == models["choice:both"].adapter != models["two"].adapter
    assert models["base"].adapter is None and models["choice:rag"].adapter is None
    retrievers = [models[name].prepare.retriever for name in ("choice:rag", "choice:both", "ships")]
    assert len({id(each.store) for each in retrievers}) == 1
    assert {id(each.embedder) for each in retrievers} == {id(models["minilm"].embedder)}
    own = LocalModel.open(locate(str(place / "base"))).model
    base_numbers = sum(parameter.numel() for parameter in own.parameters())
    del own
    assert weights_in_memory() - before < 3.5 * base_numbers, "a base, an embedder and small adapters, not five bases"


def weights_in_memory() -> int:
    """Numbers in all parameters that are alive."""
    gc.collect()
    found = [each for each in gc.get_objects() if type(each) is torch.nn.Parameter]
    return sum({each.data_ptr(): each.numel() for each in found}.values())


def test_each_says_what_it_says_alone(place: Path) -> None:
    together = open_all(place)
    said = {name: answer(together[name]) for name in ("one", "two", "base")}
    assert len({tuple(tokens) for tokens in said.values()}) == 3
    for name, tokens in said.items():
        (alone,) = served_models([str(place / name)])
        assert alone.adapter is None and answer(alone) == tokens, "alone, an adapter is built into its base"


def test_a_changed_knowledge_file_is_read_by_itself(place: Path) -> None:
    models = open_all(place)
    for name in ("ships", "choice:both"):
        _, passages = models[name].prepare(QUESTION, ())
        assert passages is not None and "north" in passages[0].text
    documents(place, "The red ship lies in the south harbour.")
    embedder = Embedder(place / "embedding")
    with KnowledgeStore(place / "ships.sqlite") as store:  # as another process would
        index_folder(store, read_documents(place / "documents"), embedder)
    for name in ("ships", "choice:both"):
        _, passages = models[name].prepare(QUESTION, ())
        assert passages is not None and ["south" in each.text and "north" not in each.text for each in passages] == [
            True
        ]


def test_a_path_of_a_choice_can_be_named_in_two_ways(place: Path) -> None:
    choice = str(place / "choice")
    assert [each.id for each in named_paths([choice], "both", "starter")] == ["choice:both", "minilm"]
    assert [each.id for each in named_paths([f"{choice}:both", choice], None, "starter")] == [
        "choice:both",
        "choice",
        "minilm",
    ]
