"""The documentation as a site: every page has its place, every link leads somewhere, nothing comes from elsewhere."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

import sartor
from docs.site import build
from sartor.cli.main import VERBS

CONFIG = build.ROOT / "docs" / "site" / "mkdocs.yml"


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site") / "docs"
    build.gather(folder)
    return folder


def test_every_page_has_a_place_in_the_menu_and_every_place_a_page(pages: Path) -> None:
    named = set(re.findall(r": (\w+\.md)$", CONFIG.read_text(), re.MULTILINE))
    assert named == {page.name for page in pages.glob("*.md")}


def test_every_link_leads_to_a_file(pages: Path) -> None:
    broken = []
    for page in pages.glob("*.md"):
        for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
            if "://" not in target and not (pages / target.partition("#")[0]).exists():
                broken.append(f"{page.name}: {target}")
    assert not broken


def test_the_reference_has_every_verb_and_every_function(pages: Path) -> None:
    commands, functions = ((pages / name).read_text(encoding="utf-8") for name in ("commands.md", "functions.md"))
    assert [verb for verb in VERBS if f"### sartor {verb}\n" not in commands] == []
    assert [name for name in sartor.__all__ if f"## sartor.{name}\n" not in functions] == []
    assert "`--budget BUDGET`" in commands and "| `budget` | `str` | `'20m'` |" in functions


def test_every_measured_section_has_its_command() -> None:
    text = (build.ROOT / "benchmarks" / "RESULTS.md").read_text(encoding="utf-8")
    sections = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    assert len(sections) > 10
    without = [each.splitlines()[0] for each in sections if not re.search(r"python -m |sartor |pytest |make ", each)]
    assert not without


@pytest.mark.skipif(
    importlib.util.find_spec("material") is None, reason="mkdocs-material is not installed (extra docs)"
)
def test_the_site_builds_and_loads_nothing_from_elsewhere(pages: Path, tmp_path: Path) -> None:
    config = (
        CONFIG.read_text().replace("../../build/docs", str(pages)).replace("../../build/site", str(tmp_path / "out"))
    )
    (tmp_path / "mkdocs.yml").write_text(config)
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-f", str(tmp_path / "mkdocs.yml")]
    subprocess.run(command, check=True, timeout=120)
    made = sorted((tmp_path / "out").glob("*.html"))
    assert len(made) > 20
    for page in made:
        loaded = re.findall(r"<(?:script|img|link)[^>]*(?:src|href)=\"?(https?://[^\" >]+)", page.read_text())
        assert not loaded, page.name
