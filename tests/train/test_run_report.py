"""The report of a run: says what happened, shows every metric, lets nothing hostile in."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from sartor.train.run_report import learnt_parts, write_run_report
from tests.train import made_up_alignment
from tests.train.made_up_runs import (
    HOSTILE,
    LEVELLED,
    OVERFITTED,
    SETTINGS,
    falling,
    records,
    result_of,
    run_folder,
)


class Page(HTMLParser):
    """What a browser would see: elements, text, styles, and the text of marked pieces."""

    def __init__(self, text: str):
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.styles, self.learnt, self._words = "", [], []  # type: ignore[var-annotated]
        self._place = ""
        self.feed(text)
        self.text = re.sub(r"\s+", " ", " ".join(self._words))

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self._place = "style" if tag == "style" else "learnt" if dict(attrs).get("class") == "learnt" else ""

    def handle_endtag(self, tag):
        self._place = ""

    def handle_data(self, data):
        if self._place == "style":
            self.styles += data
        else:
            self._words.append(data)
            self.learnt += [data] if self._place == "learnt" else []


def page_of(run) -> Page:
    path = write_run_report(run)
    assert path == run.path / "report.html"
    return Page(path.read_text(encoding="utf-8"))


def test_the_first_sentence_says_what_was_trained_on_what_and_what_came_out(tmp_path):
    metrics = [*OVERFITTED]
    low = min(each["dev_loss"] for each in metrics if "dev_loss" in each)
    page = page_of(run_folder(tmp_path / "run", metrics, result_of(metrics, stopped_early=True)))
    assert (
        "A LoRA adapter for small-model, trained on 158 rows of ships.jsonl: the held-out loss fell from 3.000 to "
        f"{low:.3f}." in page.text
    )
    assert "It stopped early" in page.text and "by heart" in page.text and "fewer epochs" in page.text
    assert "2 min 05 s" in page.text


def test_known_and_unknown_metrics_get_a_chart_each(tmp_path):
    metrics = records(60, falling, falling, kl=lambda s: s / 100, entropy=lambda s: 5 - s / 50)
    page = page_of(run_folder(tmp_path / "run", metrics, result_of(metrics, peak_memory_bytes=2_300_000_000, oddity=7)))
    titles = [text for text in ("Learning rate", "Norm of the gradient", "kl", "entropy") if text in page.text]
    assert len(titles) == 4
    assert sum(tag == "svg" for tag, _ in page.elements) == 2 + 2 + 2  # loss twice; rate and norm; kl and entropy
    assert "Peak memory 2.3 GB" in page.text and "Oddity 7" in page.text
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_what_is_learnt_is_marked_and_nothing_else(tmp_path):
    page = page_of(run_folder(tmp_path / "run", LEVELLED, result_of(LEVELLED)))
    assert page.learnt == ["Coloured and underlined", "north", "<end>"]
    assert "⟦" not in page.text


def test_a_page_holds_nothing_but_itself_whatever_the_run_is_called(tmp_path):
    metrics = [{**each, HOSTILE: 1.0 + each["step"], "bell \x07": 2.0} for each in LEVELLED]
    settings = SETTINGS | {"data": f"/x/{HOSTILE}", "base": HOSTILE}
    page = page_of(run_folder(tmp_path / "run", json.loads(json.dumps(metrics)), result_of(metrics), settings))
    digest = base64.b64encode(hashlib.sha256(page.styles.encode()).digest()).decode()
    policy = next(a["content"] for _, a in page.elements if a.get("http-equiv") == "Content-Security-Policy")
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    for tag, attributes in page.elements:
        assert tag not in ("script", "img", "iframe", "object", "link", "form")
        assert "style" not in attributes and not any(name.startswith("on") for name in attributes)
        assert all((attributes.get(name) or "#").startswith("#") for name in ("href", "src", "xlink:href"))
    assert "alert(1)" in page.text  # it is shown as text


def test_the_same_files_give_the_same_bytes(tmp_path):
    run = run_folder(tmp_path / "run", OVERFITTED, result_of(OVERFITTED))
    assert write_run_report(run).read_bytes() == write_run_report(run).read_bytes()


@pytest.mark.parametrize("metrics", [[], LEVELLED[:5], [{"step": 1, "loss": "NaN"}]])
def test_a_run_that_has_not_ended_is_reported_as_far_as_it_is(tmp_path, metrics):
    run = run_folder(tmp_path / "run", metrics, None, plan={})
    for name in ("certificate.json", "environment.json", "plan.json"):
        (run.path / name).unlink()
    page = page_of(run)
    assert "has not ended" in page.text or "No step has been taken" in page.text


def test_thousands_of_steps_stay_a_small_page(tmp_path):
    metrics = records(8000, lambda s: falling(s) + (s % 7) / 10, falling)
    path: Path = write_run_report(run_folder(tmp_path / "run", metrics, result_of(metrics)))
    assert path.stat().st_size < 300_000


def test_a_long_row_is_cut_and_says_so():
    parts = learnt_parts("a" * 3990 + "⟦" + "b" * 100 + "⟧")
    assert parts[0] == ("a" * 3990, False) and parts[1][1] and set(parts[1][0]) == {"b"}
    assert "more characters" in parts[2][0]


def aligned(folder, kind: str, finished: bool = True, traces=None, more=None, **changed) -> Page:
    metrics = made_up_alignment.records(kind, 100, **changed)
    result = made_up_alignment.result_of(kind, metrics, **(more or {})) if finished else None
    return page_of(made_up_alignment.alignment_run(folder, kind, metrics, result, traces))


@pytest.mark.parametrize(
    ("kind", "told", "families"),
    [
        ("reward", "held-out accuracy rose from 0.512 to 0.", 3),
        ("dpo", "held-out accuracy rose from 0.512 to 0.", 3),
        ("grpo", "mean reward of held-out prompts rose from 0.200 to 0.", 9),
        ("ppo", "mean reward of held-out prompts rose from 0.200 to 0.", 12),
    ],
)
def test_alignment_has_its_sentence_and_a_panel_a_family(tmp_path, kind, told, families):
    page = aligned(tmp_path / "run", kind)
    assert told in page.text and "None of it was seen." in page.text
    others = 2 + (kind in ("ppo", "grpo"))  # rate, norm of the gradient; the surrogate's loss is no main chart
    assert sum(tag == "svg" for tag, _ in page.elements) == 2 + families + others
    assert ("How did it go?" in page.text) is (kind in ("ppo", "grpo"))
    assert ("Mean reward over the steps" in page.text) is (kind in ("ppo", "grpo"))
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_alarms_stand_beside_the_diagnosis(tmp_path):
    page = aligned(tmp_path / "run", "ppo", entropy=lambda step: 1.6 * 0.9**step, kl=lambda step: 1.0 * 1.08**step)
    assert "2 alarms" in page.text and "Entropy collapse" in page.text and "KL runs away" in page.text
    assert "raise the KL coefficient" in page.text and page.text.index("How did it go?") < page.text.index("Alarms")
    assert any(attributes.get("href") == "#alarms" for _, attributes in page.elements)


def test_an_alignment_run_that_has_not_ended_is_reported(tmp_path):
    assert "The run has not ended" in aligned(tmp_path / "run", "grpo", finished=False).text


def test_the_quality_of_a_reward_model_is_shown(tmp_path):
    accuracy = {"mean": 0.71, "low": 0.66, "high": 0.76, "n": 200}
    quality = {
        "accuracy": accuracy,
        "calibration": {"brier": 0.21, "bins": [{"confidence": 0.7, "accuracy": accuracy}]},
    }
    page = aligned(tmp_path / "run", "reward", more={"quality": quality})
    assert "0.71 (95 % interval 0.66 to 0.76), n 200" in page.text and "Brier 0.21" in page.text
    assert "said 0.70, right 0.71" in page.text and "Quality" in page.text


def test_answers_are_shown_early_and_late_and_are_inert(tmp_path):
    tokens = ["<b>", HOSTILE, "\" onclick='x'", "{{ 7 * 7 }}", "\u202e", "</pre>", "end"]
    traces = [made_up_alignment.trace(step, row, tokens, values=False) for step in (1, 50) for row in range(2)]
    page = aligned(tmp_path / "run", "grpo", traces=traces)
    for tag, attributes in page.elements:
        assert tag not in ("b", "script", "img", "iframe", "form")
        assert "style" not in attributes and not any(name.startswith("on") for name in attributes)
    coloured = [
        attributes for tag, attributes in page.elements if tag == "span" and "advantage" in str(attributes.get("title"))
    ]
    assert len(coloured) == 4 * len(tokens)
    assert {str(each.get("class")) for each in coloured} >= {"bad-4", "good-3"}
    assert "Step 1 " in page.text and "Step 50 " in page.text and "49" not in re.findall(r"\{\{ (\d+)", page.text)
    assert "alert(1)" in page.text and "{{ 7 * 7 }}" in page.text and "\u202e" not in page.text


def test_many_long_answers_stay_a_page_that_can_be_opened(tmp_path):
    tokens = [f"token{place} " for place in range(2000)]
    traces = [made_up_alignment.trace(step, row, tokens) for step in range(1, 9) for row in range(6)]
    metrics = made_up_alignment.records("ppo", 400)
    run = made_up_alignment.alignment_run(tmp_path / "run", "ppo", metrics, None, traces)
    path = write_run_report(run)
    assert path.stat().st_size < 1_000_000
    assert "48 answers of 8 steps are in traces.jsonl; 40 of them are left out here" in path.read_text()
    assert write_run_report(run).read_bytes() == path.read_bytes()


def test_held_out_figures_stand_beside_those_of_training(tmp_path):
    page = aligned(tmp_path / "run", "dpo")
    assert "chosen, held out: " in page.text and "rejected, held out: " in page.text
    assert "Everything else that was measured" not in page.text


def test_what_is_marked_in_a_row_of_a_reward_model_is_where_its_score_is_read(tmp_path):
    metrics = made_up_alignment.records("reward", 20)
    run = made_up_alignment.alignment_run(tmp_path / "run", "reward", metrics, None)
    run.write_json("certificate.json", {"pairs": 20, "rows": 40, "trained_tokens": 40, "shown": ["a⟦<end>⟧"]})
    page = page_of(run)
    assert "tokens where a score is read 40" in page.text and "learns to write" not in page.text
    assert page.learnt == ["coloured and underlined", "<end>"]
