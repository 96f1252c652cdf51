"""A task's own paraphrases: questions of its rows in other words, as people wrote them."""

from pathlib import Path

from sartor.base.configuration import nearest
from sartor.data.bad_rows import BadRow
from sartor.data.opening import find_data_file
from sartor.data.readers import read_rows
from sartor.data.task import Task
from sartor.data.turns import text_in

NAME = "paraphrases"
FIELDS = ("id", "question")


def read_paraphrases(task: Task) -> dict[str, str] | None:
    """What `paraphrases.jsonl` of the task folder says: for ids of rows, the question in other words. None where there
    is no such file.

    BadRow with line and field for a row of another form, an id that no row of the task has or that comes twice, and a
    paraphrase that is the question itself. Test rows may be named; they are not asked.
    """
    file = find_data_file(task.folder, NAME)
    return None if file is None else _read(file, task)


def _read(file: Path, task: Task) -> dict[str, str]:
    questions = {row.id: row.question for row in (*task.train, *task.dev, *task.test)}
    found: dict[str, str] = {}
    for place, raw in read_rows(file):
        unknown = next((name for name in raw if name not in FIELDS), None)
        if unknown is not None:
            raise BadRow(f"there is no field {unknown!r}", place=place, field=unknown, hint="fields are id, question")
        row_id, question = text_in(raw, "id", place), text_in(raw, "question", place)
        if row_id not in questions:
            near = nearest(row_id, list(questions))
            hint = f"did you mean {near}?" if near else "ids are those of train, dev and test"
            raise BadRow(f"the task has no row {row_id!r}", place=place, field="id", hint=hint)
        if row_id in found:
            raise BadRow(f"the row {row_id!r} comes twice", place=place, field="id", hint="keep one of them")
        if question.strip() == questions[row_id].strip():
            hint = "write it in other words, or remove the row"
            raise BadRow("is the row's own question", place=place, field="question", hint=hint)
        found[row_id] = question
    return found
