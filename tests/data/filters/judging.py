"""What a step makes of texts, for tests."""

from collections.abc import Iterable

import pyarrow as pa

from sartor.data.documents import documents_table
from sartor.data.filters.step import Outcome, Step


def table(texts: Iterable[str]) -> pa.Table:
    return documents_table({"id": str(number), "text": text, "source": "test"} for number, text in enumerate(texts))


def outcome(step: Step, *texts: str) -> Outcome:
    return step(table(texts))


def reason(step: Step, text: str) -> str | None:
    """Why the step drops a document with this text; None if it does not."""
    reasons = outcome(step, text).reasons
    assert reasons is not None
    return reasons[0].as_py()


def edited(step: Step, text: str) -> str:
    return outcome(step, text).documents["text"][0].as_py()
