"""The test rows' touch count: a version of a path counts once, however often it was interrupted."""

from pathlib import Path

from sartor.choosing.touches import most_touches, note_touch, touches


def path(run: Path, name: str, text: str) -> None:
    (run / "paths" / name).mkdir(parents=True, exist_ok=True)
    (run / "paths" / name / "path.json").write_text(text)


def test_each_version_of_a_path_is_one_touch(tmp_path: Path) -> None:
    assert (touches(tmp_path), most_touches(tmp_path)) == ({}, 1)
    path(tmp_path, "rag", "one")
    path(tmp_path, "prompt", "one")
    for _ in range(3):
        note_touch(tmp_path, "rag")
        note_touch(tmp_path, "prompt")
    assert (touches(tmp_path), most_touches(tmp_path)) == ({"rag": 1, "prompt": 1}, 1)
    path(tmp_path, "rag", "two")
    note_touch(tmp_path, "rag")
    (tmp_path / "paths" / "rag" / "inputs.json").write_text("other documents")
    note_touch(tmp_path, "rag")
    assert (touches(tmp_path), most_touches(tmp_path)) == ({"rag": 3, "prompt": 1}, 3)


def test_a_line_that_a_crash_left_torn_does_not_count(tmp_path: Path) -> None:
    path(tmp_path, "rag", "one")
    note_touch(tmp_path, "rag")
    with (tmp_path / "test_touches.jsonl").open("a") as file:
        file.write('{"path": "ra')
    path(tmp_path, "rag", "two")
    note_touch(tmp_path, "rag")
    assert touches(tmp_path) == {"rag": 2}
