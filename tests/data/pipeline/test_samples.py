import pyarrow as pa

from sartor.data.documents import documents_table
from sartor.data.pipeline.rejects import rejects_table
from sartor.data.pipeline.samples import EACH, EXCERPT_CHARACTERS, Samples, smallest
from tests.data.pipeline.toy import rows


def rejected(number: int) -> pa.Table:
    table = documents_table(rows(number))
    return rejects_table(table, "step", pa.array(["odd" if row % 2 else "even" for row in range(number)]))


def sampled(*tables: pa.Table) -> Samples:
    samples = Samples(str)
    for table in tables:
        samples.note(table)
    return samples


def test_the_sample_does_not_depend_on_the_cut():
    table = rejected(50)
    whole = smallest(sampled(table).as_list())
    parts = [sampled(table.slice(0, 7), table.slice(7, 20)).as_list(), sampled(table.slice(27)).as_list()]
    assert smallest(sample for part in parts for sample in part) == whole
    assert {key: len(group) for key, group in whole.items()} == {("step", "even"): EACH, ("step", "odd"): EACH}


def test_what_is_shown_is_masked_before_it_is_cut():
    table = documents_table([{"id": "a@b.org", "text": "write to a@b.org " * 300, "source": "a@b.org"}])
    samples = Samples(lambda text: text.replace("a@b.org", "MAIL"))
    samples.note(rejects_table(table, "step", pa.array(["why"]), pa.array(["as a@b.org"])))
    [sample] = samples.as_list()
    assert "@" not in repr(sample)
    assert len(sample["excerpt"]) == EXCERPT_CHARACTERS + 1
