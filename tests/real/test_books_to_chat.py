"""The whole road of docs/books_to_chat.md on real books, in small: every command as a person types it."""

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sartor.data.document_folder import DocumentFolder

WORDS_OF_A_BOOK = 60_000


def sartor(folder: Path, command: str) -> dict[str, object]:
    """Run a command line and return what it prints as JSON."""
    environment = {**os.environ, "OMP_NUM_THREADS": "2", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "sartor", *command.split(), "--json"],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=250,
    )  # fmt: skip
    assert done.returncode == 0, f"{command}\n{done.stderr[-3000:]}"
    found: dict[str, object] = json.loads(done.stdout)
    return found


@pytest.mark.timeout(900)
def test_raw_books_become_a_model_that_talks(tmp_path: Path, real_data: Path) -> None:
    with gzip.open(real_data / "raw" / "standardebooks" / "children.jsonl.gz", "rt") as file:
        books = [json.loads(line) for line in file]
    (tmp_path / "books").mkdir()
    for book in books:
        (tmp_path / "books" / f"{book['id']}.txt").write_text(book["text"][:WORDS_OF_A_BOOK])
    rows = [{"question": f"Who is {name}?", "answer": "A person in a book."} for name in ("Alice", "Tom", "Mary")] * 8
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    sartor(tmp_path, "collect books --licence CC0-1.0 --out collected")
    assert DocumentFolder.open(tmp_path / "collected").num_documents == len(books)
    sartor(tmp_path, "prepare collected --preset gopher --languages en --segment-characters 8000 --out prepared")
    prepared = DocumentFolder.open(tmp_path / "prepared")
    assert prepared.num_documents > 4 * len(books) and prepared.num_bytes > 0.9 * WORDS_OF_A_BOOK * len(books) * 0.9
    made = sartor(tmp_path, "tokenizer prepared --vocab-size 2048 --out tokenizer")
    assert made["vocabulary"] == 2048
    trained = sartor(
        tmp_path,
        "pretrain prepared --preset 1m --tokenizer tokenizer --tokens 120k --batch-tokens 1024 --window-tokens 128 "
        "--evaluations 2 --evaluation-tokens 4096 --out base",
    )
    assert float(trained["bits_per_byte"]) < 0.8 * float(trained["bits_per_byte_before"])  # type: ignore[arg-type]
    chat = sartor(tmp_path, "finetune rows.jsonl --base base --adapter none --epochs 2 --batch-rows 8 --out chat")
    assert float(chat["dev_loss"]) < float(chat["dev_loss_before"])  # type: ignore[arg-type]
    exported = tmp_path / "exported"
    done = subprocess.run(
        [sys.executable, "-m", "sartor", "export", "chat", "--format", "gguf", "--out", str(exported)],
        cwd=tmp_path, capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert list(exported.glob("*.gguf"))
