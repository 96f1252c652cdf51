"""The texts of a pre-training run: as token shards in the run folder, as windows to learn from and to measure on."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sartor.base.console import say, say_marked
from sartor.base.distributed import barrier, is_main
from sartor.base.errors import DataError, UsageError
from sartor.base.run_folder import RunFolder
from sartor.data.chat import ChatFormat
from sartor.data.packing import Batch
from sartor.data.text_bytes import token_bytes
from sartor.data.token_shards.encoding import fingerprint
from sartor.data.token_shards.layout import MANIFEST
from sartor.data.token_shards.reader import TokenShards
from sartor.data.token_shards.source import open_source
from sartor.data.token_shards.stream import TokenStream, Weighted
from sartor.data.token_shards.tokenize import tokenize
from sartor.data.windows import WindowSource
from sartor.models.hub import load_tokenizer
from sartor.recipes.pretrain_held_out import InParts, held_out_share
from sartor.recipes.pretrain_settings import PretrainSettings
from sartor.recipes.tokenizer import TokenizerConfig
from sartor.recipes.tokenizer import run as learn_tokenizer
from sartor.train.certificate import CLOSE_MARK, OPEN_MARK
from sartor.train.horizon import Course
from sartor.train.running_text import HeldOutText

TOKENS_FOLDER = "tokens"
SHOWN_CHARACTERS = 400


@dataclass(frozen=True)
class Given:
    """A source as the user gave it: `factor` is how often it is read for each time that one without a number is."""

    name: str
    path: Path
    factor: float

    @staticmethod
    def of(text: str) -> "Given":
        """UsageError for what is no file or folder, or a factor that is no positive number."""
        path, factor = Path(text).expanduser(), 1.0
        if not path.exists() and "=" in text:
            name, _, number = text.rpartition("=")
            path = Path(name).expanduser()
            try:
                factor = float(number)
            except ValueError:
                factor = -1.0
            if not 0 < factor < float("inf"):
                raise UsageError(f"{number!r} is no positive number", where=text, hint="write FOLDER=2")
        if not path.exists():
            raise UsageError("there is no such file or folder", where=str(path), hint="check the path")
        return Given(path.name, path, factor)


@dataclass(frozen=True)
class SourceFacts:
    """`share` of the windows that are read comes from this source."""

    name: str
    documents: int
    tokens: int
    bytes: int
    share: float


def given_sources(data: Sequence[str]) -> list[Given]:
    return [Given.of(text) for text in data]


def num_bytes(data: Sequence[str]) -> int:
    """About how much text there is."""
    return sum(_stored_bytes(given.path) for given in given_sources(data))


def _stored_bytes(path: Path) -> int:
    if (path / MANIFEST).is_file():
        shards = TokenShards.open(path)
        return sum(shards.split(name).num_bytes for name in ("train", "held_out"))
    return open_source(path).num_bytes


class Text:
    """Everything that is read and measured on; made once, found again by a resumed run."""

    def __init__(self, config: PretrainSettings, given: Sequence[Given], shards: Sequence[TokenShards], window: int):
        self.config, self.window_tokens = config, window
        train = [each.split("train") for each in shards]
        weights = [split.num_tokens * each.factor for split, each in zip(train, given, strict=True)]
        self.stream = TokenStream(
            [Weighted(split, weight) for split, weight in zip(train, weights, strict=True)], window, config.seed
        )
        self.num_train_tokens = sum(split.num_tokens for split in train)
        self.num_train_bytes = sum(split.num_bytes for split in train)
        self.sources = [
            SourceFacts(each.name, split.num_documents, split.num_tokens, split.num_bytes, weight / sum(weights))
            for each, split, weight in zip(given, train, weights, strict=True)
        ]
        self._held_out = [each.split("held_out") for each in shards]
        self._source: WindowSource | None = None

    @staticmethod
    def of(config: PretrainSettings, folder: RunFolder, tokenizer: Path, window_tokens: int) -> "Text":
        """Turn the texts into tokens, where that is not done yet. DataError where there is too little of them."""
        given, known = given_sources(config.data), load_tokenizer(tokenizer)
        shards = [_shards(config, each, place, folder.path, known) for place, each in enumerate(given)]
        return Text(config, given, shards, window_tokens)

    def source(self, course: Course) -> WindowSource:
        """The windows of each step."""
        self._source = WindowSource(self.stream, course.windows_per_step, self.config.micro_batch_tokens)
        return self._source

    @property
    def steps_asked(self) -> int:
        """The number of the step whose windows were asked for last; 0 before the first."""
        return 0 if self._source is None else self._source.steps_asked

    def trial_batches(self, number: int) -> list[Batch]:
        """So many micro-batches of full size."""
        source = WindowSource(self.stream, 1, self.config.micro_batch_tokens)
        return source.batches(range(number * source.windows_at_once))

    def held_out(self, tokenizer: Any) -> HeldOutText:
        """The first windows of the held-out documents of all sources together. DataError where there are none."""
        held = [split for split in self._held_out if split.num_tokens]
        windows = sum(split.num_tokens for split in held) // self.window_tokens
        if windows == 0:
            raise DataError(
                "no document, or too short ones, were held out to measure on",
                where=", ".join(self.config.data),
                hint="raise --held-out-share, or give more documents",
            )
        stream = TokenStream([Weighted(split, split.num_tokens) for split in held], self.window_tokens, seed=0)
        wanted = max(1, self.config.evaluation_tokens // self.window_tokens)
        batches = WindowSource(stream, 1, self.config.micro_batch_tokens).batches(range(min(windows, wanted)))
        return HeldOutText(batches, token_bytes(tokenizer))

    def certify(self, folder: RunFolder, course: Course, chat: ChatFormat) -> None:
        """certificate.json: what will be read, with the beginning of the first window as the model sees it."""
        window = self.stream.window(0)
        shown = chat.tokenizer.decode(window.ids.tolist(), skip_special_tokens=False)[:SHOWN_CHARACTERS]
        batch = self.trial_batches(1)[0]
        first = chat.tokenizer.bos_token_id
        folder.write_json(
            "certificate.json",
            {
                "documents": sum(each.documents for each in self.sources),
                "text_tokens": self.num_train_tokens,
                "text_bytes": self.num_train_bytes,
                "bytes_per_token": self.num_train_bytes / self.num_train_tokens,
                "held_out_tokens": sum(split.num_tokens for split in self._held_out),
                "trained_share": batch.num_trained / batch.num_row_tokens,
                "begins_with": chat.tokenizer.convert_ids_to_tokens(
                    chat.tokenizer.eos_token_id if first is None else first
                ),
                "ends_with": chat.tokenizer.convert_ids_to_tokens(chat.tokenizer.eos_token_id),
                "sources": [asdict(each) for each in self.sources],
                "shown": [f"{OPEN_MARK}{shown}{CLOSE_MARK}"],
            },
        )
        for each in self.sources:
            say(
                f"{each.name}: {each.documents:,} documents, {each.tokens:,} tokens, {each.bytes / each.tokens:.2f} "
                f"bytes a token; {each.share:.1%} of what is read"
            )
        say_marked("the first window, what is learnt of it", f"{OPEN_MARK}{shown}{CLOSE_MARK}", OPEN_MARK, CLOSE_MARK)


def _shards(config: PretrainSettings, given: Given, place: int, run: Path, tokenizer: Any) -> TokenShards:
    """The source as token shards: as it is where it holds such, else in the run folder."""
    if (given.path / MANIFEST).is_file():
        shards = TokenShards.open(given.path, verify=True)
        if shards.manifest.tokenizer != fingerprint(tokenizer):
            raise DataError(
                "these tokens were made with another tokenizer",
                where=str(given.path),
                hint="name that tokenizer with --tokenizer, or give the texts",
            )
        return shards
    out = run / TOKENS_FOLDER / f"{place}"
    if is_main():
        source = open_source(given.path)
        found = held_out_share(source)
        if found is None:
            say(f"{given.name} is one document: it is cut into parts, of which some are held out")
            source = InParts(source)
            found = held_out_share(source)
        tokenize(source, tokenizer, out, config.held_out_share or found or 0.0, config.processes)
    barrier()
    return TokenShards.open(out)


def train_own_tokenizer(config: PretrainSettings, vocabulary: int, out: Path) -> None:
    """A tokenizer of the run's own, from all of its texts."""
    paths = [str(given.path) for given in given_sources(config.data)]
    share = {} if config.held_out_share is None else {"held_out_share": config.held_out_share}
    learn_tokenizer(TokenizerConfig(data=paths, vocab_size=vocabulary, out=str(out), **share))
