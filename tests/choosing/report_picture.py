"""The first screen of a finished run's report as a picture: python -m tests.choosing.report_picture RUN PICTURE."""

import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright


def take(run: Path, picture: Path) -> None:
    """Half as large again as on a screen, so that it stays sharp where it is shown smaller."""
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        try:
            context = browser.new_context(
                viewport={"width": 1280, "height": 800}, device_scale_factor=1.5, color_scheme="light"
            )
            page = context.new_page()
            page.goto((run / "report.html").resolve().as_uri())
            page.screenshot(path=picture)
        finally:
            browser.close()


if __name__ == "__main__":
    take(Path(sys.argv[1]), Path(sys.argv[2]))
