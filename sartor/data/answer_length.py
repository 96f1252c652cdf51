"""How long replies to a task's questions may be."""

from collections.abc import Sequence

from sartor.data.chat import ChatFormat
from sartor.data.records import Row

MOST_ANSWER_TOKENS = 512
SPARE_ANSWER_TOKENS = 8


def answer_tokens(rows: Sequence[Row], chat: ChatFormat) -> int:
    """The same for every way of answering: the longest known answer, a quarter more, and a little."""
    longest = max(len(chat.tokenizer(row.answers[0], add_special_tokens=False).input_ids) for row in rows)
    return min(MOST_ANSWER_TOKENS, longest + longest // 4 + SPARE_ANSWER_TOKENS)
