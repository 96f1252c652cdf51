"""The verdict: error rates by simulation, the order of preference, and sentences that hold when tried."""

import json
import re
from collections import Counter
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from sartor.base.errors import UsageError
from sartor.choosing.labels import LABELS
from sartor.choosing.verdict.rule import Measured, decide, race_of
from sartor.evaluation.statistics import holm, paired_difference

Scores = NDArray[np.float64]


def path(name: str, scores: ArrayLike, cost: float | None = 1.0, *, local: bool = True, seconds: float = 1.0,
         fresh: float | None = None, excluded: tuple[str, ...] = ()) -> Measured:
    return Measured(name, np.asarray(scores, dtype=float), cost, seconds, local, fresh, excluded)


def right(rows: int, wrong_first: int = 0, wrong_last: int = 0) -> Scores:
    """0/1 scores with some wrong at the beginning and some at the end."""
    scores = np.ones(rows)
    scores[:wrong_first] = 0
    scores[rows - wrong_last:] = 0
    return scores


def noisy(generator: np.random.Generator, quality: Scores, fractional: bool) -> Scores:
    """One noisy set of scores with the given expectation in each row."""
    hit = (generator.random(len(quality)) < quality).astype(float)
    if not fractional:
        return hit
    return np.where(generator.random(len(quality)) < 0.4, hit, generator.beta(4 * quality, 4 * (1 - quality)))


def word(paths: list[Measured]) -> str:
    """The verdict's word alone, without planning rows."""
    race = race_of(paths)
    return race.settle(race.order)[1]


def num_decided_of_200(rows: int, correlated: bool, fractional: bool) -> int:
    """How often, of 200 times, two noisy sets of answers with the same true score are "decided"."""
    generator = np.random.default_rng(rows)
    decided = 0
    for _ in range(200):
        quality = generator.uniform(0.05, 0.95, rows) if correlated else np.full(rows, 0.6)
        first, second = (noisy(generator, quality, fractional) for _ in range(2))
        decided += word([path("a", first, 1.0), path("b", second, 2.0)]) == "decided"
    return decided


@pytest.mark.parametrize("fractional", [False, True])
def test_the_same_path_twice_is_decided_in_at_most_one_of_twenty(fractional: bool) -> None:
    """At most 5 % of 800 repetitions; of 200 alone, no more than chance gives with a true rate of 5 %."""
    cells = product((100, 300), (False, True))
    counts = [num_decided_of_200(rows, correlated, fractional) for rows, correlated in cells]
    assert sum(counts) <= 40
    assert max(counts) <= stats.binom.ppf(0.999, 200, 0.05)


def test_four_times_the_same_path_is_decided_no_more_often() -> None:
    generator = np.random.default_rng(1)
    words: Counter[str] = Counter()
    for _ in range(100):
        quality = generator.uniform(0.05, 0.95, 100)
        paths = [path(name, noisy(generator, quality, False), cost) for cost, name in enumerate("abcd")]
        words[word(paths)] += 1
    assert words["decided"] <= 5


@pytest.mark.parametrize("fractional", [False, True])
def test_fifteen_points_are_found_in_three_hundred_rows(fractional: bool) -> None:
    generator = np.random.default_rng(2)
    found = []
    for _ in range(50):
        quality = generator.uniform(0.2, 0.8, 300)
        worse, better = noisy(generator, quality - 0.15, fractional), noisy(generator, quality, fractional)
        verdict = decide([path("worse", worse, 1.0), path("better", better, 2.0)])
        found.append((verdict.verdict, verdict.choice) == ("decided", "better"))
    assert np.mean(found) >= 0.9


@pytest.mark.parametrize("scores", [right(300, 100), right(300), np.linspace(0, 1, 300)])
def test_identical_answers_are_never_decided(scores: Scores) -> None:
    verdict = decide([path("dear", scores, 2.0), path("cheap", scores, 1.0)])
    assert (verdict.verdict, verdict.choice, verdict.needed_rows) == ("tie", "cheap", None)
    few = decide([path("dear", scores[:60], 2.0), path("cheap", scores[:60], 1.0)])
    assert (few.verdict, few.choice) == ("undecided", "cheap")
    assert few.needed_rows is not None and 100 < few.needed_rows < 250
    none = decide([path("dear", scores, 2.0), path("cheap", scores, 1.0)], limits={"margin": 0})
    assert (none.verdict, none.needed_rows) == ("undecided", None)


def test_repeated_rows_of_a_group_are_no_new_evidence() -> None:
    better, worse = right(12, 2).repeat(25), right(12, 2, 5).repeat(25)
    paths = [path("better", better, 2.0), path("worse", worse, 1.0)]
    assert decide(paths).verdict == "decided"
    assert decide(paths, groups=[row // 25 for row in range(300)]).verdict == "undecided"


def test_best_of_three_is_decided_though_the_others_are_alike() -> None:
    verdict = decide([path("a", right(200, 100)), path("b", right(200, 101)), path("best", right(200, 30))])
    assert (verdict.choice, verdict.verdict, verdict.needed_rows) == ("best", "decided", None)
    assert re.fullmatch(
        r"best scores 0\.85 \[0\.79, 0\.89\] on 200 rows, better than each of the 2 other paths "
        r"\(closest: a, \+0\.35 \[\+0\.28, \+0\.41\], p < 0\.001 after Holm\)\.", verdict.why)


def test_cheaper_path_within_the_margin_of_a_shown_better_one_wins_as_a_tie() -> None:
    dear, cheap = right(4000, 1000), right(4000, 1020)
    paths = [path("dear", dear, 9.0), path("cheap", cheap, 1.0)]
    assert paired_difference(dear, cheap).p < 0.001
    verdict = decide(paths)
    assert (verdict.choice, verdict.verdict) == ("cheap", "tie")
    assert "no path is better by more than the margin of 0.02" in verdict.why
    strict = decide(paths, limits={"margin": 0.001})
    assert (strict.choice, strict.verdict) == ("dear", "decided")
    swapped = decide([path("dear", dear, 1.0), path("cheap", cheap, 9.0)])
    assert (swapped.choice, swapped.verdict) == ("dear", "decided")


@pytest.mark.parametrize(("first", "second"), [
    ({"cost": 1.0, "local": False, "fresh": None}, {"cost": 2.0, "local": True, "fresh": 1.0}),
    ({"cost": 1.0, "local": True, "fresh": None}, {"cost": 1.0, "local": False, "fresh": 1.0}),
    ({"cost": 1.0, "local": True, "fresh": 5.0}, {"cost": 1.0, "local": True, "fresh": 60.0}),
    ({"cost": 1.0, "local": True, "fresh": 5.0}, {"cost": 1.0, "local": True, "fresh": None}),
    ({"cost": 9.0, "local": False, "fresh": None}, {"cost": None, "local": True, "fresh": 1.0}),
])
def test_ties_go_to_the_cheapest_then_the_local_then_the_freshest(first: dict, second: dict) -> None:
    scores = right(400, 100)
    for paths in ([path("x", scores, **first), path("y", scores, **second)],
                  [path("y", scores, **second), path("x", scores, **first)]):
        assert decide(paths).choice == "x"


def test_limits_exclude_with_a_reason() -> None:
    paths = [
        path("far", right(100, 5), local=False), path("slow", right(100, 5), seconds=3.0),
        path("dear", right(100, 5), 30.0), path("poor", right(100, 80)), path("good", right(100, 20)),
        path("unpriced", right(100, 5), None), path("broken", np.full(100, np.nan), 1.0),
        path("failed", right(100, 5), 1.0, excluded=("ran out of memory",)),
    ]
    limits = {"local_only": True, "p95_seconds": 2, "cost_per_1k": 10.0, "min_score": 0.5, "margin": None}
    verdict = decide(paths, limits=limits)
    assert (verdict.choice, verdict.verdict) == ("good", "decided")
    assert "only path within the limits" in verdict.why
    words = {
        "far": "(local_only)", "slow": "come within 3 s, and 2 s are allowed (p95_seconds)",
        "dear": "cost $30.00, and $10.00 is allowed (cost_per_1k)",
        "poor": "is 0.200, and at least 0.5 is asked for (min_score)", "unpriced": "cost an unknown price",
        "broken": "no row could be scored", "failed": "ran out of memory",
    }
    assert verdict.excluded.keys() == words.keys()
    assert all(words[name] in reason for name, (reason,) in verdict.excluded.items())
    assert any("If slow (95 points of 100) were allowed" in sentence for sentence in verdict.would_change)
    assert "broken" not in verdict.scores
    everyone = decide(paths, limits={"min_score": 0.99})
    assert (everyone.choice, everyone.verdict, everyone.needed_rows) == (None, "undecided", None)
    assert everyone.would_change[0].startswith("Without the limits, ")


def test_wrong_input_is_refused() -> None:
    with pytest.raises(UsageError, match="p95_second"):
        decide([path("a", right(10))], limits={"p95_second": 2})
    with pytest.raises(UsageError, match="margin"):
        decide([path("a", right(10))], limits={"margin": 2})
    with pytest.raises(ValueError, match="same rows"):
        decide([path("a", right(10)), path("b", right(11))])
    with pytest.raises(ValueError, match="same rows"):
        decide([path("a", right(10))], groups=["x"])
    with pytest.raises(ValueError, match="same name"):
        decide([path("a", right(10)), path("a", right(10))])


def test_where_nothing_could_be_scored_no_limit_is_blamed() -> None:
    verdict = decide([path("a", np.full(20, np.nan)), path("b", np.full(20, np.nan))])
    assert (verdict.choice, verdict.why) == (None, "No answer of any path could be scored.")


def test_unscored_rows_are_left_out_and_bounded() -> None:
    first = right(200, 20)
    second = right(200, 60)
    second[180:] = np.nan
    verdict = decide([path("first", first, 2.0), path("second", second, 1.0)])
    assert (verdict.choice, verdict.verdict) == ("first", "decided")
    assert verdict.scores["second"].n == 180 and verdict.scores["second"].mean == pytest.approx(120 / 180)
    assert verdict.bounds == {"second": (pytest.approx(120 / 200), pytest.approx(140 / 200))}
    assert verdict.would_change[-1] == ("20 answers of second could not be scored; whatever they are worth, "
                                        "its score is from 60.0 to 70.0 points of 100.")
    first, second = right(200, wrong_last=60), right(200, wrong_first=60)
    second[118:] = np.nan
    overturned = decide([path("first", first, 2.0), path("second", second, 1.0)])
    assert (overturned.verdict, overturned.needed_rows) == ("undecided", None)
    assert "unscored rows could overturn" in overturned.why
    apart = [path("a", [1, 1, np.nan, np.nan]), path("b", [np.nan, np.nan, 0, 1])]
    assert decide(apart).comparisons[0]["test"] == "none: no row has both scores"


def many_paths(seed: int, rows: int) -> list[Measured]:
    generator = np.random.default_rng(seed)
    quality = generator.uniform(0.1, 0.6, rows)
    gains = generator.choice([0.0, 0.01, 0.1, 0.3], 4)
    costs = {"prompt": 0.1, "rag": 0.2, "finetune": 0.3, "api": 2.0}
    return [path(name, noisy(generator, quality + gain, bool(seed % 2)), cost, local=name != "api",
                 seconds=float(generator.choice([0.5, 3.0])))
            for (name, cost), gain in zip(costs.items(), gains, strict=True)]


@pytest.mark.parametrize("seed", range(12))
def test_comparisons_are_all_pairs_as_json(seed: int) -> None:
    paths = many_paths(seed, 120)
    verdict = decide(paths, limits={"p95_seconds": 2})
    found = json.loads(json.dumps(verdict.comparisons, allow_nan=False))
    assert len({frozenset((pair["a"], pair["b"])) for pair in found}) == len(found) == 6
    assert holm([pair["p"] for pair in found]) == pytest.approx([pair["p_adjusted"] for pair in found])
    scores = {each.name: each.scores for each in paths}
    for pair in found:
        oracle = paired_difference(scores[pair["a"]], scores[pair["b"]])
        assert pair.keys() == {"a", "b", "difference", "ci", "p", "p_adjusted", "test"}
        assert (pair["difference"], *pair["ci"], pair["p"]) == pytest.approx(
            (oracle.difference, oracle.low, oracle.high, oracle.p))
        assert pair["difference"] >= 0 or pair["difference"] == pytest.approx(0)


def outcome(paths: list[Measured], **limits: float | bool) -> tuple[str, str]:
    verdict = decide(paths, limits=limits)
    return str(verdict.choice), verdict.verdict


def said_outcome(sentence: str) -> tuple[str, str]:
    """The choice and the verdict's word that a sentence of `would_change` promises."""
    names = {label: name for name, label in LABELS.items()}
    if found := re.search(r", it would be undecided, with (.+?) for now\.", sentence):
        return names.get(found[1], found[1]), "undecided"
    found = re.search(r", ([^,]+) would be the choice: (.+?)\.(?: It is ruled out|$)", sentence)
    assert found is not None, sentence
    word = "decided" if found[2].startswith(("it is better", "it is the only")) else "tie"
    return names.get(found[1], found[1]), word


@pytest.mark.parametrize("seed", range(24))
def test_what_would_change_it_does_change_it(seed: int) -> None:
    """Every sentence is tried, and the answer is what the sentence says."""
    paths = many_paths(seed, 250 if seed < 20 else 3000)
    verdict = decide(paths)
    now = outcome(paths)
    for sentence in verdict.would_change:
        said = said_outcome(sentence)
        assert said != now
        if "losing" in sentence or "no loss" in sentence:
            found = re.match(r"If losing (?:up to|no more than) ([\d.]+) points?", sentence)
            margin = float(found[1]) / 100 if found else 0.0
            assert outcome(paths, margin=margin) == said
            closer = margin + (-0.001 if "up to" in sentence else 0.001)
            if (closer > 0.02) == ("up to" in sentence):
                choice, word = outcome(paths, margin=closer)
                assert (choice == now[0] and word != "undecided") or word == now[1] == "undecided"
        elif found := re.match(r"If (.+) cost more than \$([\d.]+)", sentence):
            dearer = float(found[2]) + 1e-6
            paths_then = [replace(p, cost_per_1k=dearer) if LABELS[p.name] == found[1] else p for p in paths]
            assert outcome(paths_then) == said
        elif found := re.match(r"If 95 of 100 answers had to come within ([\d.]+) s", sentence):
            assert outcome(paths, p95_seconds=float(found[1])) == said
        elif found := re.match(r"If 1,000 answers had to cost \$([\d.]+) at most", sentence):
            assert outcome(paths, cost_per_1k=float(found[1])) == said
        else:
            assert sentence.startswith("If nothing were allowed to leave this machine, ")
            assert outcome(paths, local_only=True) == said


def test_every_kind_of_change_is_found_and_said_plainly() -> None:
    scores = right(400, 100)
    cheap, dear = path("prompt", scores, 0.02, seconds=1.58), path("rag", scores, 0.5, seconds=1.203)
    assert decide([cheap, dear]).would_change == [
        "If losing no more than 0.6 points were acceptable (now 2 points), it would be undecided, with "
        "prompting for now.",
        "If prompting cost more than $0.50 for 1,000 answers (now $0.020), retrieval would be the choice: "
        "of the 2 that are good enough, it is the cheapest.",
        "If 95 of 100 answers had to come within 1.3 s (now 1.58 s), retrieval would be the choice: "
        "it is the only one left.",
    ]
    remote, local = path("api", right(400, 20), 2.5, local=False), path("finetune", right(400, 300), 0.031)
    assert decide([remote, local]).would_change[1:] == [
        "If 1,000 answers had to cost $0.04 at most (now $2.50), fine-tuning would be the choice: "
        "it is the only one left.",
        "If nothing were allowed to leave this machine, fine-tuning would be the choice: "
        "it is the only one left.",
    ]


def test_a_limit_that_cost_a_better_path_is_named() -> None:
    paths = [path("good", right(300, 90)), path("better", right(300, 20), seconds=4.0)]
    verdict = decide(paths, limits={"p95_seconds": 2})
    assert verdict.choice == "good"
    assert verdict.would_change == [
        "If better (93 points of 100) were allowed, better would be the choice: it is better than every "
        "other path. It is ruled out now: 95 of 100 answers come within 4 s, and 2 s are allowed "
        "(p95_seconds)."]
    assert outcome(paths) == ("better", "decided")


@pytest.mark.parametrize("seed", range(30))
def test_needed_rows_settle_it_when_more_of_the_same_comes(seed: int) -> None:
    paths = many_paths(seed, 60)
    verdict = decide(paths, limits={"margin": 0.05})
    if verdict.verdict != "undecided":
        assert verdict.needed_rows is None
        return
    assert verdict.needed_rows is not None and verdict.needed_rows >= 66
    if verdict.needed_rows < 20_000:
        times = -(-verdict.needed_rows // 60)
        grown = [replace(each, scores=np.tile(each.scores, times)) for each in paths]
        then = decide(grown, limits={"margin": 0.05})
        assert (then.choice, then.verdict != "undecided") == (verdict.choice, True)


def test_dominated_paths_are_named_with_what_dominates_them() -> None:
    good = path("good", right(400, 60), 1.0, fresh=5.0)
    slower = path("slower", right(400, 60), 1.0, seconds=2.0, fresh=5.0)
    worse = path("worse", right(400, 61), 1.0, fresh=5.0)
    staler = path("staler", right(400, 60), 1.0)
    cheaper = path("cheaper", right(400, 300), 0.5)
    remote = path("remote", right(400, 100), 1.0, local=False, fresh=5.0)
    verdict = decide([slower, worse, staler, cheaper, remote, good])
    assert verdict.dominated == dict.fromkeys(("slower", "worse", "staler", "remote"), "good")
    assert decide([good, replace(good, name="twin")]).dominated == {}
    unpriced = replace(good, name="unpriced", cost_per_1k=None)
    assert decide([good, unpriced]).dominated == {}, "its price may be the lower one"
    assert decide([replace(slower, cost_per_1k=None), unpriced]).dominated == {"slower": "unpriced"}


def test_an_unknown_price_is_not_said_to_be_higher() -> None:
    priced, other = path("a", right(400, 60), 1.0), path("b", right(400, 60), None, fresh=1.0)
    assert "it is the only one with a known price." in decide([priced, other]).why
    dearer = path("c", right(400, 60), 2.0, fresh=2.0)
    assert "it is the cheapest of known price." in decide([priced, dearer, other]).why
    unpriced = [path("a", right(400, 60), None), path("b", right(400, 61), None, local=False, fresh=1.0)]
    assert "it stays on this machine, and no price is known." in decide(unpriced).why


def test_a_path_outside_the_limits_dominates_none() -> None:
    fast, slow = path("fast", right(200, 50), 2.0), path("slow", right(200, 20), 1.0, seconds=0.5, excluded=("broken",))
    assert decide([fast, slow]).dominated == {}


@pytest.mark.parametrize("seed", range(30))
def test_the_choice_is_never_dominated(seed: int) -> None:
    verdict = decide(many_paths(seed, 250))
    assert verdict.choice not in verdict.dominated


def test_what_trainings_differ_by_is_part_of_the_comparison() -> None:
    plain = path("plain", right(300, 120), 1.0)
    steady = np.stack([np.roll(right(300, 75), shift) for shift in range(3)])
    lucky = np.stack([right(300, 5), right(300, 100), right(300, 120)])
    trained = [replace(path("trained", each.mean(0), 2.0), by_seed=each) for each in (steady, lucky)]
    assert decide([plain, trained[0]]).verdict == "decided"
    once = decide([plain, path("trained", lucky.mean(0), 2.0)])
    several = decide([plain, trained[1]])
    assert (once.verdict, several.verdict) == ("decided", "undecided")
    assert several.scores["trained"].high - several.scores["trained"].low > 0.2
    assert "3 seeds" in several.comparisons[0]["test"]
