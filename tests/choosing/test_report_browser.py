# ruff: noqa: E501 -- the scripts in it are easier to read unbroken
"""The report in a real browser: its first page is one screen and one sheet, and it can be read on a phone, in the dark,
by keyboard and on paper.

SARTOR_SCREENSHOTS=FOLDER makes the tests leave pictures there.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pypdfium2
import pytest

from sartor.choosing.report.writing import write_report
from tests.choosing.made_up_choice import SHARES_OF_ALL, made_up_answers, made_up_choice, whole_choice

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on this machine")

DESK, PHONE = {"width": 1280, "height": 800}, {"width": 360, "height": 740}
MARGINS = {side: "12mm" for side in ("top", "bottom", "left", "right")}


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The report of a choice in which everything is recorded, and that of a plain one."""
    folder = tmp_path_factory.mktemp("reports")
    answers, few = made_up_answers(120, SHARES_OF_ALL), made_up_answers(40)
    return {"whole": write_report(whole_choice(answers), answers, folder / "whole"),
            "plain": write_report(made_up_choice(few), few, folder / "plain")}  # fmt: skip


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"], timeout=60_000)
        yield browser
        browser.close()


@pytest.fixture
def open_report(chromium: Any, reports: dict[str, Path]) -> Iterator[Any]:
    contexts, complaints, asked = [], [], []

    def opened(name: str = "whole", **options: Any) -> Any:
        context = chromium.new_context(**{"viewport": DESK, "color_scheme": "light"} | options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda said: complaints.append(said.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        context.on("request", lambda request: asked.append(request.url))
        page.goto(f"file://{reports[name]}")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert complaints == [], "the page's own policy refuses nothing that the page needs"
    assert all(url.endswith("/report.html") for url in asked), "nothing is loaded"


def picture(page: Any, name: str, **options: Any) -> None:
    if folder := os.environ.get("SARTOR_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"report-{name}.png", **options)


OPEN_ALL = "() => document.querySelectorAll('details').forEach((each) => { each.open = true; })"
WIDER = """() => [...document.querySelectorAll("body *")].filter((each) => each.checkVisibility() && !each.closest(".skip, caption, thead, .choose, svg"))
  .filter((each) => each.getBoundingClientRect().right > innerWidth + 0.5 || each.scrollWidth > each.clientWidth + 1 && getComputedStyle(each).overflowX !== "visible")
  .map((each) => `${each.tagName} ${each.className} ${each.innerText.slice(0, 60)}`)"""


@pytest.mark.parametrize("name", ["whole", "plain"])
def test_nothing_is_wider_than_a_phone(open_report: Any, name: str) -> None:
    page = open_report(name, viewport=PHONE)
    page.evaluate(OPEN_ALL)
    assert page.evaluate(WIDER) == []
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    drawn = page.evaluate("""() => [...document.querySelectorAll(".narrow svg")].map((chart) => {
        const frame = chart.getBoundingClientRect();
        return Math.max(...[...chart.querySelectorAll("text")].map((text) => text.getBoundingClientRect().right)) - frame.right; })""")
    assert drawn and max(drawn) < 12, "no text of a chart leaves its paper"
    page.evaluate("scrollTo(0, 0)")
    picture(page, f"{name}-phone")


@pytest.mark.parametrize("name", ["whole", "plain"])
@pytest.mark.parametrize("look", ["light", "dark"])
def test_the_first_page_is_one_screen(open_report: Any, name: str, look: str) -> None:
    page = open_report(name, color_scheme=look)
    bottom = page.evaluate("""() => Math.max(...[...document.querySelectorAll("#verdict *")].filter((each) => each.checkVisibility())
        .map((each) => each.getBoundingClientRect().bottom))""")
    assert bottom <= DESK["height"]
    for part in ("#headline", "#verdict svg", "#verdict dl", "#verdict .command"):
        assert page.locator(part).first.is_visible()
    assert page.locator("#verdict .care").is_visible() == (name == "whole" or page.locator("#cautions").count() == 1)
    picture(page, f"{name}-{look}")


CONTRAST = """() => {
  const parse = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = (rgb) => rgb.slice(0, 3).map((part) => part / 255).map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
    .reduce((sum, part, at) => sum + part * [0.2126, 0.7152, 0.0722][at], 0);
  const behind = (element) => { for (let each = element; each; each = each.parentElement) { const colour = parse(getComputedStyle(each).backgroundColor); if (colour.length < 4 || colour[3] > 0.99) return colour; } return [255, 255, 255]; };
  const faint = new Set();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  let count = 0;
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !element.checkVisibility() || element.closest("title, desc")) continue;
    const style = getComputedStyle(element);
    const [one, other] = [light(parse(element.closest("svg") ? style.fill : style.color)), light(behind(element))].sort((a, b) => b - a);
    count += 1;
    if ((one + 0.05) / (other + 0.05) < 4.5) faint.add(`${element.tagName} ${element.className.baseVal ?? element.className} ${walker.currentNode.data.trim().slice(0, 40)}`);
  }
  return [count, [...faint]];
}"""


@pytest.mark.parametrize("look", ["light", "dark"])
def test_all_text_stands_out_from_its_paper(open_report: Any, look: str) -> None:
    """WCAG 2.2, 1.4.3: 4.5 to 1."""
    page = open_report(color_scheme=look)
    page.evaluate(OPEN_ALL)
    count, faint = page.evaluate(CONTRAST)
    assert count > 1000 and faint == []
    page.emulate_media(media="print")
    assert page.evaluate(CONTRAST)[1] == []


STRUCTURE = """() => {
  const wrong = [];
  let rank = 0;
  for (const heading of document.querySelectorAll("h1, h2, h3, h4")) { const own = Number(heading.tagName[1]); if (own > rank + 1) wrong.push(`h${rank} then h${own}: ${heading.innerText}`); rank = own; }
  for (const section of document.querySelectorAll("section, aside")) if (!document.getElementById(section.getAttribute("aria-labelledby"))) wrong.push(`unnamed: ${section.id}`);
  for (const cell of document.querySelectorAll("th")) if (!["row", "col"].includes(cell.scope)) wrong.push(`no scope: ${cell.innerText}`);
  for (const table of document.querySelectorAll("table")) if (!table.caption) wrong.push("no caption");
  for (const field of document.querySelectorAll("input")) if (!field.labels.length || !field.closest("fieldset").querySelector("legend")) wrong.push(`no label: ${field.id}`);
  for (const chart of document.querySelectorAll("svg")) if (!chart.querySelector("desc").textContent) wrong.push("a chart without words");
  return wrong;
}"""


def test_its_structure_can_be_heard(open_report: Any) -> None:
    assert open_report().evaluate(STRUCTURE) == []


def test_questions_are_filtered_by_who_was_right_without_a_script(open_report: Any) -> None:
    page = open_report()
    shown = "() => [...document.querySelectorAll('.row')].filter((each) => each.checkVisibility()).map((each) => each.className)"
    assert len(page.evaluate(shown)) == 120
    page.get_by_text("Filter by who was right").click()
    group = page.get_by_role("group", name="retrieval + fine-tuning", exact=True)
    group.get_by_text("✓ right").click()
    first = page.evaluate(shown)
    page.get_by_role("group", name="prompting", exact=True).get_by_text("✗ wrong").click()
    both = page.evaluate(shown)
    assert 0 < len(both) < len(first) < 120
    place = page.locator(".who legend").all_inner_texts().index("retrieval + fine-tuning")
    assert all(f"who-{place}-right" in each for each in both)
    page.get_by_text("all right", exact=False).first.click()
    assert page.evaluate(shown) == [], "filters hold together"
    page.get_by_role("group", name="prompting", exact=True).get_by_text("any answer").click()
    assert all(each.startswith("row right") for each in page.evaluate(shown))


def test_it_is_read_by_keyboard(open_report: Any) -> None:
    page = open_report()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    ring = "(() => { const each = document.activeElement; return getComputedStyle(each.className === 'choose' ? each.nextElementSibling : each).outlineStyle; })()"
    for _ in range(8):
        page.keyboard.press("Tab")
        assert page.evaluate(ring) != "none", page.evaluate("document.activeElement.outerHTML.slice(0, 80)")
    page.locator("#show-all").focus()
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.id") == "show-differ"
    assert page.evaluate(
        "[...document.querySelectorAll('.row')].filter((each) => each.checkVisibility()).every((each) => each.classList.contains('differ'))"
    )


def paper(page: Any, file: Path) -> list[str]:
    """The text of every sheet."""
    page.pdf(path=file, format="A4", margin=MARGINS)
    document = pypdfium2.PdfDocument(file)
    try:
        return [" ".join(sheet.get_textpage().get_text_range().split()) for sheet in document]
    finally:
        document.close()


@pytest.mark.parametrize(("name", "most"), [("whole", 16), ("plain", 9)])
def test_the_first_page_is_one_sheet(open_report: Any, tmp_path: Path, name: str, most: int) -> None:
    sheets = paper(open_report(name), tmp_path / "report.pdf")
    assert 2 <= len(sheets) <= most
    first = sheets[0]
    assert "Serve it" in first and "sartor serve runs/handbook" in first and "What would change it" in first
    assert "Evidence" not in first and sheets[1].startswith("Evidence")


def test_no_table_is_cut_between_two_sheets(open_report: Any, tmp_path: Path) -> None:
    sheets = paper(open_report(), tmp_path / "report.pdf")
    for heading, figures, count in (
        ("Bits per byte after", "0.981", 3), ("Unanswerable, said so", "13 of 20", 3), ("Deleted, still said", "2.1 s", 2),
        ("So much", "an hour", 2), ("Personal data found in it", "412 kB", 2),
    ):  # fmt: skip
        holding = [sheet for sheet in sheets if heading in sheet]
        assert len(holding) == 1 and holding[0].count(figures) >= count, heading
