"""Documents to token shards, with several processes."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pyarrow as pa

from sartor.base.console import progress
from sartor.base.durable import write_error
from sartor.base.errors import DataError, SartorError, UsageError
from sartor.base.lock import Lock
from sartor.data.token_shards.encoding import backend_settings, fingerprint, num_ids
from sartor.data.token_shards.layout import MANIFEST, Manifest, dtype_for, read_manifest
from sartor.data.token_shards.reader import TokenShards
from sartor.data.token_shards.source import DocumentSource, ids_and_texts
from sartor.data.token_shards.work import Job, Part, Worker, parts_of, start_worker
from sartor.data.token_shards.writer import SHARD_TOKENS, ShardWriter

BATCH_BYTES = 2_000_000  # of text: what a worker gets at a time
NOTE_BATCHES = 32
LOCK = ".lock"
ROWS_WITHOUT_ID = "file name and place"  # what was begun with other ids is not gone on with: other rows are held out


def tokenize(
    documents: DocumentSource,
    tokenizer: Any,
    out: Path,
    held_out_share: float = 0.01,
    processes: int = 1,
    shard_tokens: int = SHARD_TOKENS,
) -> TokenShards:
    """Write all documents as token shards to the folder `out` and open it.

    `tokenizer` is one of transformers with a tokenizer.json. A document is [bos] + its ids + [eos], with eos in the
    place of a bos that the tokenizer lacks. Documents with `held_out_share` of the hashes of their ids are kept apart
    (`source.is_held_out`). What was stopped goes on; the bytes do not depend on that, nor on `processes`. A folder
    that is complete already is opened if it was made from the same; DataError otherwise.
    """
    wanted = _wanted(documents, tokenizer, held_out_share)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise write_error(error, out, 0) from error
    with Lock(out / LOCK, "writing token shards here"):
        if (out / MANIFEST).exists():
            return _opened(out, wanted)
        settings = {name: value for name, value in asdict(wanted).items() if name != "splits"}
        settings["rows_without_id"] = ROWS_WITHOUT_ID
        writer = ShardWriter(out, settings, shard_tokens)
        job = Job(backend_settings(tokenizer), wanted.dtype, wanted.bos, wanted.eos, held_out_share)
        try:
            _write(writer, documents, job, processes)
            writer.publish(wanted)
        finally:
            writer.close()
    return TokenShards.open(out)


def _wanted(documents: DocumentSource, tokenizer: Any, held_out_share: float) -> Manifest:
    if not 0 <= held_out_share < 1:
        raise UsageError(f"the held-out share is {held_out_share:g}", hint="give a part of 1, like 0.01")
    eos = tokenizer.eos_token_id
    if eos is None:
        hint = "set eos_token in its tokenizer_config.json"
        raise UsageError("the tokenizer has no token that ends a text", hint=hint)
    bos = eos if tokenizer.bos_token_id is None else tokenizer.bos_token_id
    vocabulary = num_ids(tokenizer)
    return Manifest(
        tokenizer=fingerprint(tokenizer),
        vocabulary=vocabulary,
        bos=bos,
        eos=eos,
        held_out_share=held_out_share,
        source=documents.fingerprint,
        dtype=dtype_for(vocabulary),
        splits={},
    )


def _opened(out: Path, wanted: Manifest) -> TokenShards:
    found, asked = asdict(read_manifest(out)), asdict(wanted)
    others = [name for name in asked if name != "splits" and found[name] != asked[name]]
    if others:
        raise DataError(
            f"holds token shards made with another {', '.join(others).replace('_', ' ')}",
            where=str(out),
            hint="choose another folder, or remove it",
        )
    return TokenShards.open(out)


def _write(writer: ShardWriter, documents: DocumentSource, job: Job, processes: int) -> None:
    tables = documents.tables(BATCH_BYTES)
    done = sum(table["text"].nbytes for table in islice(tables, writer.batches))
    with progress("tokenizing", documents.num_bytes, done) as shown:
        for parts in _parts(tables, job, processes):
            writer.add(parts)
            if writer.batches % NOTE_BATCHES == 0:
                writer.note()
            shown.advance(sum(int(part.documents[:, 1].sum()) for part in parts.values()))


def _parts(tables: Iterator[pa.Table], job: Job, processes: int) -> Iterator[dict[str, Part]]:
    """The parts of every table, in order."""
    if processes == 1:
        worker = Worker(job)
        yield from (worker.parts(*ids_and_texts(table)) for table in tables)
        return
    pool = ProcessPoolExecutor(processes, get_context("spawn"), initializer=start_worker, initargs=(job,))
    waiting: deque[Future[dict[str, Part]]] = deque()
    try:
        for table in tables:
            waiting.append(pool.submit(parts_of, *ids_and_texts(table)))
            if len(waiting) > 2 * processes:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool:
        hint = "the same command goes on where it stopped; with fewer processes it needs less memory"
        raise SartorError("a process that tokenizes was ended from outside", hint=hint) from None
    finally:
        pool.shutdown(cancel_futures=True)
