"""R8: the rows of a step are a function of the seed and the step, whoever asks, when, and after what."""

import hashlib
import subprocess
import sys
from pathlib import Path

import sartor
from tests.crash.bench import Bench

DIGEST = """
import hashlib, json, sys
from sartor.data.batches import BatchSource
from sartor.data.chat import Rendered
from sartor.data.packing import Batch
from sartor.data.pairs import Pair, PairSource

def digest(of_pairs, num_rows, rows_per_step, micro_batch_tokens, seed, steps):
    rows = [Rendered([n % 97 + 1] * (3 + n * 7 % 40), [False] + [True] * (2 + n * 7 % 40), f"row {n}")
            for n in range(num_rows)]
    if of_pairs:
        rows = [Pair(row, Rendered([5, *row.ids], [False, *row.trained], row.where)) for row in rows]
    source = (PairSource if of_pairs else BatchSource)(rows, rows_per_step, micro_batch_tokens, seed)
    packed = lambda batch: batch if isinstance(batch, Batch) else batch.rows
    taken = {step: [[batch.where, packed(batch).ids.tolist(), packed(batch).targets.tolist()]
                    for batch in source.step(step)] for step in steps}
    seen = [hashlib.sha256(json.dumps(taken[step]).encode()).hexdigest() for step in sorted(taken)]
    return seen, sorted(place for step in range(source.steps_per_epoch) for batch in source.step(step)
                        for place in batch.where)
"""


def order_is_a_function(bench: Bench) -> None:
    """R8: straight through; resumed at any step by a new source; in any order; and, once, by an interpreter of its own
    with another hash seed. Every epoch has every row once. (R1 to R5 compare the rows of whole commands.)"""
    names: dict[str, object] = {}
    exec(DIGEST, names)
    digest = names["digest"]
    assert callable(digest)
    for number in range(bench.num_tries):
        num_rows, rows_per_step = bench.draw.randrange(1, 60), bench.draw.randrange(1, 20)
        cut, seed = bench.draw.choice([1, 64, 2048]), bench.draw.randrange(2**31)
        sizes = [bench.world.recipe.on_pairs, num_rows, rows_per_step, cut, seed]
        steps = list(range(3 * -(-num_rows // rows_per_step) + 1))
        with bench.one_try(f"sizes and seed {sizes}"):
            straight, rows = digest(*sizes, steps)
            bench.check(rows == sorted(f"row {n}" for n in range(num_rows)), "an epoch is not every row once")
            start = bench.draw.choice(steps)
            bench.check(digest(*sizes, steps[start:])[0] == straight[start:], f"another stream when resumed at {start}")
            shuffled = bench.draw.sample(steps, len(steps))
            bench.check(digest(*sizes, shuffled)[0] == straight, "another stream in another order")
            other = digest(*sizes[:4], sizes[4] + 1, steps)[0]
            alike = num_rows < 10 or rows_per_step >= num_rows  # one step has all rows, and cuts are by length
            bench.check(alike or other != straight, "the seed does not matter")
            if number == 0:
                theirs = _elsewhere(sizes, steps)
                bench.check(
                    theirs == hashlib.sha256("".join(straight).encode()).hexdigest(), "another stream elsewhere"
                )


def _elsewhere(sizes: list[int], steps: list[int]) -> str:
    program = f"{DIGEST}\nprint(hashlib.sha256(''.join(digest(*{sizes}, {steps})[0]).encode()).hexdigest())"
    environment = {"PYTHONHASHSEED": "77", "PYTHONPATH": str(Path(sartor.__file__).parents[1]), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()
