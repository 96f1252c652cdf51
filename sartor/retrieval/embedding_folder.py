"""What a sentence-transformers folder says about how its model embeds; what would be read wrongly is refused."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sartor.base.errors import UsageError

MEAN, FIRST = "mean", "cls"
UNDERSTOOD = ("Transformer", "Pooling", "Normalize")
LIMITLESS_TOKENS = 1_000_000
"""A tokenizer's `model_max_length` beyond this stands for "unknown"."""

TYPES_WITH_POSITIONS_AFTER_PADDING = ("roberta", "xlm-roberta", "mpnet", "camembert")
QUERY_PROMPTS, DOCUMENT_PROMPTS = ("query",), ("document", "passage", "corpus")


@dataclass(frozen=True)
class EmbeddingFolder:
    """`pooling` is the mean of the last layer's tokens or their first; the prompts stand before every question and
    passage ("" for most models). Vectors are compared by their direction, so that they are always normalised."""

    folder: Path
    pooling: str
    max_tokens: int
    lower_case: bool
    query_prompt: str
    document_prompt: str

    @property
    def manner(self) -> str:
        """How it embeds, in words that change when the vectors would; "" for the plainest manner."""
        parts = ([self.pooling] if self.pooling != MEAN else []) + (["lower"] if self.lower_case else [])
        if self.query_prompt or self.document_prompt:
            parts.append(json.dumps([self.query_prompt, self.document_prompt]))
        return " ".join(parts)


def read_embedding_folder(folder: Path) -> EmbeddingFolder:
    """UsageError when the folder holds no safetensors model, or one that embeds in a manner not understood here."""
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        if not (folder / name).is_file():
            raise UsageError(
                f"not an embedding model: there is no {name}",
                where=str(folder),
                hint="name the folder of a sentence-transformers model with safetensors weights",
            )
    _require_modules(folder)
    stated = _read_json(folder / "config_sentence_transformers.json")
    similarity = stated.get("similarity_fn_name") or "cosine"
    if similarity != "cosine" and not (similarity == "dot" and _normalises(folder)):
        raise _not_understood(folder, f"its vectors are compared by {similarity}, not by the cosine")
    prompts = stated.get("prompts") or {}
    pooling, include_prompt = _pooling(folder)
    query, document = _prompt(prompts, QUERY_PROMPTS), _prompt(prompts, DOCUMENT_PROMPTS)
    if not include_prompt and (query or document):
        raise _not_understood(folder, "its pooling leaves out the tokens of the prompt")
    settings = _read_json(folder / "sentence_bert_config.json")
    limit, lower_case = _max_tokens(folder, settings), bool(settings.get("do_lower_case", False))
    return EmbeddingFolder(folder, pooling, limit, lower_case, query, document)


def _require_modules(folder: Path) -> None:
    """A transformer, a pooling, perhaps a normalisation; a folder that says nothing is taken for a transformer whose
    mean counts, as sentence-transformers does."""
    if not (folder / "modules.json").is_file():
        return
    modules = json.loads((folder / "modules.json").read_text(encoding="utf-8"))
    names = [str(module["type"]).rpartition(".")[2] for module in modules]
    if tuple(names) not in (UNDERSTOOD, UNDERSTOOD[:2]) or modules[0].get("path"):
        raise _not_understood(folder, f"its modules are {', '.join(names)}; understood: {', '.join(UNDERSTOOD)}")


def _normalises(folder: Path) -> bool:
    modules = folder / "modules.json"
    return modules.is_file() and "Normalize" in modules.read_text(encoding="utf-8")


def _pooling(folder: Path) -> tuple[str, bool]:
    """The manner of pooling, and whether the prompt's tokens take part."""
    pooling = _read_json(folder / "1_Pooling" / "config.json")
    modes = pooling.get("pooling_mode")
    if modes is None:  # as files said it before sentence-transformers 6
        switches = {"pooling_mode_mean_tokens": MEAN, "pooling_mode_cls_token": FIRST}
        modes = [
            switches.get(name, name) for name, on in pooling.items() if name.startswith("pooling_mode_") and on is True
        ]
        modes = modes or ([] if "pooling_mode_mean_tokens" in pooling else MEAN)
    modes = [modes] if isinstance(modes, str) else list(modes)
    if modes not in ([MEAN], [FIRST]):
        what = ", ".join(mode.removeprefix("pooling_mode_") for mode in modes) or "nothing"
        raise _not_understood(folder, f"it pools by {what}; understood: the mean of the tokens, or the first (cls)")
    return modes[0], bool(pooling.get("include_prompt", True))


def _prompt(prompts: dict[str, str], names: tuple[str, ...]) -> str:
    return next((prompts[name] for name in names if prompts.get(name)), "")


def _max_tokens(folder: Path, settings: dict[str, Any]) -> int:
    """What the folder says, at most what the model has positions for."""
    stated = settings.get("max_seq_length")
    return model_limit(folder, int(stated) if stated else None)


def model_limit(folder: Path, stated: int | None = None) -> int:
    """What is stated (else the tokenizer's limit), at most what the model has positions for; UsageError where nothing
    says it."""
    config = _read_json(folder / "config.json")
    positions = config.get("max_position_embeddings")
    if positions and config.get("model_type") in TYPES_WITH_POSITIONS_AFTER_PADDING:
        positions -= int(config.get("pad_token_id", 1)) + 1
    stated = stated or _read_json(folder / "tokenizer_config.json").get("model_max_length")
    limits = [int(limit) for limit in (stated, positions) if limit and limit < LIMITLESS_TOKENS]
    if not limits:
        raise UsageError(
            "the model does not say how many tokens it takes",
            where=str(folder),
            hint="give max_seq_length in sentence_bert_config.json",
        )
    return min(limits)


def _not_understood(folder: Path, what: str) -> UsageError:
    return UsageError(
        f"this embedding model cannot be used: {what}",
        where=str(folder),
        hint="all-MiniLM-L6-v2, all-mpnet-base-v2, and the models called bge and e5 can",
    )


def _read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file, {} where there is no such file."""
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}
