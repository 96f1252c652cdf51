"""The card of the path that the verdict names: what someone must know who puts it to use."""

from typing import Any

from sartor.choosing.report.blocks import Section, row, table
from sartor.choosing.report.lines import Line
from sartor.choosing.report.privacy import sent_to_judge
from sartor.choosing.report.words import verdict_word
from sartor.reporting.figures import dollars, plain, short_seconds, texts


def card_section(choice: dict[str, Any], lines: list[Line]) -> Section | None:
    line = next((line for line in lines if line.marked), None)
    if line is None:
        return None
    how, path = choice.get("how") or {}, line.record
    settings = [plain(entry.get("setting")) for entry in path.get("chosen_on_dev") or [] if entry.get("chosen")]
    learnt = path.get("learnt_rows", how.get("rows_train")) if "finetune" in line.name else None
    score = "—" if line.score is None else f"{line.score:.0f} of 100 points"
    doubt = "" if line.low is None or line.high is None else f"95 % interval {line.low:.0f} to {line.high:.0f}"
    judge = sent_to_judge(choice)
    facts = [
        ("What it is", (line.description or line.title, f"{line.title} ({line.name})")),
        ("Task", (str(choice.get("task") or "task"), "")),
        ("Model", ("" if path.get("hosts") else plain(how.get("base_model")), str(how.get("model_hash") or ""))),
        ("Settings", ("; ".join(settings), "chosen on the dev questions" if settings else "")),
        ("Learnt from", (f"{learnt:,} rows" if isinstance(learnt, int) else "", "")),
        ("Score", (score, doubt)),
        ("Verdict", (verdict_word(choice, lines), "")),
        ("Time", (short_seconds(line.seconds) if line.seconds is not None else "", "95 of 100 answers came within it")),
        ("Cost", (dollars(line.dollars) if line.dollars is not None else "", "for 1,000 answers")),
        ("Sends data to", (", ".join(texts(path.get("hosts"))) or "nobody", f"to score it, {judge}" if judge else "")),
        ("Fits", ("questions like the test questions", "on others the score is not known")),
        ("To use it", (str(path.get("endpoint") or ""), "")),
    ]
    rows = [row(what, cell) for what, cell in facts if cell[0] not in ("", "—")]
    return Section("card", "Card", tables=table("Card of the path that the verdict names", ("What", "Value"), rows))
