"""Figures of quality: nested as they come, none lost, calibration as a chart."""

from sartor.evaluation.reward_quality import reward_quality
from sartor.train.quality_view import calibration_chart, figure, quality_view

INTERVAL = {"mean": 0.71, "low": 0.66, "high": 0.76, "n": 200}


def test_an_interval_is_one_figure():
    assert figure(INTERVAL) == "0.71 (95 % interval 0.66 to 0.76), n 200"
    view = quality_view({"accuracy": INTERVAL, "bias": {"difference": -0.1, "low": -0.2, "high": 0.0, "p": 0.03}})
    assert view.parts[0] == ("", [("Accuracy", figure(INTERVAL))])
    assert view.parts[1] == ("Bias", [("Difference", "-0.1 (95 % interval -0.2 to 0)"), ("P", "0.03")])
    assert view.calibration == ""


def test_whatever_is_there_is_shown():
    view = quality_view({"a": {"deeper": {"still": 1.23456}, "several": [1, 2.5]}, "words_too": "x", "none": None})
    assert view.parts == [
        ("", [("Words too", "x"), ("None", "—")]),
        ("A", [("Deeper", "still 1.235"), ("Several", "1; 2.5")]),
    ]


def test_what_the_measurement_of_a_reward_model_says_is_shown():
    chosen = [0.1 * place for place in range(40)]
    rejected = [2.0 - 0.03 * place for place in range(40)]
    found = reward_quality(chosen, rejected, range(10, 50), [30] * 40).as_dict()
    view = quality_view(found)
    assert [title for title, _ in view.parts] == ["", "Versus length", "Calibration", "Length bias"]
    assert view.calibration.startswith("<svg") and "right" in view.calibration
    shown = dict(view.parts[0][1])
    assert shown["Pairs"] == "40" and shown["Accuracy"].startswith(f"{found['accuracy']['mean']:.4g} (95 % interval")


def test_a_chart_needs_bins():
    assert calibration_chart([]) == calibration_chart([{"confidence": 0.6}, {"accuracy": INTERVAL}]) == ""
    drawn = calibration_chart([{"confidence": 0.6, "accuracy": INTERVAL}])
    assert "said 0.60, right 0.71 (0.66 to 0.76)" in drawn
