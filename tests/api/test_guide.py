"""The guide to the Python functions, run as it stands but for the model, which is a tiny random one here."""

import re
from pathlib import Path

import pytest

from tests import tiny_folders

GUIDE = Path(__file__).parents[2] / "docs" / "python.md"


def test_the_guide_runs_from_top_to_bottom(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tiny_folders.language_model(tmp_path / "language")
    tiny_folders.use_embedder(monkeypatch, tiny_folders.embedding_model(tmp_path / "embedding"))
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 6
    code = "\n".join(blocks).replace('"starter"', repr(str(model))).replace('"20s"', '"4s"')
    names: dict[str, object] = {}
    exec(compile(code, str(GUIDE), "exec"), names)  # noqa: S102
    shown = capsys.readouterr().out
    assert "runs/ships/report.html" in shown and "http://127.0.0.1:" in shown
    assert "amber.md The ship lies in the fish harbour" in shown
    choice = names["choice"]
    assert str(choice).startswith(choice.verdict)  # type: ignore[attr-defined]
    assert "prompt" in choice._repr_markdown_()  # type: ignore[attr-defined]
