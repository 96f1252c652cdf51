import random
import subprocess
import sys
from typing import get_args

import pyarrow as pa
import pytest

from sartor.base.errors import UsageError
from sartor.data.filters.preset_names import PresetName
from sartor.data.filters.presets import FILTERS, preset
from tests.data.filters.judging import outcome, reason, table
from tests.data.filters.spoiled_texts import spoiled_texts

NAMES = get_args(PresetName)


def test_every_name_has_a_preset():
    assert set(FILTERS) == set(NAMES)
    assert [preset(name).name for name in NAMES] == list(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_any_cut_of_the_table_gives_the_same(name):
    documents, step = table(spoiled_texts(120)), preset(name)
    whole = step(documents)
    chance = random.Random(1)
    for _ in range(3):
        cuts = sorted([0, *(chance.randrange(121) for _ in range(6)), 120])
        parts = [step(documents.slice(start, end - start)) for start, end in zip(cuts, cuts[1:], strict=False)]
        assert pa.concat_tables(part.documents for part in parts).equals(whole.documents)
        assert [each for part in parts for each in part.reasons.to_pylist()] == whole.reasons.to_pylist()
        for key, count in whole.counts.items():
            assert sum(part.counts[key] for part in parts) == count


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_is_its_filters_one_after_the_other(name):
    documents = table(spoiled_texts(120))
    together = preset(name)(documents)
    left, found = documents, dict.fromkeys(documents["id"].to_pylist())
    for each in FILTERS[name]:
        result = each(left)
        found.update(zip(left["id"].to_pylist(), result.reasons.to_pylist(), strict=True))
        left = result.documents.filter(pa.compute.is_null(result.reasons))
    assert together.reasons.to_pylist() == list(found.values())
    assert together.documents.filter(pa.compute.is_null(together.reasons)).equals(left)


def test_chunked_and_empty_tables():
    texts = spoiled_texts(20)
    chunked = pa.concat_tables([table(texts[:7]), table(texts[7:])])
    step = preset("fineweb-2024")
    assert step(chunked).reasons.to_pylist() == [reason(step, text) for text in texts]
    assert step(chunked.slice(0, 0)).reasons.to_pylist() == []


@pytest.mark.parametrize("name", NAMES)
def test_texts_at_the_edge_of_what_there_is(name):
    texts = [
        "",
        "\n",
        "\0",
        "\ufeff",
        "x" * 1_000_000,
        "語" * 300_000,
        "a " * 500_000,
        "- " * 100_000,
        "\n" * 100_000,
        "a\r\nb" * 9,
    ]
    assert len(outcome(preset(name), *texts).reasons) == len(texts)


def test_a_large_document_of_prose_stays():
    chance = random.Random(0)
    nouns = [
        f"{first}{second}" for first in ("wa", "re", "to", "li", "mo") for second in ("ter", "ding", "wer", "ght", "re")
    ]
    lines = (
        " ".join(["the", *chance.choices(nouns, k=9), "and", *chance.choices(nouns, k=9)]) + f" {chance.random()}."
        for _ in range(7_000)
    )
    text = "\n".join(lines)
    assert len(text) > 700_000
    assert reason(preset("gopher", {"gopher_quality": {"max_words": None}}), text) is None
    assert reason(preset("gopher"), text) == "gopher_many_words"


def test_thresholds_can_be_changed_by_name():
    short = "The boats came home to the harbour with nothing."
    assert reason(preset("gopher"), short).startswith("gopher")
    lenient = {"gopher_quality": {"min_words": 5}, "gopher_repetition": {"top_runs": []}}
    assert reason(preset("gopher", lenient), short) is None


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("gofer", {}, "no preset 'gofer'"),
        ("gopher", {"gopher_qualty": {}}, "gopher_quality"),
        ("gopher", {"gopher_quality": {"min_word": 3}}, "min_words"),
        ("c4", {"c4_quality": {"min_sentences": "many"}}, "min_sentences"),
    ],
)
def test_a_mistake_is_named(name, changes, message):
    with pytest.raises(UsageError, match=message):
        preset(name, changes)


def test_eight_megabytes_take_less_than_three_hundred():
    code = (
        "import resource\n"
        "from sartor.data.filters.presets import preset\n"
        "from tests.data.filters.judging import table\n"
        "from tests.data.filters.spoiled_texts import spoiled_texts\n"
        "step, small = preset('fineweb-2024'), table(spoiled_texts(50))\n"
        "step(small)\n"
        "texts = spoiled_texts(200)\n"
        "large = table(text * 10 for text in texts * (800_000 // sum(map(len, texts)) + 1))\n"
        "assert large['text'].nbytes > 8_000_000\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "step(large)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    unit = 1 if sys.platform == "darwin" else 1024
    assert int(done.stdout) * unit < 300e6


def test_compiled_code_lies_in_a_folder_that_is_named_after_the_sources(tmp_path):
    code = "from sartor.data.filters import compiled; print(compiled._folder())"
    environment = {"XDG_CACHE_HOME": str(tmp_path), "PATH": ""}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, timeout=60)
    assert done.stdout.startswith(f"{tmp_path}/sartor/compiled/")
