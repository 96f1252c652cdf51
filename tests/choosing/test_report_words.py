"""The first page's sentences are true where a better path is ruled out, and where prices are not known."""

from typing import Any

from sartor.choosing.report.lines import lines_of
from sartor.choosing.report.page import page_of

REMOTE = "it is not local, and only local paths are allowed (local_only)"


def choice_of(verdict: str, *paths: dict[str, Any], choice: str | None = "prompt") -> dict[str, Any]:
    return {"task": "t", "choice": choice, "verdict": verdict, "paths": list(paths), "how": {"margin": 0.02}}


def path(name: str, score: float | None, cost: float | None = 1.0, **facts: Any) -> dict[str, Any]:
    return {"name": name, "score": score, "n": 100, "cost_per_1k": cost, **facts}


def test_a_better_path_that_is_ruled_out_is_not_denied() -> None:
    api = path("api", 0.8, excluded=[REMOTE])
    page = page_of(choice_of("tie", path("prompt", 0.6), path("rag", 0.6), api), {})
    assert page.headline.endswith("and none within the limits is better by more than the margin of 2 points.")
    assert page.why.startswith("Of the paths that none within the limits beats by more than")
    page = page_of(choice_of("decided", path("prompt", 0.6), path("rag", 0.4), api), {})
    assert page.why == "It is better than the other path within the limits."
    page = page_of(choice_of("decided", path("prompt", 0.6), path("rag", 0.4), path("finetune", 0.3), api), {})
    assert page.why == "It is better than each of the 2 other paths within the limits."


def test_the_only_path_within_the_limits_leads_nobody() -> None:
    page = page_of(choice_of("decided", path("prompt", 0.6), path("api", 0.8, excluded=[REMOTE])), {})
    assert page.meaning == "It is the only path within the limits, and was compared with none."


def test_without_limits_nothing_is_said_of_them() -> None:
    page = page_of(choice_of("decided", path("prompt", 0.6), path("rag", 0.4)), {})
    assert page.why == "It is better than the other path."


def test_an_unknown_price_is_not_called_higher() -> None:
    known, unknown = path("prompt", 0.6), path("rag", 0.6, None)
    assert "it is the cheapest of known price, or else" in page_of(choice_of("tie", known, unknown), {}).why
    neither = page_of(choice_of("tie", path("prompt", 0.6, None), unknown), {}).why
    assert "cheapest" not in neither and "it is the local one (no price is known), or the one that" in neither


def test_answers_that_could_not_be_scored_were_measured_all_the_same() -> None:
    page = page_of(choice_of("undecided", path("prompt", None, unscored=100), choice=None), {})
    assert page.headline == "No answer of any path could be scored."
    assert lines_of(choice_of("undecided", path("prompt", None), choice=None), {})[0].score is None
