"""The panels of a run: what is drawn is what the metrics mean."""

from sartor.train.alignment_charts import panels
from sartor.train.history import History
from tests.train.made_up_alignment import records


def test_the_accuracy_of_answers_rated_one_by_one_is_not_of_pairs():
    pairs = records("dpo", 30)
    rated = [record | {"divergence": 0.5} for record in records("reward", 30)]
    told = {name: panels(History(made, kind="dpo"))[0] for name, made in (("pairs", pairs), ("rated", rated))}
    assert told["pairs"].title == "Pairs ordered right" and "A coin gets 0.5" in told["pairs"].note
    assert told["rated"].title == "Answers on their right side" and "rated answers" in told["rated"].note
    assert "coin" not in told["rated"].note and "pairs" not in told["rated"].note
