"""The documentation as a site: `python -m docs.site.build` writes build/site.

The pages are those in docs/, the README as the start, the measured results, the changes, and the reference, which is
written from the code. A link that leads nowhere fails the build.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from docs.site.reference import commands, functions

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "build" / "docs"
TAKEN = {
    "README.md": "index.md",
    "benchmarks/RESULTS.md": "measured.md",
    "CHANGELOG.md": "changes.md",
    "CONTRIBUTING.md": "contributing.md",
}


def gather(pages: Path) -> None:
    """Write all pages into a new folder."""
    shutil.rmtree(pages, ignore_errors=True)
    shutil.copytree(ROOT / "docs", pages, ignore=shutil.ignore_patterns("site", "__pycache__"))
    for source, name in TAKEN.items():
        (pages / name).write_text(_relinked((ROOT / source).read_text(encoding="utf-8")), encoding="utf-8")
    (pages / "commands.md").write_text(commands(), encoding="utf-8")
    (pages / "functions.md").write_text(functions(), encoding="utf-8")
    for page in pages.glob("*.md"):
        page.write_text(_relinked(page.read_text(encoding="utf-8")), encoding="utf-8")


def _relinked(text: str) -> str:
    """Links between files of the repository as links between pages."""
    text = re.sub(r"\]\((?:\.\./)?docs/", "](", text)
    for source, name in TAKEN.items():
        text = re.sub(rf"\]\((?:\.\./)?{re.escape(source)}", f"]({name}", text)
    return text


def main() -> int:
    gather(PAGES)
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-f", str(ROOT / "docs/site/mkdocs.yml")]
    quiet = os.environ | {"NO_MKDOCS_2_WARNING": "1"}  # an advertisement of another program
    code = subprocess.run(command, check=False, env=quiet).returncode
    if code == 0:
        print(ROOT / "build" / "site" / "index.html")
    return code


if __name__ == "__main__":
    sys.exit(main())
