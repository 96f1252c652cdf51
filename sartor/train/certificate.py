"""What will be learnt, counted before the first step. A run with nothing to learn is refused."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median

from sartor.base.errors import DataError
from sartor.data.chat import ASKS_OTHERWISE, ASKS_OTHERWISE_HINT, ChatFormat, Rendered

NUM_ROWS_SHOWN = 3
OPEN_MARK, CLOSE_MARK = "⟦", "⟧"  # around what is learnt


@dataclass(frozen=True)
class Certificate:
    """Contents of certificate.json. `rows` are those learnt from, and token counts are theirs, as rendered; `shown`
    marks learnt text as ⟦…⟧."""

    rows: int
    row_tokens: int
    trained_tokens: int
    trained_tokens_min: int
    trained_tokens_median: float
    rows_without_trained_token: int
    rows_too_long: int
    longest_row_tokens: int
    max_row_tokens: int
    rows_ending_inside_loss: int
    largest_bos_count: int
    template_hash: str
    template: str
    shown: list[str]
    contamination: dict[str, object] | None = None  # with a task's test rows; None where no task was given

    def as_dict(self) -> dict[str, object]:
        return asdict(self)

    def sentences(self) -> list[str]:
        """The same for people."""
        lines = [
            f"{self.rows:,} rows, {self.row_tokens:,} tokens, {self.trained_tokens:,} of them learnt "
            f"(a row: at least {self.trained_tokens_min}, median {self.trained_tokens_median:g})"
        ]
        if self.rows_too_long:
            lines.append(f"{self.rows_too_long:,} rows left out: longer than {self.max_row_tokens:,} tokens")
        if self.rows_without_trained_token:
            lines.append(f"{self.rows_without_trained_token:,} rows left out: nothing in them is learnt")
        if self.rows_ending_inside_loss < self.rows:
            lines.append(f"end of turn is learnt in {self.rows_ending_inside_loss:,} of {self.rows:,} rows only")
        if self.largest_bos_count > 1:
            lines.append(f"some rows begin with {self.largest_bos_count} beginning-of-text tokens")
        if self.contamination is not None:
            lines.append(_contamination_sentence(self.contamination))
        return lines


def _contamination_sentence(found: dict[str, object]) -> str:
    if not found["exact"] and not found["near"]:
        return f"no row asks what a test row of {found['test']} asks"
    pairs = "; ".join(str(pair) for pair in found["pairs"])  # type: ignore[attr-defined]
    return (
        f"CONTAMINATED: {found['exact']} rows ask word for word what test rows of {found['test']} ask, "
        f"{found['near']} nearly: {pairs}"
    )


def keep_rows_that_fit(rows: Sequence[Rendered], max_row_tokens: int) -> list[Rendered]:
    """Rows of at most `max_row_tokens`: a row is learnt whole or left out and counted, never cut."""
    return [row for row in rows if len(row.ids) <= max_row_tokens]


def certify(rows: Sequence[Rendered], chat: ChatFormat, max_row_tokens: int) -> Certificate:
    """Count what would be learnt from `rows`. DataError when no token would be."""
    kept = keep_rows_that_fit(rows, max_row_tokens)
    learnt = [row for row in kept if row.num_trained]
    trained = [row.num_trained for row in learnt]
    if kept and not learnt:  # every conversation has an answer, so it is the template that hides them
        reason = f"there is nothing to learn: {ASKS_OTHERWISE}"
        raise DataError(reason, where=kept[0].where, hint=ASKS_OTHERWISE_HINT)
    if not kept:
        raise DataError(
            "there is nothing to learn: no row fits",
            where=rows[0].where if rows else None,
            hint=f"rows may have {max_row_tokens} tokens; raise --max-row-tokens",
        )
    bos = chat.tokenizer.bos_token_id
    leading = [_leading(row.ids, bos) for row in learnt] if bos is not None else [0]
    return Certificate(
        rows=len(learnt),
        row_tokens=sum(len(row.ids) for row in learnt),
        trained_tokens=sum(trained),
        trained_tokens_min=min(trained),
        trained_tokens_median=median(trained),
        rows_without_trained_token=len(kept) - len(learnt),
        rows_too_long=len(rows) - len(kept),
        longest_row_tokens=max(len(row.ids) for row in learnt),
        max_row_tokens=max_row_tokens,
        rows_ending_inside_loss=sum(_ends_inside_loss(row, chat) for row in learnt),
        largest_bos_count=max(leading),
        template_hash=chat.template_hash,
        template="of the model" if chat.has_own_template else "plain",
        shown=[show(row, chat) for row in learnt[:NUM_ROWS_SHOWN]],
    )


def _leading(ids: list[int], token: int) -> int:
    count = 0
    while count < len(ids) and ids[count] == token:
        count += 1
    return count


def _ends_inside_loss(row: Rendered, chat: ChatFormat) -> bool:
    last = max((place for place, trained in enumerate(row.trained) if trained), default=None)
    return last is not None and row.ids[last] in chat.stop_ids


def show(row: Rendered, chat: ChatFormat, open_mark: str = OPEN_MARK, close_mark: str = CLOSE_MARK) -> str:
    """The row as text with control tokens, what is learnt between marks."""
    parts: list[str] = []
    start = 0
    for place in range(1, len(row.ids) + 1):
        if place == len(row.ids) or row.trained[place] != row.trained[start]:
            text = chat.tokenizer.decode(row.ids[start:place], skip_special_tokens=False)
            parts.append(f"{open_mark}{text}{close_mark}" if row.trained[start] else text)
            start = place
    return "".join(parts)
