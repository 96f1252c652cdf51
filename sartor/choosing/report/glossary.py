"""The words of a report that need explaining. Those of a section that is not there are left out."""

from collections.abc import Collection

GLOSSARY = (
    (
        "Path",
        "",
        "A way of using a language model for the task: instructing it, giving it documents to read, "
        "training it on examples, or several of these.",
    ),
    (
        "Points of 100",
        "",
        "The average score of a path on the test questions, times 100. Where an answer is right or wrong, it is "
        "the number of right answers in 100.",
    ),
    (
        "95 % interval",
        "",
        "Where the score on endless questions of the same kind is likely to lie: ranges made this way hold it "
        "95 times in 100. More questions make it narrower.",
    ),
    (
        "Paired test",
        "",
        "All paths answer the same questions, so two paths are compared question by question. This sees smaller "
        "differences than comparing two averages: the intervals of two paths may overlap and the difference "
        "between them still be sure.",
    ),
    (
        "Chance",
        "",
        "How often a difference at least this large would come up if the two paths were equally good: the "
        "p-value, after Holm.",
    ),
    (
        "Holm",
        "",
        "Who compares many pairs finds a difference by luck sooner or later. Holm's correction raises the "
        "p-values so that the chance of even one false finding stays at most 5 %.",
    ),
    ("Margin", "", "The loss of score that one would accept for a cheaper path, set before measuring."),
    ("Good enough", "", "Not worse than any other path by more than the margin, as far as the questions show."),
    ("Decided", "", "The path named is better than all others within the limits, by more than chance explains."),
    (
        "Tie",
        "",
        "The path named is not shown to be the best, but none is better by more than the margin. Among such "
        "paths the cheapest is taken, then a local one, then the one that learns new facts soonest.",
    ),
    ("Undecided", "", "The questions do not settle it; the path named would be chosen, were the scores as observed."),
    (
        "p50, p95",
        "",
        "Half of the answers came within the p50 time, 95 of 100 within the p95 time. Few questions are timed, so p95 "
        "is a rough estimate.",
    ),
    (
        "Train, dev and test questions",
        "",
        "Train questions are learnt from, dev questions choose settings, test questions give the scores.",
    ),
    ("Passage", "", "A piece of a document that retrieval finds and the model reads before it answers."),
    (
        "Reference",
        "references",
        "Measured to explain the others and never chosen: closed-book answers without documents; oracle reads the "
        "passages that are known to hold the answer.",
    ),
    (
        "Frontier",
        "trade",
        "The paths that no other one equals or beats on both counts. Others are dominated: some path is at least as "
        "good on both and better on one.",
    ),
    (
        "Forecast",
        "curve",
        "What a curve through the measured points says about more rows, with the range that they allow; it is a guess, "
        "not a measurement.",
    ),
    (
        "Bits per byte",
        "forgetting",
        "How surprised the model is by ordinary text; lower is better. A rise after training is knowledge lost.",
    ),
    (
        "Break-even",
        "break-even",
        "The number of questions from which the path that costs more to set up is cheaper in all.",
    ),
    ("Seed", "seeds", "The start of the random numbers of a training; other seeds give somewhat other models."),
)


def glossary(sections: Collection[str]) -> list[tuple[str, str]]:
    """`(term, words)` for a report that has these sections."""
    return [(term, words) for term, section, words in GLOSSARY if not section or section in sections]
