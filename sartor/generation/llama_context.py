"""llama.cpp by its C interface: tokens of several sequences in, logits out. Needs the extra `llamacpp`."""

import ctypes
import logging
import weakref
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sartor.base.errors import DataError, UsageError

try:
    from llama_cpp import llama_cpp as library
except ImportError:  # the extra is not installed: only `LlamaContext` needs it
    library = None  # type: ignore[assignment]

WARNING = 3  # of llama.cpp's levels; what is below is about its own insides
log = logging.getLogger("sartor.llama_cpp")


class LlamaContext:
    """A GGUF file, and a cache of `cells` tokens that up to `sequences` texts share.

    `decode` is all that computes. Not thread-safe; `close` gives the memory back.
    """

    def __init__(self, file: Path, cells: int, sequences: int, batch_tokens: int, threads: int):
        """UsageError without llama-cpp-python, DataError for a file that it cannot read."""
        if library is None:
            raise UsageError("llama.cpp is not installed", hint="pip install 'sartor[llamacpp]'")
        library.llama_backend_init()
        library.llama_log_set(_write_log, None)
        self.sequences, self.batch_tokens = sequences, batch_tokens
        self._model = library.llama_model_load_from_file(str(file).encode(), library.llama_model_default_params())
        if not self._model:
            raise DataError("llama.cpp cannot read it", where=str(file), hint="export the model again")
        vocabulary = library.llama_model_get_vocab(self._model)
        self.num_tokens = int(library.llama_vocab_n_tokens(vocabulary))
        self.trained_tokens = int(library.llama_model_n_ctx_train(self._model))
        settings = library.llama_context_default_params()
        settings.n_ctx, settings.n_seq_max, settings.kv_unified = cells, sequences, True
        settings.n_batch = settings.n_ubatch = batch_tokens
        settings.n_threads = settings.n_threads_batch = threads
        self._context = library.llama_init_from_model(self._model, settings)
        if not self._context:
            _free(self._model, None, None)
            raise DataError("llama.cpp cannot make room for it", where=str(file), hint="it needs more memory")
        self._memory = library.llama_get_memory(self._context)
        self._batch = library.llama_batch_init(batch_tokens, 0, 1)
        self.close = weakref.finalize(self, _free, self._model, self._context, self._batch)

    def decode(
        self, tokens: Sequence[int], positions: Sequence[int], sequences: Sequence[int], wanted: Iterable[int]
    ) -> np.ndarray:
        """Compute tokens, each at its position of its sequence -> float32 [len(wanted), num_tokens]: the logits behind
        the tokens in the places `wanted` (ascending). RuntimeError when llama.cpp fails; nothing was kept then."""
        count, batch, places = len(tokens), self._batch, list(wanted)
        assert count <= self.batch_tokens
        batch.n_tokens = count
        np.ctypeslib.as_array(batch.token, (count,))[:] = tokens
        np.ctypeslib.as_array(batch.pos, (count,))[:] = positions
        np.ctypeslib.as_array(batch.n_seq_id, (count,))[:] = 1
        for place, sequence in enumerate(sequences):
            batch.seq_id[place][0] = sequence
        marks = np.ctypeslib.as_array(batch.logits, (count,))
        marks[:] = 0
        marks[places] = 1
        code = library.llama_decode(self._context, batch)
        if code:
            raise RuntimeError(f"llama_decode gave {code}")
        if not places:
            return np.zeros((0, self.num_tokens), np.float32)
        logits = library.llama_get_logits(self._context)  # rows of the marked tokens, in their order
        return np.ctypeslib.as_array(logits, (len(places), self.num_tokens)).copy()

    def copy(self, sequence: int, onto: int) -> None:
        """Another sequence with what this one holds; cells are shared, not doubled."""
        library.llama_memory_seq_cp(self._memory, sequence, onto, -1, -1)

    def forget(self, sequence: int) -> None:
        library.llama_memory_seq_rm(self._memory, sequence, -1, -1)


def _free(model: Any, context: Any, batch: Any) -> None:
    if batch is not None:
        library.llama_batch_free(batch)
    if context:
        library.llama_free(context)
    library.llama_model_free(model)


def _log(level: int, text: bytes, _: ctypes.c_void_p) -> None:
    if level >= WARNING and text.strip():
        log.debug(text.decode(errors="replace").strip())


_write_log = library.llama_log_callback(_log) if library is not None else None  # kept: llama.cpp calls it for ever
