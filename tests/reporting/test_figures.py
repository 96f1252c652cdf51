"""Figures that people read."""

import pytest

from sartor.reporting.figures import size, sparkline


@pytest.mark.parametrize(
    ("values", "width", "line"),
    [
        ([0, 1, 2, 3, 4, 5, 6, 7], 8, "▁▂▃▄▅▆▇█"),
        ([3, 1, 3, 1], 2, "▁▁"),  # each sign is the mean of its stretch
        ([9, 9, 0, 0], 2, "█▁"),
        ([5.0], 48, "▁"),
        ([], 48, ""),
    ],
)
def test_a_sparkline_goes_from_the_lowest_to_the_highest_mean(values, width, line):
    assert sparkline(values, width) == line


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 bytes"), (999, "999 bytes"), (1000, "1 kB"), (999_400, "999 kB"), (999_600, "1 MB"),
        (999_999_999, "1 GB"), (1_234_567, "1.23 MB"), (999.6e9, "1,000 GB"), (1.5e12, "1,500 GB"),
    ],
)  # fmt: skip
def test_sizes_go_to_the_next_unit_before_they_need_an_exponent(count, text):
    assert size(count) == text
