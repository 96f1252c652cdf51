"""Every section of the report: it says what choice.json records, and is not there where nothing is recorded."""

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest

from sartor.choosing.choice_view import choice_view
from sartor.choosing.report.curve_chart import CurvePoint, curve_chart
from sartor.choosing.report.page import Page, page_of
from sartor.choosing.report.rows import browsed_rows
from sartor.choosing.report.terminal import outcome_lines
from sartor.choosing.report.writing import write_report
from tests.choosing.made_up_choice import SHARES_OF_ALL, Answers, made_up_answers, made_up_choice, whole_choice

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)> | `code` [a](javascript:b)"
RECORDED: dict[str, Any] = {  # section: how to take away what it tells
    "changes": lambda choice: (choice.pop("sensitivity"), choice.pop("would_change")),
    "groups": lambda choice: choice.pop("slices"),
    "causes": lambda choice: choice.pop("diagnosis"),
    "break-even": lambda choice: choice.pop("break_even"),
    "pairs": lambda choice: choice.pop("comparisons"),
    "curve": lambda choice: [path.pop("learning_curve", None) for path in choice["paths"]],
    "seeds": lambda choice: [path.pop("seeds", None) for path in choice["paths"]],
    "freshness": lambda choice: [path.pop("freshness", None) for path in choice["paths"]],
    "forgetting": lambda choice: [path.pop("forgetting", None) for path in choice["paths"]],
    "robustness": lambda choice: [path.pop("robustness", None) for path in choice["paths"]],
    "energy": lambda choice: [path.pop("energy_wh") for path in choice["paths"]],
    "privacy": lambda choice: [path.pop("bytes_sent") for path in choice["paths"]],
    "tried": lambda choice: [path.pop("chosen_on_dev", None) for path in choice["paths"]],
    "trade": lambda choice: [path.update(cost_per_1k=None, latency_p95_s=None) for path in choice["paths"]],
}


@pytest.fixture(scope="module")
def answers() -> Answers:
    return made_up_answers(120, SHARES_OF_ALL)


@pytest.fixture
def choice(answers: Answers) -> dict[str, Any]:
    return copy.deepcopy(whole_choice(answers))


def told(page: Page, name: str) -> str:
    """The sentences and tables of a section in one line each."""
    section = next(section for section in page.evidence if section.name == name)
    rows = [" | ".join(f"{figure} ({remark})" if remark else figure for figure, remark in row.cells)
            for table in section.tables for row in table.rows]  # fmt: skip
    return "\n".join((*section.sentences, *rows))


def table_of(page: Page, name: str, at: int = 0) -> Any:
    return next(section for section in page.evidence if section.name == name).tables[at]


def path_of(choice: dict[str, Any], name: str) -> dict[str, Any]:
    return next(path for path in choice["paths"] if path["name"] == name)


@pytest.mark.parametrize("name", RECORDED)
def test_a_section_is_there_exactly_where_something_is_recorded(choice: Any, answers: Answers, name: str) -> None:
    before = [section.name for section in page_of(choice, answers).evidence]
    assert name in before
    RECORDED[name](choice)
    assert [section.name for section in page_of(choice, answers).evidence] == [each for each in before if each != name]


def test_a_run_of_the_first_format_has_its_sections_and_no_others(tmp_path: Path) -> None:
    plain = made_up_answers()
    page = page_of(made_up_choice(plain), plain)
    assert [section.name for section in page.evidence] == [
        "paths", "trade", "pairs", "changes", "privacy", "energy", "tried",
    ]  # fmt: skip
    terms = [term for term, _ in page.glossary]
    assert "Frontier" in terms and not {"Forecast", "Seed", "Reference", "Break-even"} & set(terms)
    html = write_report(made_up_choice(plain), plain, tmp_path).read_text()
    assert "Searched for false measurements" not in html, "nobody searched"


def test_references_are_drawn_apart_and_never_named(choice: Any, answers: Answers) -> None:
    page = page_of(choice, answers)
    assert [line.record["name"] for line in page.lines if line.reference] == ["oracle", "closed-book"]
    assert all(line.reference for line in page.lines[-2:]), "they come last, however good they are"
    first, section = page.picture.draw(False), next(each for each in page.evidence if each.name == "paths")
    assert "oracle" not in first.lower()
    assert "for reference, never chosen" in section.pictures[0].draw(False)
    assert "oracle" not in page.headline + page.why + page.sure + told(page, "trade")
    assert "better than each of the 5 other paths" in page.why, "neither references nor ruled-out paths count"


def test_a_reference_that_is_best_does_not_become_the_best_path(choice: Any, answers: Answers) -> None:
    for path in choice["paths"]:
        path["excluded"] = [] if path.get("reference") else ["it is too slow"]
    choice["choice"] = None
    page = page_of(choice, answers)
    assert page.verdict == "no choice" and "The best one measured, the remote API + retrieval," in page.headline


def test_dominated_paths_are_named_with_what_beats_them(choice: Any, answers: Answers) -> None:
    words = told(page_of(choice, answers), "trade")
    assert "By score and cost, dominated as observed: retrieval (by retrieval + fine-tuning)" in words
    assert "prompting (by retrieval + fine-tuning)" in words.splitlines()[1]
    assert "remote API" not in words, "it breaks a limit, so the frontier is not about it"
    assert "never chosen" not in words
    path_of(choice, "prompt")["dominated_by"] = "finetune"
    assert "dominated and so never chosen: prompting (by fine-tuning)." in told(page_of(choice, answers), "trade")


def test_what_would_change_the_choice_stands_in_a_table(choice: Any, answers: Answers) -> None:
    words = told(page_of(choice, answers), "changes")
    assert "Margin | 10 points | Fine-tuning | tie | another choice" in words
    assert "Margin | 0 points to 5 points | Retrieval + fine-tuning | decided | \n" in words, "neighbours are one line"
    assert words.endswith("Machine price | $0.050 an hour to $0.40 an hour | Retrieval + fine-tuning | decided | ")
    assert "The choice is the same at 6 of the 7 margins and prices in the table." in words
    choice["sensitivity"] = [entry for entry in choice["sensitivity"] if entry["choice"] == "finetune+rag"]
    assert "the same at all 6 margins and prices" in told(page_of(choice, answers), "changes")


def test_where_there_is_no_choice_none_is_called_steady(choice: Any, answers: Answers) -> None:
    choice["choice"] = None
    choice["sensitivity"] = [entry | {"choice": None} for entry in choice["sensitivity"]]
    assert "There is no choice at any of the 7 margins and prices" in told(page_of(choice, answers), "changes")
    choice["sensitivity"][0]["choice"] = "rag"
    assert "There is no choice at 6 of the 7 margins and prices" in told(page_of(choice, answers), "changes")


def test_a_group_with_another_choice_is_marked(choice: Any, answers: Answers) -> None:
    page = page_of(choice, answers)
    assert table_of(page, "groups").columns[:3] == ("Group", "Questions", "Choice")
    rows = {row.cells[0][0]: row.cells[2] for row in table_of(page, "groups").rows}
    assert rows == {"Skerry": ("Retrieval + fine-tuning", ""), "North Bank": ("Retrieval + fine-tuning", ""),
                    "Old Mole": ("Retrieval", "another than for all")}  # fmt: skip
    assert "Old Mole: retrieval is the choice." in told(page, "groups")
    choice["not_sliced"] = "4 rows are in groups too small to look at."
    assert "4 rows are in groups too small" in told(page_of(choice, answers), "groups")


def test_errors_are_shown_by_where_they_come_from(choice: Any, answers: Answers) -> None:
    page = page_of(choice, answers)
    assert "Retrieval | 120 | 66 | 12 | 30 | 12" in told(page, "causes")
    section = next(section for section in page.evidence if section.name == "causes")
    assert "Right: a score" not in section.pictures[0].caption, "here every answer is right or wrong"
    for narrow in (False, True):
        chart = section.pictures[0].draw(narrow)
        assert "Retrieval: right 55, not found 10, not used 25, not known 10" in chart


def test_the_forecast_is_told_from_what_was_measured(choice: Any, answers: Answers) -> None:
    page = page_of(choice, answers)
    rows = [(row.cells[0][0], row.cells[2][0]) for row in table_of(page, "curve").rows]
    assert rows == [("160", "measured"), ("320", "measured"), ("640", "measured"),
                    ("960", "forecast"), ("1,280", "forecast"), ("2,560", "forecast")]  # fmt: skip
    assert "Retrieval + fine-tuning: Twice the rows would gain" in told(page, "curve")


def test_the_curve_is_solid_where_measured_and_dashed_where_guessed() -> None:
    measured = [CurvePoint(100, 40, 35, 45), CurvePoint(200, 50, 45, 55)]
    alone = curve_chart(measured, [], "curve", "x")
    both = curve_chart(measured, [CurvePoint(400, 55, 45, 65)], "curve", "x")
    assert "forecast" not in alone and "400 rows 55 points, forecast" in both
    assert both.count("stroke-dasharray") == alone.count("stroke-dasharray") + (1 if "dasharray" not in alone else 0)


def test_seeds_say_how_much_luck_there_is(choice: Any, answers: Answers) -> None:
    path_of(choice, "finetune")["seeds"] = [{"seed": 0, "score": 0.4}, {"seed": 1, "score": 0.46}]
    path_of(choice, "finetune+dpo")["seeds"] = [{"seed": 0, "score": 0.4}]
    words = told(page_of(choice, answers), "seeds")
    assert "Fine-tuning trained from 2 seeds scores 40 to 46 points." in words
    assert "Fine-tuning + preferences" not in words, "one seed tells nothing about luck"


def test_freshness_is_counted_and_told(choice: Any, answers: Answers) -> None:
    page = page_of(choice, answers)
    words = told(page, "freshness")
    assert "Retrieval: of 10 changed facts it told 8 as they are (2.1 s after the change) and 1 as they were." in words
    assert "Fine-tuning | 7 of 10 | 0 of 10 | 7 of 10 | — | 7 of 10" in words
    path_of(choice, "rag")["freshness"]["sentence"] = "It follows its documents."
    assert "It follows its documents." in told(page_of(choice, answers), "freshness")


def test_only_a_loss_beyond_its_interval_is_called_forgetting(choice: Any, answers: Answers) -> None:
    words = told(page_of(choice, answers), "forgetting")
    assert "Fine-tuning forgot: −4.0 points on general questions (95 % interval −7.0 to −1.0)." in words
    assert "Retrieval + fine-tuning is not shown to have forgotten: −4.0 points" in words
    path_of(choice, "finetune")["forgetting"] |= {
        "general_after": 0.66, "ci": [0.01, 0.07], "bits_per_byte_after": 0.98, "bits_ci": [-0.02, 0.01],
    }  # fmt: skip
    assert "Fine-tuning did not forget: +4.0 points" in told(page_of(choice, answers), "forgetting")
    path_of(choice, "finetune")["forgetting"] |= {"bits_per_byte_after": 0.99}
    assert "Fine-tuning is not shown to have forgotten: +4.0" in told(page_of(choice, answers), "forgetting")


def test_a_loss_of_ordinary_text_is_told_though_questions_show_none(choice: Any, answers: Answers) -> None:
    path_of(choice, "finetune")["forgetting"] |= {
        "general_before": 1.0, "general_after": 1.0, "ci": [-0.05, 0.05],
        "bits_per_byte_before": 1.2, "bits_per_byte_after": 1.321, "bits_ci": [0.097, 0.145],
    }  # fmt: skip
    page = page_of(choice, answers)
    assert (
        "Fine-tuning: general questions are not shown to have suffered (0.0 points on general questions (95 % interval "
        "−5.0 to +5.0)), but ordinary text surprises it more: 1.200 to 1.321 bits a byte, more than chance explains."
    ) in told(page, "forgetting")
    assert "Fine-tuning is not shown" not in told(page, "forgetting")
    assert table_of(page, "forgetting").columns[2:4] == ("Right before, of 100", "Right after, of 100")


def test_a_path_that_was_never_right_has_no_time_until_it_was(choice: Any, answers: Answers) -> None:
    path_of(choice, "rag")["freshness"]["edited"] |= {"right_after": 0}
    words = told(page_of(choice, answers), "freshness")
    assert "Retrieval: of 10 changed facts it told 0 as they are and 1 as they were." in words
    assert "Retrieval | 7 of 10 | 0 of 10 | 1 of 10 | — | 1 of 10" in words


def test_only_a_loss_beyond_its_interval_is_called_a_weakness(choice: Any, answers: Answers) -> None:
    words = told(page_of(choice, answers), "robustness")
    assert "Retrieval loses 7 points to typos (2 to 12)." in words and "to paraphrased questions" not in words
    assert "51 (58 as asked) | −7.0 (−12 to −2) | 57 (58 as asked) | −1.0 (−5 to +3) | 13 of 20" in words
    for path in choice["paths"]:
        if "robustness" in path:
            del path["robustness"]["typos"], path["robustness"]["unanswerable"]
    page = page_of(choice, answers)
    assert "No path is shown to suffer" in told(page, "robustness")
    assert table_of(page, "robustness").columns == ("Path", "In other words", "Change"), "empty columns are left out"


def test_measured_and_estimated_energy_are_never_in_one_ranking(choice: Any, answers: Answers) -> None:
    page = page_of(choice, answers)
    tables = next(section for section in page.evidence if section.name == "energy").tables
    assert [table.caption for table in tables] == ["Measured", "Estimated"]
    ranked = [[row.cells[0][0] for row in table.rows] for table in tables]
    assert ranked[0] == ["Fine-tuning", "Fine-tuning + preferences", "Retrieval + fine-tuning"]
    assert not set(ranked[0]) & set(ranked[1])
    assert "Not known for the remote API + retrieval, the remote API." in told(page, "energy")
    assert "0.31 Wh | 0.12 g" in told(page, "energy")
    choice["how"]["grid"] = "400 g/kWh (the world)"
    assert "estimated from the energy, at 400 g/kWh (the world)." in told(page_of(choice, answers), "energy")


def test_privacy_tells_hosts_bytes_and_personal_data(choice: Any, answers: Answers) -> None:
    words = told(page_of(choice, answers), "privacy")
    assert "The remote API | 412 kB | api.example.com | 12 email, 3 phone number" in words
    assert words.startswith("Nothing left this machine for retrieval + fine-tuning")
    path_of(choice, "api")["personal_data"] = {}
    assert "The remote API | 412 kB | api.example.com | none found" in told(page_of(choice, answers), "privacy")
    for path in choice["paths"]:
        path["bytes_sent"] = 0
    assert told(page_of(choice, answers), "privacy") == "Nothing left this machine on any path."


def test_what_a_remote_judge_was_sent_left_this_machine(choice: Any, answers: Answers) -> None:
    sent = "questions, accepted answers and answers were sent to the judge at https://judge.example/v1"
    choice["how"]["judge"] = {"model": "big", "api_base_url": "https://judge.example/v1", "prompt": "1:a"}
    words = told(page_of(choice, answers), "privacy")
    assert f"To score answers, {sent}." in words and "Nothing else left this machine for retrieval" in words
    card = page_of(choice, answers).card
    assert card is not None
    assert ("nobody", f"to score it, {sent}") in [row.cells[1] for row in card.tables[0].rows]
    for path in choice["paths"]:
        path["bytes_sent"] = 0
    assert told(page_of(choice, answers), "privacy") == (
        f"To score answers, {sent}.\nNothing else left this machine on any path."
    )
    for path in choice["paths"]:
        del path["bytes_sent"]
    assert told(page_of(choice, answers), "privacy") == f"To score answers, {sent}."
    choice["how"]["judge"]["api_base_url"] = None
    assert "privacy" not in [section.name for section in page_of(choice, answers).evidence]


def test_what_fitting_sent_is_told_too(choice: Any, answers: Answers) -> None:
    path_of(choice, "api")["setup_bytes_sent"] = 95_000
    page = page_of(choice, answers)
    assert "The remote API | 412 kB | 95 kB | api.example.com |" in told(page, "privacy")
    assert "Sent while fitting" in table_of(page, "privacy").columns


def test_break_even_is_told_with_what_it_follows_from(choice: Any, answers: Answers) -> None:
    words = told(page_of(choice, answers), "break-even")
    assert "Prompting is never cheaper" not in words, "a pair without the choice is folded away"
    assert "Prompting against fine-tuning | never" in words
    assert "from 5,000 questions on it is the cheaper one." in words and "Retrieval | $0.0050 | $0.034" in words
    choice["break_even"] = [
        {"a": "finetune", "b": "rag", "questions": 1200},
        {"a": "rag", "b": "prompt", "questions": None},
    ]
    words = told(page_of(choice, answers), "break-even")
    assert "Fine-tuning and retrieval cost the same after 1,200 questions." in words
    assert "Retrieval and prompting: one is the cheaper at every number of questions." in words


def test_warnings_stand_beside_the_verdict_with_what_to_do(tmp_path: Path, choice: Any, answers: Answers) -> None:
    page = page_of(choice, answers)
    assert [caution.found for caution in page.cautions[:4]] == [True, True, True, False]
    assert page.cautions[0].what == "Retrieval + fine-tuning: the chat template was applied twice to 3 prompts"
    assert page.cautions[2].hint.startswith("raise max_new_tokens") and page.cautions[2].more_rows == 2
    html = write_report(choice, answers, tmp_path).read_text()
    first = html[: html.index('id="evidence"')]
    assert "the chat template was applied twice" in first and "All 6, and what to do" in first
    place = re.search(r'<a href="#(question-\d+)"><code>row-017</code>', html)
    assert place and re.search(rf'id="{place[1]}".*?Question <code>row-017</code>', html, re.DOTALL)
    markdown = (tmp_path / "report.md").read_text()
    assert "What to do: raise max\\_new" in markdown or "What to do: raise max_new_tokens" in markdown
    assert markdown.index("Read this with care") < markdown.index("Serve it")


def test_what_the_search_for_false_measurements_told_is_not_told_twice(choice: Any, answers: Answers) -> None:
    path_of(choice, "rag")["truncated_replies"] = path_of(choice, "finetune")["truncated_replies"] = 0.4
    choice["how"]["leaks"] = "3 test questions stand nearly among the rows to learn from."
    what = [caution.what for caution in page_of(choice, answers).cautions]
    assert "Fine-tuning: 40.0 % of replies were cut off by the length limit." in what
    assert not any("Retrieval: 40.0 %" in each for each in what) and any(
        "3 test questions stand" in each for each in what
    )
    choice["warnings"].append({"kind": "leak", "path": None, "what": "3 test questions leak", "hint": "", "rows": []})
    what = [caution.what for caution in page_of(choice, answers).cautions]
    assert "3 test questions leak" in what and not any("3 test questions stand" in each for each in what)


def test_a_leak_into_preferences_is_told_beside_another_leak(choice: Any, answers: Answers) -> None:
    choice["how"]["pair_leaks"] = "3 test questions stand nearly among the preference pairs."
    choice["warnings"].append({"kind": "leak", "path": None, "what": "2 leak", "hint": "", "rows": []})
    assert any("3 test questions stand" in caution.what for caution in page_of(choice, answers).cautions)


def test_a_search_that_found_nothing_is_said(tmp_path: Path, choice: Any, answers: Answers) -> None:
    choice |= {"warnings": [], "test_touched": 1}
    for path in choice["paths"]:
        path["excluded"] = []
    page = page_of(choice, answers)
    assert page.cautions == [] and "none found" in page.checked
    assert "Read this with care" not in write_report(choice, answers, tmp_path).read_text()
    assert "none found" in (tmp_path / "report.md").read_text()
    assert any("none found" in line for line in outcome_lines(choice))


def test_test_questions_used_again_are_counted(choice: Any, answers: Answers) -> None:
    page = page_of(choice, answers)
    assert any(row.cells[1][0] == "2 times" for row in page.method.tables[0].rows)
    assert any("were used 2 times" in caution.what for caution in page.cautions)


def test_the_card_tells_what_its_user_must_know(choice: Any, answers: Answers) -> None:
    page = page_of(choice, answers)
    assert page.card is not None
    facts = {row.cells[0][0]: row.cells[1] for row in page.card.tables[0].rows}
    assert facts["Learnt from"] == ("640 rows", "") and facts["Sends data to"] == ("nobody", "")
    assert facts["Score"] == ("73 of 100 points", "95 % interval 65 to 81")
    assert facts["To use it"] == ("sartor serve runs/handbook --path finetune+rag", "")
    choice["choice"] = None
    assert page_of(choice, answers).card is None


def test_the_terminal_tells_the_same_in_short(choice: Any, answers: Answers) -> None:
    page, lines = page_of(choice, answers), list(outcome_lines(choice))
    assert lines[0].startswith("Use retrieval + fine-tuning: it answers 73 of 100") and lines[0] == page.headline
    assert lines[1] == "verdict: decided, finetune+rag"
    references = lines.index("  for reference, never chosen:")
    assert lines[references + 1].startswith("  oracle") and lines[references + 2].startswith("  closed-book")
    assert lines.count("    ruled out: it is not local, and local_only is set") == 2
    warned = lines.index("! Retrieval + fine-tuning: the chat template was applied twice to 3 prompts")
    assert lines[warned + 1] == "  what to do: take the template out of the training rows"
    assert len([line for line in lines if "ruled out" in line]) == 2, "said once"
    path_of(choice, "finetune").update(score=None, ci=None, failed="the loss became NaN")
    assert any(
        line.startswith("  finetune ") and "failed: the loss became NaN" in line for line in outcome_lines(choice)
    )


def test_hostile_texts_of_new_fields_stay_text(tmp_path: Path, choice: Any, answers: Answers) -> None:
    choice["slices"][0] |= {"group": HOSTILE, "sentence": HOSTILE}
    choice["warnings"][0] |= {"what": HOSTILE, "hint": HOSTILE, "rows": [HOSTILE]}
    choice["warnings"][2] |= {"kind": HOSTILE, "what": ""}
    choice["diagnosis"]["rag"]["sentence"] = choice["break_even"][0]["sentence"] = HOSTILE
    choice["sensitivity"][0] |= {"what": HOSTILE, "value": HOSTILE, "verdict": HOSTILE}
    path = path_of(choice, "api")
    path |= {"personal_data": {HOSTILE: 1}, "hosts": [HOSTILE], "energy_source": HOSTILE, "energy_wh": 1.0}
    path_of(choice, "rag")["freshness"]["sentence"] = path_of(choice, "finetune+rag")["learning_curve"]["sentence"] = (
        HOSTILE
    )
    path_of(choice, "finetune")["seeds"][0]["seed"] = HOSTILE
    html = write_report(choice, answers, tmp_path).read_text()
    markdown = (tmp_path / "report.md").read_text()
    assert html.count("&lt;script&gt;alert(1)&lt;/script&gt;") > 10
    for text in (html, markdown):
        assert "<script" not in text and "<img" not in text
    assert "[a](javascript" not in markdown


def test_the_same_whole_choice_gives_the_same_bytes(tmp_path: Path, choice: Any, answers: Answers) -> None:
    for folder in ("one", "two"):
        write_report(copy.deepcopy(choice), copy.deepcopy(answers), tmp_path / folder)
    for name in ("report.html", "report.md"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_the_page_of_sartor_ui_tells_the_same(tmp_path: Path, choice: Any, answers: Answers) -> None:
    (tmp_path / "answers").mkdir()
    (tmp_path / "choice.json").write_text(json.dumps(choice))
    for name, rows in answers.items():
        (tmp_path / "answers" / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    page, view = page_of(choice, answers), json.loads(json.dumps(choice_view(tmp_path)))
    assert [section["title"] for section in view["sections"]] == [section.title for section in page.evidence] + ["Card"]
    assert view["headline"] == page.headline and len(view["cautions"]) == len(page.cautions)
    assert len(view["rows"]) == 120


def test_answers_of_further_trainings_and_of_paths_left_out_are_not_shown(
    tmp_path: Path, choice: Any, answers: Answers
) -> None:
    (tmp_path / "answers").mkdir()
    (tmp_path / "choice.json").write_text(json.dumps(choice))
    for name in ("finetune", "finetune.seed-1", "left-out"):
        rows = answers["finetune"]
        (tmp_path / "answers" / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (first, *_) = choice_view(tmp_path)["rows"]
    assert [answer["name"] for answer in first["answers"]] == ["finetune"]


def test_rows_that_could_not_be_scored_are_neither_right_nor_wrong() -> None:
    scores = {"r": (1.0, 1.0), "w": (0.0, 0.0), "u": (None, None), "half": (1.0, None), "d": (1.0, 0.0)}
    answers = {
        name: [{"id": key, "score": both[place]} for key, both in scores.items()]
        for place, name in enumerate(("prompt", "rag"))
    }
    kinds = {row["id"]: row["kind"] for row in browsed_rows(answers)}
    assert kinds == {"r": "right", "w": "wrong", "u": "unscored", "half": "unscored", "d": "differ"}


@pytest.mark.parametrize(
    ("margin", "words"), [(0.01, "1 point"), (0.015, "1.5 points"), (0.02, "2 points"), (0.0, "0 points")]
)
def test_a_margin_is_told_as_it_was_set(choice: Any, answers: Answers, margin: float, words: str) -> None:
    choice["how"]["margin"] = margin
    tried = {"what": "margin", "value": margin, "choice": "rag", "verdict": "tie"}
    choice |= {"verdict": "tie", "sensitivity": [tried]}
    choice["comparisons"][0] |= {"difference": 0.0, "ci": [-margin, margin]}
    page = page_of(choice, answers)
    assert f"the margin of {words}." in page.headline and f"by more than the margin of {words}, it is" in page.why
    assert ("Margin", words) in [(row.cells[0][0], row.cells[1][0]) for row in page.method.tables[0].rows]
    assert f"Margin | {words} | Retrieval" in told(page, "changes")
    assert f"equally good within the margin of {words}." in told(page, "pairs")


def test_how_many_questions_were_timed_is_said(choice: Any, answers: Answers) -> None:
    for path in choice["paths"]:
        path["num_timed"] = 10 if path["hosts"] else 40
    words = next(row.cells[2][0] for row in page_of(choice, answers).method.tables[0].rows if row.cells[0][0] == "Time")
    assert "for 10 to 40 dev questions asked one at a time" in words and "p95 is a rough estimate" in words
