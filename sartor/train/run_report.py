"""`report.html` of a training run: what was trained, how it went, what to think of it, on one self-contained page.

It reads nothing but the run folder: config.yaml, metrics.jsonl, and where they are there certificate.json, plan.json,
result.json, environment.json and traces.jsonl. Metrics and settings that it does not know are shown under their own
names.
"""

import json
import re
from pathlib import Path
from typing import Any

from sartor.base.console import format_seconds
from sartor.base.durable import format_bytes
from sartor.base.errors import DataError
from sartor.base.run_folder import RunFolder
from sartor.reporting.figures import number, plain, visible
from sartor.reporting.page import page_bytes, render_page
from sartor.train.alarms import alarms, watched
from sartor.train.alignment_charts import panels, reward_charts
from sartor.train.diagnosis import diagnose, gap_sentence
from sartor.train.history import History, read_history, read_record, read_settings
from sartor.train.quality_view import quality_view
from sartor.train.run_charts import loss_charts, small_charts
from sartor.train.run_headline import HELD_OUT, headline, summary
from sartor.train.trace_view import traces_view

REPORT = "report.html"
CERTIFICATE_WORDS = {
    "pairs": "pairs learnt from",
    "pairs_too_long": "pairs left out: too long",
    "rated_answers": "rated answers learnt from",
    "desirable": "desirable answers among them",
    "rated_answers_too_long": "rated answers left out: too long",
    "shared_prompt_tokens": "tokens of prompts that are computed once for both answers",
    "rows": "rows learnt from",
    "row_tokens": "tokens in them",
    "trained_tokens": "tokens that are learnt",
    "trained_tokens_min": "learnt in a row, at least",
    "trained_tokens_median": "learnt in a row, median",
    "rows_without_trained_token": "rows left out: nothing in them is learnt",
    "rows_too_long": "rows left out: too long",
    "longest_row_tokens": "tokens of the longest row",
    "max_row_tokens": "tokens that a row may have",
    "rows_ending_inside_loss": "rows whose end of turn is learnt",
    "largest_bos_count": "beginning-of-text tokens at most",
    "template": "chat template",
    "template_hash": "hash of the template",
}
REWARD_WORDS = {  # a reward model learns to write nothing: what is marked is where the score is read
    "trained_tokens": "tokens where a score is read",
    "trained_tokens_min": "read in a row, at least",
    "trained_tokens_median": "read in a row, median",
    "rows_without_trained_token": "rows left out: nothing in them is read",
    "rows_ending_inside_loss": "rows that are read at their end of turn",
}
LEARNT = re.compile(r"⟦(.*?)⟧", re.DOTALL)
SHOWN_CHARACTERS = 4000
SAMPLES_FILE = "samples.json"
SHOWN_EVALUATIONS = 4
TOLD_RESULTS = (
    "steps", "best_step", "dev_loss_before", "dev_loss", "train_loss", "stopped_early", "seconds", "quality",
)  # fmt: skip


def write_run_report(folder: RunFolder) -> Path:
    """Write `report.html` into the run folder and return its path. The same files give the same bytes.

    DataError or UsageError where a file of the run cannot be read. To be called after result.json is written; before
    that the page says that the run has not ended.
    """
    text = render_page(Path(__file__).with_name("run_report.html.jinja"), _page(folder.path))
    folder.write_text(REPORT, page_bytes(text).decode())
    return folder.path / REPORT


def _page(run: Path) -> dict[str, Any]:
    history, settings = read_history(run), read_settings(run)
    certificate, environment = read_record(run / "certificate.json"), read_record(run / "environment.json")
    diagnosis = diagnose(history)
    named, other = small_charts(history)
    quality = history.result.get("quality")
    certificate_words = CERTIFICATE_WORDS | (REWARD_WORDS if history.kind == "reward" else {})
    return {
        "history": history,
        "alarms": alarms(history.records) if history.aligns else [],
        "watched": watched(history.records) if history.aligns else [],
        "panels": panels(history) if history.aligns else [],
        "quality": quality_view(quality) if isinstance(quality, dict) and quality else None,
        "traces": traces_view(run),
        "written": written_texts(run),
        "name": visible(run.resolve().name),
        "headline": headline(history, settings, certificate),
        "summary": summary(history),
        "diagnosis": diagnosis,
        "gap": gap_sentence(diagnosis),
        "main_chart": reward_charts(history) if history.samples else loss_charts(history),
        "charts": named,
        "other_charts": other,
        "facts": facts(history),
        "counts": [
            (certificate_words.get(key, key), plain(value)) for key, value in certificate.items() if key != "shown"
        ],
        "rows": [learnt_parts(str(text)) for text in certificate.get("shown") or []],
        "settings": [(key, plain(value)) for key, value in settings.items()],
        "environment": [(key, plain(value)) for key, value in environment.items()],
    }


def written_texts(run: Path) -> list[tuple[int, list[tuple[str, str]]]]:
    """Of the texts sampled on the way (samples.json): step, and prompt and text of each, of some evaluations evenly
    spread, the first and the last among them."""
    path = run / SAMPLES_FILE
    if not path.is_file():
        return []
    try:
        records = json.loads(path.read_text())
        found = [
            (int(record["step"]), [(_lines(each["prompt"]), _lines(each["text"])) for each in record["samples"]])
            for record in records
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"cannot be read: {error}", where=str(path), hint="restore it from a copy") from None
    last = len(found) - 1
    places = sorted({round(place * last / (SHOWN_EVALUATIONS - 1)) for place in range(SHOWN_EVALUATIONS)})
    return [found[place] for place in places if 0 <= place <= last and found[place][1]]


def _lines(text: str) -> str:
    return "\n".join(visible(line) for line in text.split("\n"))


def facts(history: History) -> list[tuple[str, str]]:
    """Steps, time, tokens and whatever else the run recorded of itself."""
    found: list[tuple[str, str]] = [("Steps", f"{history.steps:,}")]
    if history.best_step is not None:
        found.append(("Best step", f"{history.best_step:,}"))
    if (before := history.dev_loss_before) is not None:
        found.append(("Held-out loss before", f"{before:.4f}"))
    if (after := history.best_value) is not None:
        found.append(("Held-out loss of what was kept", f"{after:.4f}"))
    if history.train_loss and not history.samples:
        found.append(("Training loss at the end", f"{history.train_loss[-1][1]:.4f}"))
    found += _held_out_facts(history)
    score = dict(history.series("dev_score")).get(history.best_step or 0)
    if score is not None:
        found.append(("Score of what was kept", f"{score:.3f}"))
    if (seconds := run_seconds(history)) is not None:
        found.append(("Time", format_seconds(seconds)))
    trained = sum(value for _, value in history.series("trained_tokens"))
    if trained:
        found.append(("Tokens learnt, every pass counted", f"{trained:,.0f}"))
    if speeds := sorted(value for _, value in history.series("tokens_per_second")):
        found.append(("Tokens a second, median step", f"{speeds[len(speeds) // 2]:,.0f}"))
    told = {*TOLD_RESULTS, *HELD_OUT, *(f"{name}_before" for name in HELD_OUT)} if history.aligns else TOLD_RESULTS
    return found + [(_words(key), _measure(key, value)) for key, value in history.result.items() if key not in told]


def _held_out_facts(history: History) -> list[tuple[str, str]]:
    """The other held-out figures of alignment, before and after."""
    found = []
    for name, what in HELD_OUT.items():
        after, before = history.kept(name), history.before.get(name)
        if name != "dev_loss" and history.aligns and after is not None:
            came_from = "" if before is None else f" (before: {before:.4f})"
            found.append((what[:1].upper() + what[1:], f"{after:.4f}{came_from}"))
    return found


def run_seconds(history: History) -> float | None:
    """How long training took: as the result says, else as far as the steps do."""
    told = number(history.result.get("seconds"))
    so_far = history.series("seconds")
    return told if told is not None else so_far[-1][1] if so_far else None


def learnt_parts(shown: str) -> list[tuple[str, bool]]:
    """A row of the certificate in pieces: (text, is it learnt?). A long one is cut, and says so."""
    hidden = len(shown) - SHOWN_CHARACTERS
    pieces: list[tuple[str, bool]] = []
    room = SHOWN_CHARACTERS
    for place, piece in enumerate(LEARNT.split(shown)):
        if piece[:room]:
            pieces.append((piece[:room], place % 2 == 1))
        room = max(0, room - len(piece))
    return [*pieces, (f" … ({hidden:,} more characters)", False)] if hidden > 0 else pieces


def _words(key: str) -> str:
    """`peak_memory_bytes` -> `Peak memory`: the unit stands beside the figure."""
    text = re.sub(r"_(seconds|bytes|wh)$", "", visible(key)).replace("_", " ")
    return text[:1].upper() + text[1:]


def _measure(key: str, value: Any) -> str:
    """A figure with the unit that its name ends in."""
    figure = number(value)
    if figure is None or isinstance(value, bool):
        return plain(value)
    for unit, words in (("seconds", format_seconds), ("bytes", format_bytes)):
        if key == unit or key.endswith(f"_{unit}"):
            return words(figure)
    if key.endswith("_wh"):
        return f"{figure:.3g} Wh"
    return plain(value) if isinstance(value, int) else f"{figure:.4g}"
