"""The report: every verdict is said in words, nothing hostile comes alive, nothing is loaded."""

import base64
import copy
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from sartor.base.energy import WATTS_PER_BUSY_CORE
from sartor.base.errors import DataError
from sartor.choosing.report.chart_parts import Point
from sartor.choosing.report.scores_chart import LEFT, RIGHT, scores_chart
from sartor.choosing.report.trade_chart import COST, TIME, dominated, placed_by, trade_axes, trade_chart
from sartor.choosing.report.writing import ROWS_SHOWN, write_report
from sartor.data.leaks import Leak, LeakReport
from sartor.data.records import Row
from tests.choosing.made_up_choice import Answers, made_up_answers, made_up_choice, remote

HOSTILE = (
    "<script>alert(1)</script><img src=x onerror=alert(2)> \"quoted\" 'single' & `code` | [link](javascript:alert(3))"
)


class Page(HTMLParser):
    """What a browser would see: elements, attributes and text."""

    def __init__(self, text: str):
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.styles: list[str] = []
        self._in_style = False
        self.feed(text)
        self.text = re.sub(r"\s+", " ", " ".join(self.words))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._in_style = tag == "style"

    def handle_endtag(self, tag: str) -> None:
        self._in_style = False

    def handle_data(self, data: str) -> None:
        (self.styles if self._in_style else self.words).append(data)


def render(folder: Path, choice: dict[str, Any], answers: Answers) -> tuple[Page, str]:
    page = write_report(choice, answers, folder)
    assert page == folder / "report.html"
    return Page(page.read_text(encoding="utf-8")), (folder / "report.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def decided(tmp_path_factory: pytest.TempPathFactory) -> tuple[Page, str]:
    """The page and the Markdown of the made-up choice as it is."""
    answers = made_up_answers()
    return render(tmp_path_factory.mktemp("decided"), made_up_choice(answers), answers)


@pytest.fixture
def answers() -> Answers:
    return made_up_answers()


@pytest.fixture
def choice(answers: Answers) -> dict[str, Any]:
    return made_up_choice(answers)


def test_first_sentence_is_the_verdict(decided: tuple[Page, str], choice: Any) -> None:
    page, markdown = decided
    best, second = (round(100 * path["score"]) for path in reversed(choice["paths"]) if "rag" in path["name"])
    headline = (
        f"Use retrieval + fine-tuning: it answers {best} of 100 questions right; the next best path, "
        f"retrieval, {second}."
    )
    assert headline in page.text
    assert markdown.startswith(f"# handbook: {headline}\n")
    assert re.search(
        r"better than each of the 3 other paths; it scores \d+ points more than prompting alone\.", page.text
    )
    assert "sartor serve runs/handbook --path finetune+rag" in page.text
    assert "    sartor serve runs/handbook --path finetune+rag\n" in markdown


def test_same_input_gives_the_same_bytes(tmp_path: Path, choice: Any, answers: Any) -> None:
    for folder in ("one", "two"):
        write_report(copy.deepcopy(choice), copy.deepcopy(answers), tmp_path / folder)
    for name in ("report.html", "report.md"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == ["report.html", "report.md"]


def test_page_holds_nothing_but_itself(decided: tuple[Page, str]) -> None:
    page, _ = decided
    policy = next(
        attributes["content"]
        for tag, attributes in page.elements
        if attributes.get("http-equiv") == "Content-Security-Policy"
    )
    digest = base64.b64encode(hashlib.sha256("".join(page.styles).encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    assert "url(" not in "".join(page.styles) and "@import" not in "".join(page.styles)
    for tag, attributes in page.elements:
        assert tag not in ("script", "link", "img", "iframe", "object", "embed", "form", "base")
        assert "style" not in attributes and not any(name.startswith("on") for name in attributes)
        assert (attributes.get("href") or "#").startswith("#") and "src" not in attributes


def test_ids_are_unique_and_every_reference_has_its_target(decided: tuple[Page, str]) -> None:
    page, _ = decided
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    named = [attributes for _, attributes in page.elements]
    wanted = {word for attributes in named for word in (attributes.get("aria-labelledby") or "").split()}
    wanted |= {(attributes.get("href") or "").lstrip("#") for attributes in named if "href" in attributes}
    wanted |= {attributes["for"] or "" for attributes in named if "for" in attributes}
    wanted |= {
        found
        for attributes in named
        for value in attributes.values()
        for found in re.findall(r"url\(#(.*?)\)", value or "")
    }
    assert wanted <= set(ids)


def test_tables_and_charts_can_be_read_aloud(decided: tuple[Page, str]) -> None:
    page, _ = decided
    tags = [tag for tag, _ in page.elements]
    assert tags.count("h1") == tags.count("main") == 1 and tags.count("table") == tags.count("caption")
    navigation = [attributes.get("aria-label") for tag, attributes in page.elements if tag == "nav"]
    assert navigation == ["Parts", "Evidence"]
    assert all(attributes.get("scope") in ("row", "col") for tag, attributes in page.elements if tag == "th")
    charts = [attributes for tag, attributes in page.elements if tag == "svg"]
    assert len(charts) == 4 and all(attributes["role"] == "img" for attributes in charts)
    assert tags.count("desc") == 4 and "Fine-tuning: " in page.text


def test_hostile_text_stays_text(tmp_path: Path, decided: Any, choice: Any, answers: Any) -> None:
    calm, _ = decided
    name = HOSTILE + "\x07"
    choice["paths"][0]["name"] = name
    choice["task"] = choice["why"] = choice["paths"][1]["description"] = HOSTILE
    choice["comparisons"][0]["b"] = name
    answers = {name if path == "prompt" else path: rows for path, rows in answers.items()}
    row = answers["rag"][0]
    row["text"] = row["question"] = HOSTILE + "\x00\ud800"
    row["passages"][0] |= {"title": HOSTILE, "text": HOSTILE, "chunk_id": HOSTILE}
    row["accepted"] = [HOSTILE]
    page, markdown = render(tmp_path / "hostile", choice, answers)
    known = {(tag, name) for tag, attributes in calm.elements for name in attributes}
    assert {(tag, name) for tag, attributes in page.elements for name in attributes} <= known
    assert page.text.count("<script>alert(1)</script>") > 5
    assert "<script" not in markdown and "<img" not in markdown and "[link](javascript" not in markdown


def test_path_names_are_no_mathematics_and_no_markup_in_charts() -> None:
    chart = scores_chart([Point("$x^2$ & <b>", 50, 40, 60, 1, 1), Point("\\frac", 40, 30, 50, 2, 2)], "chart")
    assert "$x^2$ &amp; &lt;b&gt;" in chart and "style=" not in chart and "matplotlib" not in chart.lower()


@pytest.mark.parametrize("narrow", [False, True])
def test_scores_chart_draws_the_interval_where_it_belongs(narrow: bool) -> None:
    chart = scores_chart([Point("only", 50, 25, 75, marked=True)], "chart", narrow)
    width = float(re.search(r'viewBox="0 0 ([\d.]+)', chart)[1])  # type: ignore[index]
    left, right = (8, width - 12) if narrow else (LEFT, width - RIGHT)
    bar = re.search(r'd="M ([\d.]+) [\d.]+\s+L ([\d.]+) [\d.]+\s*" fill="none" stroke-width="4"', chart)
    assert bar is not None
    assert [float(value) for value in bar.groups()] == pytest.approx(
        [left + 0.25 * (right - left), left + 0.75 * (right - left)], abs=0.01
    )


def test_trade_chart_needs_two_measured_paths_and_draws_what_is_known() -> None:
    slow, quick, failed = Point("b", 60, 50, 70, seconds=20.0), Point("a", 50, seconds=1.0), Point("c", None)
    assert trade_axes([quick, failed]) == [] and trade_axes([quick, slow, failed]) == [[TIME]]
    chart = trade_chart([quick, slow, failed], [TIME])
    assert "a 50 points at 1 s; b 60 points at 20 s" in chart and "US$" not in chart


def test_a_path_is_dominated_by_one_as_good_and_cheaper_but_not_by_a_reference_or_one_out_of_limits() -> None:
    points = [
        Point("best", 80, dollars=2.0), Point("same, dearer", 80, dollars=3.0), Point("worse, dearer", 70, dollars=2.5),
        Point("cheapest", 50, dollars=1.0), Point("its twin", 50, dollars=1.0),
        Point("barred", 90, dollars=0.5, barred=True), Point("reference", 95, dollars=0.1, reference=True),
    ]  # fmt: skip
    assert dominated(placed_by(points, COST.reach)) == {"same, dearer": "best", "worse, dearer": "best"}


@pytest.mark.parametrize(
    ("p", "words"),
    [
        (0.0002, "chance would do this in fewer than 1 in 1,000 tries"),
        (0.004, "chance would do this in about 1 in 250 tries"),
    ],
)
def test_pairs_in_words(tmp_path: Path, choice: Any, answers: Any, p: float, words: str) -> None:
    choice["comparisons"] = [
        {
            "a": "prompt",
            "b": "finetune+rag",
            "difference": -0.18,
            "ci": [-0.25, -0.12],
            "p": p / 9,
            "p_adjusted": p,
            "test": "exact McNemar",
        }
    ]
    page, markdown = render(tmp_path, choice, answers)
    sentence = f"Retrieval + fine-tuning is 12 to 25 points better than prompting; {words}."
    assert sentence in page.text and sentence in markdown
    assert "+12.0 to +25.0" in page.text and "+18.0" in page.text


@pytest.mark.parametrize(
    ("interval", "p", "words"),
    [
        ((-0.01, 0.015), 0.8, "are equally good within the margin of 2 points"),
        ((-0.03, 0.08), 0.41, "from 3 points worse to 8 points better; chance would do this in about 41 of 100"),
        ((0.01, 0.12), 0.07, "looks 1 to 12 points better than prompting; this is not proven; chance would"),
    ],
)
def test_pairs_that_are_not_clear_do_not_claim_it(
    tmp_path: Path, choice: Any, answers: Any, interval: Any, p: float, words: str
) -> None:
    choice["comparisons"] = [
        {
            "a": "rag",
            "b": "prompt",
            "difference": sum(interval) / 2,
            "ci": interval,
            "p": p,
            "p_adjusted": p,
            "test": "permutation",
        }
    ]
    page, _ = render(tmp_path, choice, answers)
    assert words in page.text


def test_tie(tmp_path: Path, choice: Any, answers: Any) -> None:
    choice |= {"verdict": "tie", "choice": "rag"}
    page, markdown = render(tmp_path, choice, answers)
    assert re.search(
        r"Use retrieval: it answers \d+ of 100 questions right, and none is better by more than "
        r"the margin of 2 points\.",
        page.text,
    )
    assert "rag, tied" in page.text and "**Tie.**" in markdown


@pytest.mark.parametrize("named", ["finetune+rag", None])
def test_undecided_says_how_many_questions_are_missing(tmp_path: Path, choice: Any, answers: Any, named: Any) -> None:
    choice |= {"verdict": "undecided", "choice": named, "needed_rows": 1360}
    page, markdown = render(tmp_path, choice, answers)
    assert "Undecided: for now retrieval + fine-tuning answers" in page.text
    assert "about 1,200 more test questions would decide" in page.text
    assert ("Serve it" in page.text) == (named is not None)
    assert "Undecided: for now" in markdown


def test_no_path_keeps_the_limits(tmp_path: Path, choice: Any, answers: Any) -> None:
    choice |= {"choice": None}
    for path in choice["paths"]:
        path["excluded"] = ["p95 time is over the limit of 0.1 seconds"]
    page, _ = render(tmp_path, choice, answers)
    assert "No path keeps the limits. The best one measured, retrieval + fine-tuning, answers" in page.text
    listed = page.text[page.text.rindex("Read this with care") :]
    assert listed.count("is ruled out: p95 time is over the limit of 0.1 seconds") == 4


def test_ruled_out_remote_path_has_cost_and_hosts(tmp_path: Path, choice: Any, answers: Any) -> None:
    remote(choice, answers)
    page, markdown = render(tmp_path, choice, answers)
    assert "; the remote API 83, but it breaks a limit." in page.text
    assert "412 kB to api.example.com" in page.text and "412 kB (to api.example.com)" in markdown
    for words in (
        "$3.40",
        "could not be scored; whatever they are worth, the score is from 82.0 to 83.7",
        "2.5 % of replies were cut off",
        "is ruled out: it is not local, and local_only is set",
    ):
        assert words in page.text and words in markdown


def test_failed_path_is_named_with_its_reason(tmp_path: Path, choice: Any, answers: Any) -> None:
    del answers["finetune"]
    choice["comparisons"] = choice["comparisons"][:1]
    choice["paths"][2] = {"name": "finetune", "score": None, "failed": "the loss became NaN at step 12"}
    page, markdown = render(tmp_path, choice, answers)
    assert "Fine-tuning failed and was not measured: the loss became NaN at step 12" in page.text
    assert "Fine-tuning: not measured, failed" in page.text
    assert "failed" in markdown


def test_one_path_only_and_nothing_else_known(tmp_path: Path) -> None:
    page, markdown = render(
        tmp_path, {"choice": "prompt", "verdict": "decided", "paths": [{"name": "prompt", "score": 0.4}]}, {}
    )
    assert "Use prompting: it scores 40 of 100 points." in page.text
    assert "there was nothing to compare it with" in page.text
    assert "Where answers differ" not in page.text and "Use prompting" in markdown


def test_zero_documents_and_doubtful_conditions_are_said(tmp_path: Path, choice: Any, answers: Any) -> None:
    learnt, asked = Row("a", [], (), "a", where="train.jsonl:1"), Row("b", [], (), "b", where="test.jsonl:2")
    for row in (learnt, asked):
        row.messages.append({"role": "user", "content": "Who signs?"})
    leaks = LeakReport((), (Leak(learnt, asked, 0.9),)).text()
    choice["how"] |= {"documents": 0, "chunks": 0, "leaks": leaks, "test_touched": 3, "rows_test": 20}
    page, _ = render(tmp_path, choice, answers)
    assert "Documents none What the paths with retrieval could look up" in page.text
    sentence = (
        "1 test questions stand nearly (similarity from 0.8) among the rows to learn from (1 pairs). "
        "Exact copies were kept out of fitting; near ones may make scores too high."
    )
    assert sentence in page.text
    assert "were used 3 times" in page.text and "only 20 test questions" in page.text


def test_rows_where_paths_disagree_come_first_and_the_rest_is_counted(tmp_path: Path) -> None:
    answers = made_up_answers(ROWS_SHOWN + 30)
    page, markdown = render(tmp_path, made_up_choice(answers), answers)
    kinds = [
        attributes["class"].split()[1]
        for tag, attributes in page.elements  # type: ignore[union-attr]
        if tag == "details" and (attributes.get("class") or "").startswith("row ")
    ]
    num_differ = sum(len({row["score"] for row in rows}) > 1 for rows in zip(*answers.values(), strict=True))
    assert kinds == ["differ"] * num_differ + kinds[num_differ:] and "differ" not in kinds[num_differ:]
    assert len(kinds) == ROWS_SHOWN
    assert "200 of 230 test questions" in page.text and "30 are not shown here" in page.text
    assert "12 of 230 test questions" in markdown


def test_marks_are_words_too(tmp_path: Path, choice: Any, answers: Any) -> None:
    for name, score in zip(answers, (0.0, 0.4, None, 1.0), strict=True):
        answers[name] = [{**answers[name][0], "score": score, "finish": "length", "text": "y" * 3000}]
    page, markdown = render(tmp_path, choice, answers)
    for words in ("✗ wrong", "◐ partial 0.40", "? not scored", "✓ right"):
        assert words in page.text and words in markdown
    assert "cut off by the length limit" in page.text and "1,000 more characters" in page.text


def test_passages_two_paths_share_are_shown_once(decided: tuple[Page, str]) -> None:
    page, _ = decided
    assert page.text.count("3 passages given to retrieval + fine-tuning and retrieval") == 120


def test_how_the_numbers_were_obtained_is_said(decided: tuple[Page, str]) -> None:
    page, markdown = decided
    for what, words in (
        ("Budget", "10m Time to fit all paths, shared equally."),
        ("Machine price", "$0.10 an hour"),
        ("Time", "for a few dev questions asked one at a time"),
        ("Cost for 1,000", "Local paths: the machine's price per hour times the time measured"),
        ("Energy", f"processor seconds times an assumed {WATTS_PER_BUSY_CORE:g} W a busy core"),
        ("Set-up", "Time to choose settings on dev questions, to index the documents and to train."),
    ):
        assert re.search(rf"{what} .{{0,100}}{re.escape(words)}", page.text), what
        assert words.removeprefix("10m ") in markdown
    assert "Exact copies were kept out" not in page.text


@pytest.mark.parametrize("change", [{"paths": []}, {"choice": "nobody"}])
def test_inconsistent_choice_is_refused_and_nothing_is_written(
    tmp_path: Path, choice: Any, answers: Any, change: Any
) -> None:
    with pytest.raises(DataError, match="choice.json"):
        write_report(choice | change, answers, tmp_path / "report")
    assert not (tmp_path / "report").exists()
