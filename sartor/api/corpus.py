"""`sartor collect`, `prepare`, `tokenizer` and `pretrain` as functions."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Unpack

from sartor.api.configured import Place, configured
from sartor.api.settings import CollectSettings, PrepareSettings, PretrainSettings, TokenizerSettings
from sartor.recipes import collect as collecting
from sartor.recipes import prepare as preparing
from sartor.recipes import pretrain as pretraining
from sartor.recipes import tokenizer as tokenizing

if TYPE_CHECKING:
    from sartor.recipes.collecting import CollectReport

Places = Place | Sequence[Place]


def collect(sources: Places, *, out: Place, **settings: Unpack[CollectSettings]) -> "CollectReport":
    """Gather documents from files, folders, web pages, sitemaps, archives and data sets into the folder `out`."""
    values = {"sources": _places(sources), "out": out, **settings}
    return collecting.run(configured("collect", collecting.CollectConfig, values))


def prepare(documents: Place, *, out: Place, **settings: Unpack[PrepareSettings]) -> preparing.PrepareResult:
    """Clean documents: filters, duplicates, personal data; every drop has a reason."""
    values = {"documents": documents, "out": out, **settings}
    return preparing.run(configured("prepare", preparing.PrepareConfig, values))


def tokenizer(
    data: Places, *, vocab_size: int, out: Place, **settings: Unpack[TokenizerSettings]
) -> tokenizing.TokenizerResult:
    """Train a tokenizer on texts and measure it against others."""
    values = {"data": _places(data), "vocab_size": vocab_size, "out": out, **settings}
    return tokenizing.run(configured("tokenizer", tokenizing.TokenizerConfig, values))


def pretrain(data: Places, *, out: Place, **settings: Unpack[PretrainSettings]) -> pretraining.PretrainResult:
    """Train a model on running text, new or going on with one."""
    values = {"data": _places(data), "out": out, **settings}
    return pretraining.run(configured("pretrain", pretraining.PretrainConfig, values))


def _places(places: Places) -> list[str]:
    return [os.fspath(place) for place in ([places] if isinstance(places, str | os.PathLike) else places)]
