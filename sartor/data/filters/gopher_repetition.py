"""Gopher's rules against repetition (Rae et al., 2112.11446, section A1.1 and table A1)."""

import pyarrow as pa

from sartor.base.configuration import Config
from sartor.data.filters.line_measures import repeated_parts
from sartor.data.filters.repetition_measures import repeated_run_characters, top_run_characters
from sartor.data.filters.step import Outcome
from sartor.data.filters.text_filter import Judged, Mask, Verdict, ratio, run_filters
from sartor.data.filters.texts import Texts


class GopherRepetition(Config):
    """Drop texts that repeat themselves. All limits are shares of the text; None switches a rule off.

    What is above a limit is dropped. Characters are code points, of a text with its spaces and newlines.
    """

    max_duplicate_paragraphs: float | None = 0.30
    max_duplicate_paragraph_characters: float | None = 0.20
    max_duplicate_lines: float | None = 0.30
    max_duplicate_line_characters: float | None = 0.20
    # (words in a run, largest share of characters in the most frequent run)
    top_runs: tuple[tuple[int, float], ...] = ((2, 0.20), (3, 0.18), (4, 0.16))
    # (words in a run, largest share of characters in runs that were there before)
    duplicate_runs: tuple[tuple[int, float], ...] = (
        (5, 0.15), (6, 0.14), (7, 0.13), (8, 0.12), (9, 0.11), (10, 0.10),
    )  # fmt: skip

    @property
    def name(self) -> str:
        return "gopher_repetition"

    def __call__(self, documents: pa.Table) -> Outcome:
        return run_filters([self], documents)

    def judge(self, texts: Texts, wanted: Mask) -> Judged:
        verdict = Verdict(wanted)
        characters = texts.num_characters
        verdict.drop("gopher_empty", characters == 0)
        parts = repeated_parts(texts, verdict.open)
        for part in ("paragraph", "line"):
            share = ratio(parts[f"{part}_repeats"], parts[f"{part}s"])
            verdict.drop_above(f"gopher_duplicate_{part}s", share, getattr(self, f"max_duplicate_{part}s"))
            share = ratio(parts[f"{part}_repeat_characters"], characters)
            limit = getattr(self, f"max_duplicate_{part}_characters")
            verdict.drop_above(f"gopher_duplicate_{part}_characters", share, limit)
        for runs, name, measure in (
            (sorted(self.top_runs), "gopher_top_{}_gram", top_run_characters),
            (sorted(self.duplicate_runs), "gopher_duplicate_{}_gram", repeated_run_characters),
        ):
            found = measure(texts, verdict.open, tuple(length for length, _ in runs))
            for (length, limit), run_characters in zip(runs, found, strict=True):
                verdict.drop_above(name.format(length), ratio(run_characters, characters), limit)
        return Judged(verdict, texts)
