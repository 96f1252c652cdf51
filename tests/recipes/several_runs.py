"""One of several processes that train on pairs: started by torchrun in test_several_processes.py, or called there.

`python -m torch.distributed.run … -m tests.recipes.several_runs '[[VERB, SETTINGS], …]'`, in float32, so that
nothing but the order of sums differs.
"""

import json
import sys
from typing import Any

import pytest
import torch

from sartor.base.distributed import leave, process_group
from sartor.recipes import dpo, reward
from sartor.recipes.stage import TrainingResult
from tests.recipes import pairs


def run(verb: str, settings: dict[str, Any]) -> TrainingResult:
    with pytest.MonkeyPatch.context() as patch:
        pairs.computed_in_float32(patch)
        return reward.run(reward.RewardConfig(**settings)) if verb == "reward" else dpo.run(dpo.DpoConfig(**settings))


def main(jobs: list[tuple[str, dict[str, Any]]]) -> None:
    torch.set_num_threads(1)
    with process_group():
        for verb, settings in jobs:
            run(verb, settings)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
    leave(0)
