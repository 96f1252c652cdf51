# ruff: noqa: E501 -- the texts and scripts in it are easier to read unbroken
"""The pages in a real browser: by keyboard and on a phone, dark and light, streaming, and inert whatever they show.

SARTOR_SCREENSHOTS=FOLDER makes the tests leave pictures there; `make pages` puts them into docs/pages.
"""

import json
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from sartor.base.run_folder import RunFolder
from tests.serving import ui_site

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on this machine")

PHONE, DESK = {"width": 390, "height": 844}, {"width": 1280, "height": 860}
PAGES = {
    "chat": "/chat",
    "runs": "/runs",
    "run": "/runs/show?run=tuned-large",
    "compare": "/runs/compare?run=tuned-small&run=tuned-large",
    "choice": "/choice?run=choice",
    "documents": "/documents",
    "document": "/documents/show?file=0&id=px-4-lost-property.md",
}
READY = {
    "chat": "#model-list input",
    "runs": "#runs tbody tr",
    "run": "#run svg",
    "compare": "#tables table",
    "choice": "#choice .row",
    "documents": "#documents table",
    "document": ".chunk",
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ui_site.Site]:
    with ui_site.site(tmp_path_factory.mktemp("ui")) as running:
        yield running


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"], timeout=30_000)
        yield browser
        browser.close()


@dataclass
class Tab:
    """A page of the browser, with everything that a user would not see go wrong."""

    page: Any
    url: str
    complaints: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def open(self, name: str) -> None:
        self.page.goto(self.url + PAGES[name])
        self.page.wait_for_selector(READY[name])

    def picture(self, name: str, **options: Any) -> None:
        if folder := os.environ.get("SARTOR_SCREENSHOTS"):
            self.page.screenshot(path=Path(folder) / f"{name}.png", animations="disabled", **options)


@pytest.fixture
def open_tab(site: ui_site.Site, chromium: Any) -> Iterator[Any]:
    contexts, tabs = [], []

    def make(**options: Any) -> Tab:
        context = chromium.new_context(**{"viewport": DESK, "color_scheme": "light"} | options)
        context.set_default_timeout(15_000)
        contexts.append(context)
        tab = Tab(context.new_page(), site.url)
        tab.page.on("console", lambda said: tab.complaints.append(said.text) if said.type != "log" else None)
        tab.page.on("pageerror", lambda error: tab.complaints.append(str(error)))
        tab.page.on("dialog", lambda dialog: (tab.complaints.append("a dialog: " + dialog.message), dialog.dismiss()))
        context.on("request", lambda request: tab.asked.append(request.url))
        context.on("requestfailed", lambda failed: failed.failure == "csp" and tab.asked.remove(failed.url))
        tabs.append(tab)
        return tab

    yield make
    for context in contexts:
        context.close()
    for tab in tabs:
        assert tab.complaints == []
        assert {url.split("/", 3)[2] for url in tab.asked} <= {site.url.split("/")[2]}


@pytest.fixture
def tab(open_tab: Any) -> Tab:
    return open_tab()


CHECKS = """() => {
  const wrong = [];
  const shown = (element) => element.checkVisibility();
  for (const field of document.querySelectorAll("input, select, textarea")) if (!field.labels.length && !field.getAttribute("aria-label")) wrong.push("no label: " + field.outerHTML);
  for (const button of document.querySelectorAll("button, a")) if (shown(button) && !(button.innerText.trim() || button.getAttribute("aria-label"))) wrong.push("no name: " + button.outerHTML);
  if (document.querySelectorAll("h1").length !== 1) wrong.push("headings of the first rank: " + document.querySelectorAll("h1").length);
  let rank = 1;
  for (const heading of [...document.querySelectorAll("main h1, main h2, main h3, main h4")].filter(shown)) { const own = Number(heading.tagName[1]); if (own > rank + 1) wrong.push(`h${rank} then h${own}: ${heading.innerText}`); rank = own; }
  if (document.querySelectorAll("main").length !== 1 || !document.querySelector("header") || !document.querySelector("nav[aria-label]")) wrong.push("landmarks");
  for (const table of document.querySelectorAll("table")) if (!table.caption) wrong.push("a table without a caption");
  for (const image of document.querySelectorAll("svg:not([aria-hidden])")) if (!image.getAttribute("aria-label") && !image.closest("[aria-label]")) wrong.push("a picture without words");
  const ids = [...document.querySelectorAll("[id]")].map((element) => element.id);
  if (new Set(ids).size < ids.length) wrong.push("an id twice: " + ids.filter((id, at) => ids.indexOf(id) < at));
  if (!document.documentElement.lang || !document.title) wrong.push("language or title");
  return wrong;
}"""


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("look", ["light", "dark"])
def test_every_page_has_names_for_everything_at_each_width(open_tab: Any, name: str, look: str) -> None:
    tab = open_tab(color_scheme=look)
    for width, view in (("desk", DESK), ("phone", PHONE)):
        tab.page.set_viewport_size(view)
        tab.open(name)
        assert tab.page.evaluate(CHECKS) == []
        overflow = tab.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert overflow <= 0, f"{name} is {overflow} pixels wider than the {width}"
        tab.picture(f"{name}-{look}-{width}")


@pytest.mark.parametrize("name", PAGES)
def test_every_page_can_be_used_by_keyboard(tab: Tab, name: str) -> None:
    tab.open(name)
    tab.page.evaluate("document.activeElement.blur()")
    if name == "document":
        tab.page.reload()
        tab.page.wait_for_selector(READY[name])
    tab.page.keyboard.press("Tab")
    assert tab.page.evaluate("document.activeElement.className") == "skip"
    unseen = tab.page.evaluate(
        """() => [...document.querySelectorAll("a, button, input, select, textarea, summary, [tabindex='0']")]
        .filter((e) => e.checkVisibility() && !e.disabled).filter((e) => { e.focus({preventScroll: true}); return document.activeElement !== e; })
        .map((e) => e.outerHTML.slice(0, 90))"""
    )
    assert unseen == []
    ring = "getComputedStyle(document.activeElement).outlineStyle"
    tab.page.evaluate("document.querySelector('.skip').focus()")
    for _ in range(4):
        tab.page.keyboard.press("Tab")
        assert tab.page.evaluate(ring) == "solid", "no ring shows where the keyboard is"
    tab.page.evaluate("document.activeElement.blur()")
    tab.page.keyboard.press("?")
    assert tab.page.locator("#keys").is_visible()
    tab.page.keyboard.press("Escape")
    tab.page.keyboard.press("g")
    tab.page.keyboard.press("d")
    tab.page.wait_for_url("**/documents")


def test_answers_stream_side_by_side_and_citations_open_their_passage(tab: Tab) -> None:
    tab.open("chat")
    tab.page.get_by_label("handbook", exact=False).first.check()
    tab.page.fill("#system", "Be brief.")
    tab.page.fill("#question", "How long are lost things kept?")
    tab.page.keyboard.press("Enter")
    tab.page.wait_for_selector(".answer.writing")
    tab.page.wait_for_selector(".sources")
    playwright.expect(tab.page.locator(".answer.writing")).to_have_count(0)
    assert tab.page.locator(".answer").count() == 2
    assert tab.page.locator(".answer strong", has_text="passports").count() == 1
    assert "harvest fair" in tab.page.locator("#live").inner_text()
    tab.picture("chat-answered", full_page=False)
    tab.page.locator(".words .cite").first.click()
    mark = tab.page.locator("#passage mark")
    mark.wait_for()
    source = tab.page.locator("#passage-place").inner_text()
    start, end = (int(number) for number in re.findall(r"(\d+) to (\d+)", source)[0])
    document = source.split(",")[0]
    assert mark.inner_text().split() == ui_site.DOCUMENTS[document][1][start:end].split()
    tab.picture("chat-passage")
    tab.page.locator("#passage-link").click()
    tab.page.wait_for_selector(".chunk.here mark")
    tab.page.go_back()
    tab.page.wait_for_selector(".answer")  # the conversation is still there
    assert tab.page.locator(".asked").inner_text() == "How long are lost things kept?"


def test_a_tiny_random_model_streams_and_can_be_stopped(tab: Tab, site: ui_site.Site, eventually: Any) -> None:
    tab.open("chat")
    tab.page.get_by_label("tiny", exact=False).first.check()
    tab.page.get_by_label("starter", exact=False).first.uncheck()
    tab.page.fill("#question", "Where does the red ship lie?")
    tab.page.click("#send-button")
    playwright.expect(tab.page.locator(".answer header span")).to_contain_text(" s")
    assert tab.page.locator(".answer .failed").count() == 0
    tab.page.get_by_label("starter", exact=False).first.check()
    tab.page.get_by_label("tiny", exact=False).first.uncheck()
    site.engine.step_seconds = 0.05
    tab.page.fill("#question", "And the blue one?")
    tab.page.keyboard.press("Enter")
    tab.page.wait_for_selector(".answer.writing .words p")
    tab.page.keyboard.press("Escape")
    playwright.expect(tab.page.locator(".stopped").last).to_have_text("You stopped it.")
    site.engine.step_seconds = 0.002
    tab.page.wait_for_function("document.getElementById('stop-button').hidden")
    eventually(lambda: bool(site.engine.cancelled))


def test_a_wrong_setting_is_told_and_nothing_is_sent(tab: Tab) -> None:
    tab.open("chat")
    tab.page.fill("#temperature", "hot")
    tab.page.fill("#question", "Hello")
    tab.page.keyboard.press("Enter")
    playwright.expect(tab.page.locator("#problem")).to_contain_text("temperature")
    assert tab.page.input_value("#question") == "Hello"
    assert not [url for url in tab.asked if "/v1/" in url]


def test_numbers_mean_what_their_writer_means(tab: Tab) -> None:
    tab.open("chat")
    for field_id, typed in (("#temperature", "0,7"), ("#max-tokens", "1,000"), ("#seed", "2.000.000")):
        tab.page.fill(field_id, typed)
    tab.page.fill("#question", "Hello")
    with tab.page.expect_request("**/v1/chat/completions") as sent:
        tab.page.keyboard.press("Enter")
    body = sent.value.post_data_json
    assert (body["temperature"], body["max_tokens"], body["seed"]) == (0.7, 1000, 2_000_000)
    playwright.expect(tab.page.locator(".answer header span")).to_contain_text(" s")
    tab.page.fill("#max-tokens", "1,5")
    tab.page.fill("#question", "Hello")
    tab.page.keyboard.press("Enter")
    playwright.expect(tab.page.locator("#problem")).to_contain_text("a whole number")


def test_lists_show_the_numbers_that_were_written(tab: Tab) -> None:
    text = "24. Dezember: closed\n\n1. one\n\n2. two\n3. three\n- a point\n7) seven"
    tab.open("chat")
    tab.page.evaluate(
        """(text) => sessionStorage.setItem("sartor-conversation", JSON.stringify({chosen: ["starter"], system: "",
        turns: [{question: "?", answers: {starter: {text, passages: [], finish: "stop"}}}]}))""",
        text,
    )
    tab.page.reload()
    tab.page.wait_for_selector(".words li")
    items = tab.page.evaluate(
        "[...document.querySelectorAll('.words li')].map((e) => [e.parentElement.tagName, e.value, e.innerText])"
    )
    assert items == [
        ["OL", 24, "Dezember: closed"], ["OL", 1, "one"], ["OL", 2, "two"], ["OL", 3, "three"], ["UL", 0, "a point"],
        ["OL", 7, "seven"],
    ]  # fmt: skip


def test_curves_grow_while_a_run_goes_on(tab: Tab, site: ui_site.Site) -> None:
    run = site.runs / "going"
    ui_site.write_run(run, 90, finished=False)
    with RunFolder.open(run):  # the lock says that it runs
        tab.page.goto(site.url + "/runs/show?run=going")
        tab.page.wait_for_selector("#run svg")
        playwright.expect(tab.page.locator(".pill")).to_have_text("running")
        playwright.expect(tab.page.locator(".figures")).to_contain_text("60 of 90")
        ui_site.append_steps(run, 61, 75, 90)
        playwright.expect(tab.page.locator(".figures")).to_contain_text("75 of 90")
        read = [url for url in tab.asked if "/ui/metrics" in url]
        assert int(read[-1].rsplit("from=", 1)[1]) > 0, "the file is not read from its beginning again"
    playwright.expect(tab.page.locator(".pill")).to_have_text("interrupted")
    shutil.rmtree(run)


def test_a_chart_can_be_read_without_seeing_it(tab: Tab) -> None:
    tab.open("run")
    chart = tab.page.locator("figure.chart").first
    assert "at step" in chart.locator("svg[role=img]").get_attribute("aria-label")
    chart.locator("svg[role=img]").focus()
    tab.page.keyboard.press("End")
    assert chart.locator(".read").inner_text().startswith("step 60: ")
    chart.locator("summary").click()
    assert chart.locator("tbody tr").count() == 60
    dashes = tab.page.evaluate(
        "[...document.querySelectorAll('.legend path.curve')].map((e) => `${e.getAttribute('stroke-dasharray')} ${e.getAttribute('class').includes('faint')}`)"
    )
    assert len(set(dashes)) == len(dashes), "curves are told apart by more than their colour"


def test_runs_are_ticked_and_compared(tab: Tab) -> None:
    tab.open("runs")
    for name in ("tuned-small", "tuned-large"):
        tab.page.get_by_label(f"Compare {name}").check()
    tab.page.click("#compare-button")
    tab.page.wait_for_selector("#tables table")
    assert "learning_rate" in tab.page.locator("#tables").inner_text()
    assert tab.page.locator(".legend li").count() == 2


def test_the_rows_of_a_choice_are_browsed(tab: Tab) -> None:
    tab.open("choice")
    assert tab.page.locator("h1").inner_text().startswith("Use retrieval")
    assert tab.page.locator(".row").count() == 10
    tab.page.get_by_label("Find").fill("dogs")
    assert {each for each in tab.page.locator(".row h3").all_inner_texts()} == {"Where do dogs travel?"}
    tab.page.locator(".row summary").first.click()
    assert tab.page.locator(".row .hit").first.is_visible()
    tab.page.locator("h1").click()
    tab.page.keyboard.press("j")
    assert "row" in tab.page.evaluate("document.activeElement.className")


def test_documents_are_added_found_and_deleted(tab: Tab, tmp_path: Path) -> None:
    tab.open("documents")
    note = tmp_path / "tides.md"
    note.write_text("# Tides\n\nAt spring tide the ramp is closed for an hour.\n")
    broken = tmp_path / "broken.pdf"
    broken.write_bytes(b"%PDF-1.4 nothing")
    tab.page.set_input_files("#upload", [note, broken])
    lines = tab.page.locator("#upload-list li")
    playwright.expect(lines.nth(0)).to_contain_text("✓ tides.md: added")
    playwright.expect(lines.nth(1)).to_contain_text("✗ broken.pdf:")
    tab.complaints[:] = [said for said in tab.complaints if "status of 400" not in said]  # the browser's own word of it
    tab.page.fill("#query", "spring tide ramp")
    tab.page.keyboard.press("Enter")
    tab.page.wait_for_selector(".hit")
    assert "ramp is closed" in tab.page.locator(".hit").first.inner_text()
    tab.page.select_option("#where-field", "folder")
    tab.page.select_option("#where-value", json.dumps("rules"))
    tab.page.keyboard.press("Enter")
    tab.page.click("#search button")
    playwright.expect(tab.page.locator(".hit .sub").first).to_contain_text("rules/")
    tab.picture("documents-search")
    tab.page.get_by_label("Delete tides.md").click()
    tab.page.keyboard.press("Enter")  # the safe answer has the focus
    assert tab.page.get_by_label("Delete tides.md").count() == 1
    tab.page.get_by_label("Delete tides.md").click()
    tab.page.click("#confirm .danger")
    playwright.expect(tab.page.get_by_label("Delete tides.md")).to_have_count(0)


def test_the_look_is_switched_and_kept(tab: Tab) -> None:
    tab.open("runs")
    paper = "getComputedStyle(document.body).backgroundColor"
    light = tab.page.evaluate(paper)
    tab.page.keyboard.press("t")
    tab.page.keyboard.press("t")
    assert tab.page.locator("#theme-word").inner_text() == "dark"
    assert tab.page.evaluate(paper) != light
    tab.open("choice")
    assert tab.page.evaluate("document.documentElement.dataset.theme") == "dark"


def test_nothing_moves_for_those_who_asked_for_that(open_tab: Any) -> None:
    tab = open_tab(reduced_motion="reduce")
    tab.open("chat")
    tab.page.evaluate("document.getElementById('model-state').className = 'state-line loading'")
    assert (
        tab.page.evaluate("getComputedStyle(document.getElementById('model-state'), '::before').animationName")
        == "none"
    )


def _luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_words_stand_out_from_their_paper() -> None:
    """WCAG 2.2, 1.4.3 and 1.4.11: text 4.5 to 1, edges of fields 3 to 1, in both looks."""
    style = (Path(ui_site.__file__).parents[2] / "sartor/serving/pages/style.css").read_text()
    looks = re.findall(r"--paper: #\w+;.*?--wash: #\w+;", style, re.DOTALL)
    assert len(looks) == 3
    for look in looks:
        colours = dict(re.findall(r"--([\w-]+): (#\w{6})", look))

        def contrast(one: str, other: str, colours: dict[str, str] = colours) -> float:
            light, dark = sorted((_luminance(colours[one]), _luminance(colours[other])), reverse=True)
            return (light + 0.05) / (dark + 0.05)

        for ink in ("ink", "muted", "accent", "good", "bad", "some"):
            for paper in ("paper", "raised"):
                assert contrast(ink, paper) >= 4.5, (ink, paper)
        assert contrast("on-accent", "accent") >= 4.5 and contrast("ink", "wash") >= 4.5
        assert contrast("edge", "paper") >= 3 and contrast("accent", "wash") >= 3


# --- S6 -------------------------------------------------------------------------------------------------------------------

_CORE = (
    "<script>boom()</script>", "<img src=x onerror=boom()>", "<svg onload=boom()>", "<iframe src=javascript:boom()>",
    "<a href=javascript:boom()>x</a>", "[x](javascript:boom())", "![x](http://evil.example/p.png)",
    "<style>@import url(http://evil.example/s.css)</style>", "<link rel=stylesheet href=//evil.example/s.css>",
    "<base href=//evil.example/>", "<meta http-equiv=refresh content='0;url=//evil.example'>", "<form action=//evil.example>",
    "<object data=//evil.example>", "<embed src=//evil.example>", "<video src=//evil.example onerror=boom()>",
    "<body onload=boom()>", "<details open ontoggle=boom()>", "<input autofocus onfocus=boom()>", "<math><mi xlink:href=javascript:boom()>",
    "{{ 7*7 }}{% for x in y %}", "<template><script>boom()</script></template>", "&lt;script&gt;boom()&lt;/script&gt;",
    "</textarea><script>boom()</script>", "data:text/html,<script>boom()</script>", "<x style=background:url(//evil.example)>",
)  # fmt: skip
_FRAMES = ("{}", "```\n{}\n```", "**{}** `{}`", "- {}\n# {}\n[1] {}")
HOSTILE = [frame.replace("{}", core) for frame in _FRAMES for core in _CORE]
INERT = """() => [window.boomed, document.querySelectorAll("main script, main iframe, main object, main embed, main base, main meta, main link, main style, main video, main math, main img, main template").length,
  [...document.querySelectorAll("main *")].filter((e) => [...e.attributes].some((a) => a.name.startsWith("on") || (a.name === "style" && a.value.includes("evil")))).length,
  [...document.querySelectorAll("a[href]")].filter((e) => new URL(e.href).origin !== location.origin).length]"""


def _inert(tab: Tab) -> None:
    assert tab.page.evaluate(INERT) == [None, 0, 0, 0]


def test_hostile_answers_stay_text(tab: Tab, site: ui_site.Site) -> None:
    assert len(HOSTILE) == 100
    tab.page.add_init_script("window.boom = () => { window.boomed = true; }")
    tab.open("chat")
    tab.page.evaluate(
        """(texts) => sessionStorage.setItem("sartor-conversation", JSON.stringify({chosen: ["starter"], system: "", turns: texts.map((text) => ({
        question: text, answers: {[text]: {text, passages: [{title: text, document_id: text, text, start: 0, end: 0}], finish: "stop"}}}))}))""",
        HOSTILE,
    )
    tab.page.reload()
    playwright.expect(tab.page.locator(".answer")).to_have_count(100)
    _inert(tab)
    shown = tab.page.locator(".words").all_inner_texts()
    assert all("boom" in text or "evil" in text or "7*7" in text for text in shown)
    tab.page.locator(".cite").first.click()
    tab.page.wait_for_selector("#passage mark")
    _inert(tab)


def test_a_hostile_answer_that_streams_stays_text(tab: Tab, site: ui_site.Site) -> None:
    tab.page.add_init_script("window.boom = () => { window.boomed = true; }")
    tab.open("chat")
    site.engine.script, before = "\n".join(HOSTILE[:25]), site.engine.script
    tab.page.fill("#max-tokens", "4000")
    tab.page.fill("#question", HOSTILE[0])
    tab.page.keyboard.press("Enter")
    tab.page.wait_for_selector(".answer.writing")
    playwright.expect(tab.page.locator(".answer.writing")).to_have_count(0, timeout=30_000)
    site.engine.script = before
    _inert(tab)


def test_hostile_rows_and_documents_stay_text(tab: Tab, site: ui_site.Site) -> None:
    tab.page.add_init_script("window.boom = () => { window.boomed = true; }")
    ui_site.write_choice(site.runs / "hostile", HOSTILE)
    tab.page.goto(site.url + "/choice?run=hostile")
    tab.page.wait_for_selector(".row")
    for _ in range(9):
        tab.page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
        _inert(tab)
        tab.page.get_by_role("button", name="Later").click()
    shutil.rmtree(site.runs / "hostile")
    names = [f"{text[:60]}.md".replace("/", "∕") for text in HOSTILE[:25]]
    tab.open("documents")
    tab.page.set_input_files(
        "#upload",
        [{"name": name, "mimeType": "text/markdown", "buffer": f"# {text}\n\n{text}\n".encode()}
         for name, text in zip(names, HOSTILE, strict=False) if "\n" not in name],
    )  # fmt: skip
    playwright.expect(tab.page.locator("#upload-list li", has_text="✓")).to_have_count(25, timeout=30_000)
    _inert(tab)
    tab.page.fill("#query", "script boom")
    tab.page.keyboard.press("Enter")
    tab.page.wait_for_selector(".hit")
    _inert(tab)
    for name in names[:5]:
        tab.page.goto(f"{site.url}/documents/show?file=0&id={quote(name)}")
        tab.page.wait_for_selector(".chunk")
        _inert(tab)


def test_a_hostile_report_runs_nothing(tab: Tab, site: ui_site.Site) -> None:
    report = site.runs / "tuned-small" / "report.html"
    report.write_text("<body><h1>Report</h1><script>document.title='boom'</script><img src=http://evil.example/x.png>")
    tab.page.goto(site.url + "/report?run=tuned-small")
    assert tab.page.title() != "boom"
    assert not [url for url in tab.asked if "evil" in url]
    assert [said for said in tab.complaints if "script" in said]
    tab.complaints.clear()  # the browser says what it refused
    report.unlink()
