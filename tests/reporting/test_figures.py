"""Figures that people read."""

import pytest

from sartor.reporting.figures import sparkline


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
