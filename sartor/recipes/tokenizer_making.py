"""What `sartor tokenizer` does: learn on some documents, measure on others, write when all of them come back."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from sartor.base.console import say, warn
from sartor.base.durable import replace_folder
from sartor.base.errors import DataError, QualityError, UsageError
from sartor.base.run_folder import require_folder_place
from sartor.data.split import group_fraction
from sartor.data.token_shards.source import DocumentSource, ids_and_texts, is_held_out, open_source
from sartor.data.tokenizer_quality import Compression, Usage, compression, longest_tokens, unused_tokens, usage
from sartor.data.tokenizer_training import FACTS, tokenizer_files, train_bpe
from sartor.models.gguf_tokenizer import SPLITS
from sartor.models.hub import load_tokenizer, resolve
from sartor.models.starter import is_fetched
from sartor.recipes.pretrain_held_out import held_out_share
from sartor.recipes.tokenizer import TokenizerConfig, TokenizerResult

TABLE_BYTES = 8_000_000
LOOKED_AT_BYTES = 32_000_000  # of held-out text, and as much of the learnt text to find unused tokens
STARTER = "starter"


def make_tokenizer(config: TokenizerConfig) -> TokenizerResult:
    """See `recipes.tokenizer.run`."""
    out = Path(config.out).absolute()
    _require_place(out)
    others = _others(config)
    texts = _Texts(config)
    say(f"learning {config.vocab_size:,} tokens, with text cut into words as by {config.pre_tokenizer}")
    made, learnt_bytes = _learn(config, texts)
    held_out = usage(made.to_str(), texts.held_out())
    learnt = usage(made.to_str(), _first(texts.learnt(), LOOKED_AT_BYTES))
    result = _result(config, out, texts, learnt_bytes, made, held_out, learnt, others)
    if result.not_restored:
        what = f"{result.not_restored} texts do not come back from their ids, so nothing was written"
        raise QualityError(what, where=str(out), hint="please report this with the texts")
    replace_folder(out, tokenizer_files(made, _facts(config, texts, result)))
    return result


class _Texts:
    """The texts in batches: those to learn from, and the held-out ones."""

    def __init__(self, config: TokenizerConfig):
        self.sources = [open_source(Path(given).expanduser()) for given in config.data]
        found = [held_out_share(source) for source in self.sources]  # none of what is all one document
        self._shares = [0.0 if share is None else config.held_out_share or share for share in found]
        self._sampled = config.sample_bytes / max(1, sum(source.num_bytes for source in self.sources))
        self.learnt_bytes = 0  # of the reading under way, or the last one

    def learnt(self) -> Iterator[list[str]]:
        self.learnt_bytes = 0
        for source, share in zip(self.sources, self._shares, strict=True):
            for names, texts in _batches(source):
                batch = [text for name, text in zip(names, texts, strict=True) if self._is_learnt(name, share)]
                self.learnt_bytes += sum(len(text.encode()) for text in batch)
                yield batch

    def held_out(self) -> Iterator[list[str]]:
        """The first LOOKED_AT_BYTES of them."""
        return _first(self._held_out(), LOOKED_AT_BYTES)

    def _held_out(self) -> Iterator[list[str]]:
        for source, share in zip(self.sources, self._shares, strict=True):
            for names, texts in _batches(source):
                yield [text for name, text in zip(names, texts, strict=True) if is_held_out(name, share)]

    def _is_learnt(self, name: str, share: float) -> bool:
        return not is_held_out(name, share) and group_fraction(f"learnt {name}") < self._sampled


def _batches(source: DocumentSource) -> Iterator[tuple[list[str], list[str]]]:
    return (ids_and_texts(table) for table in source.tables(TABLE_BYTES))


def _first(batches: Iterable[list[str]], num_bytes: int) -> Iterator[list[str]]:
    """Batches until they hold so many bytes."""
    left = num_bytes
    for batch in batches:
        yield batch
        left -= sum(len(text.encode()) for text in batch)
        if left <= 0:
            return


def _learn(config: TokenizerConfig, texts: _Texts) -> tuple[Tokenizer, int]:
    """The tokenizer, and the bytes of text that it learnt from."""
    split = SPLITS[config.pre_tokenizer]
    made = train_bpe(texts.learnt(), config.vocab_size, split.rule, split.whole_words)
    if texts.learnt_bytes == 0:
        raise DataError("there is no text to learn from", where=", ".join(config.data), hint="give more documents")
    if made.get_vocab_size() < config.vocab_size:
        warn(f"the texts are too short for {config.vocab_size:,} tokens: {made.get_vocab_size():,} were found")
    return made, texts.learnt_bytes


def _result(
    config: TokenizerConfig,
    out: Path,
    texts: _Texts,
    learnt_bytes: int,
    made: Tokenizer,
    held_out: Usage,
    learnt: Usage,
    others: Sequence[tuple[str, Any]],
) -> TokenizerResult:
    measured, on = (held_out, texts.held_out) if held_out.text_bytes else (learnt, texts.learnt)
    own = Compression("this one", made.get_vocab_size(), measured.text_bytes, int(measured.counts.sum()))
    compared = [compression(name, known, _first(on(), LOOKED_AT_BYTES)) for name, known in others]
    return TokenizerResult(
        out=out,
        vocabulary=made.get_vocab_size(),
        asked=config.vocab_size,
        pre_tokenizer=config.pre_tokenizer,
        learnt_bytes=learnt_bytes,
        measured_on="held-out" if held_out.text_bytes else "learnt",
        measured_documents=measured.texts,
        compressions=[own, *compared, Compression("bytes", 256, measured.text_bytes, measured.text_bytes)],
        unused=len(unused_tokens(made, held_out.counts + learnt.counts)),
        unused_in_bytes=held_out.text_bytes + learnt.text_bytes,
        longest=longest_tokens(made),
        not_restored=held_out.not_restored + learnt.not_restored,
    )


def _facts(config: TokenizerConfig, texts: _Texts, result: TokenizerResult) -> dict[str, Any]:
    """How the tokenizer came about, for its folder: the same for the same texts and settings."""
    return {
        "settings": config.model_dump(mode="json", exclude={"data", "out", "compare"}),
        "sources": [source.fingerprint for source in texts.sources],
        "learnt_bytes": result.learnt_bytes,
        "vocabulary": result.vocabulary,
        "bytes_per_token": result.compressions[0].bytes_per_token,
        "measured_on": result.measured_on,
        "unused": result.unused,
    }


def _others(config: TokenizerConfig) -> list[tuple[str, Any]]:
    """The tokenizers to compare with: the starter's where it is on this machine, and those that were named."""
    names = list(dict.fromkeys([*([STARTER] if is_fetched(STARTER) else []), *config.compare]))
    return [(name, load_tokenizer(_tokenizer_folder(name))) for name in names]


def _tokenizer_folder(name: str) -> Path:
    folder = Path(name).expanduser()
    return folder if (folder / "tokenizer.json").is_file() else resolve(name)


def _require_place(out: Path) -> None:
    """UsageError when `out` holds something else than a tokenizer that was made here."""
    require_folder_place(out)
    if out.is_dir() and any(out.iterdir()) and not (out / FACTS).is_file():
        raise UsageError("the folder already holds something else", where=str(out), hint="choose another --out")
