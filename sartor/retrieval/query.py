"""A question in plain words as a full-text expression."""

import re

WORD = re.compile(r"\w+")

STOP_WORDS = frozenset(
    WORD.findall("""
a about above after again against all am an and any are aren as at be because been before being below
between both but by can cannot could couldn d did didn do does doesn doing don down during each few for from
further had hadn has hasn have haven having he her here hers herself him himself his how i if in into is isn
it its itself just ll m ma me might more most must mustn my myself no nor not now o of off on once only or
other our ours ourselves out over own re s same shall shan she should shouldn so some such t than that the
their theirs them themselves then there these they this those through to too under until up ve very was wasn
we were weren what when where which while who whom why will with won would wouldn y you your yours yourself
yourselves
""")
)


def search_words(question: str) -> list[str]:
    """The question's words in lower case, each once. Stop words are left out unless there is nothing else."""
    words = list(dict.fromkeys(WORD.findall(question.lower())))
    return [word for word in words if word not in STOP_WORDS] or words


def full_text_expression(question: str) -> str:
    """Any of the question's words, each quoted, so that none is an FTS5 operator; "" when it has no word."""
    return " OR ".join(f'"{word}"' for word in search_words(question))
