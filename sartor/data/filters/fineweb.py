"""FineWeb's own rules (Penedo et al., 2406.17557, section 3.6), which follow Gopher's and C4's."""

import pyarrow as pa

from sartor.base.configuration import Config
from sartor.data.filters.line_measures import line_ends
from sartor.data.filters.step import Outcome
from sartor.data.filters.text_filter import Judged, Mask, Verdict, ratio, run_filters
from sartor.data.filters.texts import Texts


class FineWebQuality(Config):
    """Drop lists, menus and pages that repeat lines. None switches a rule off.

    Lines of nothing but spaces do not count. For characters in repeated lines the paper gives 0.1, and the code that
    made the data set 0.01, which is the default.
    """

    min_ended_lines: float | None = 0.12
    max_short_lines: float | None = 0.67
    short_line_characters: int = 30
    max_duplicate_line_characters: float | None = 0.01
    max_newlines_per_word: float | None = 0.3

    @property
    def name(self) -> str:
        return "fineweb_quality"

    def __call__(self, documents: pa.Table) -> Outcome:
        return run_filters([self], documents)

    def judge(self, texts: Texts, wanted: Mask) -> Judged:
        verdict = Verdict(wanted)
        ends = line_ends(texts, wanted, self.short_line_characters)
        verdict.drop("fineweb_empty", ends["lines"] == 0)
        verdict.drop_below("fineweb_ended_lines", ratio(ends["ended_lines"], ends["lines"]), self.min_ended_lines)
        verdict.drop_above("fineweb_short_lines", ratio(ends["short_lines"], ends["lines"]), self.max_short_lines)
        share = ratio(ends["repeat_characters"], texts.num_characters - ends["newlines"])
        verdict.drop_above("fineweb_duplicate_line_characters", share, self.max_duplicate_line_characters)
        verdict.drop_above("fineweb_newlines", ratio(ends["newlines"], texts.num_words), self.max_newlines_per_word)
        return Judged(verdict, texts)
