"""Charts of curves: nothing that is drawn is lost, nothing that is written is hidden."""

import random
import xml.etree.ElementTree as ElementTree

from sartor.reporting.curves import Curve, Mark, curve_chart, several, short_number, thinned


def test_thinning_keeps_ends_order_and_every_spike():
    chance = random.Random(0)
    points = [(float(step), chance.random()) for step in range(10_000)]
    points[4321] = (4321.0, 50.0)
    points[77] = (77.0, -50.0)
    kept = thinned(points, 400)
    assert len(kept) <= 400 and kept == sorted(kept) and set(kept) <= set(points)
    assert points[4321] in kept and points[77] in kept
    assert thinned(points[:400], 400) == points[:400]


def test_a_chart_says_in_words_what_it_shows():
    curve = Curve("held out", [(10, 2.0), (20, 1.25), (30, 1.5)])
    svg = curve_chart([curve, Curve("empty", [])], "loss", "Loss", mark=Mark(20, 1.25, "best: step 20"))
    root = ElementTree.fromstring(svg)
    assert root.tag == "svg" and root.attrib["aria-labelledby"] == "loss-title loss-words"
    assert root.find("title").text == "Loss"
    words = root.find("desc").text
    assert words == "held out: 2 at step 10, 1.5 at step 30, lowest 1.25 at step 20; best: step 20"


def test_a_legend_names_several_curves_and_one_needs_none():
    curves = [
        Curve(f"_run <{index}>", [(1, index), (2, 0)], colour, dash) for index, (colour, dash) in enumerate(several(3))
    ]
    both = curve_chart(curves, "many", "Runs")
    assert all(f"run &lt;{index}&gt;</text>" in both for index in range(3))
    assert "run &lt;0&gt;</text>" not in curve_chart(curves[:1], "one", "Run")


def test_no_two_of_many_runs_look_alike():
    looks = several(15)
    assert len({(colour, str(dash)) for colour, dash in looks}) == 15


def test_the_style_is_left_to_the_page():
    svg = curve_chart([Curve("a", [(1, 1.0), (2, 3.0)])], "chart", "A")
    assert "style=" not in svg and "#0" not in svg and 'class="stroke-ink"' in svg
    assert svg == curve_chart([Curve("a", [(1, 1.0), (2, 3.0)])], "chart", "A")


def test_a_single_point_and_equal_values_can_be_drawn():
    for points in ([(5, 1.0)], [(1, 0.0), (2, 0.0)], [(1, 1e-9), (2, 1e12)]):
        assert curve_chart([Curve("a", points)], "chart", "A").startswith("<svg")


def test_numbers_are_short():
    assert [short_number(value) for value in (0.0002, 12_345.6, 1.23456, 0.0)] == ["0.0002", "12,346", "1.235", "0"]
