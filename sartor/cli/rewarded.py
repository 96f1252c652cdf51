"""What the verbs of reinforcement learning have in common."""

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from sartor.base.console import format_seconds
from sartor.cli.options import add_common, add_settings, settings_from
from sartor.cli.output import print_json
from sartor.recipes.rl_settings import RolloutSettings

if TYPE_CHECKING:
    from sartor.recipes.rl import RolloutResult

ConfigType = TypeVar("ConfigType", bound=RolloutSettings)


def add_rollout_options(parser: argparse.ArgumentParser, config: type[RolloutSettings]) -> None:
    add_settings(parser, config, positional=("data",))
    add_common(parser, json=True, config=True)


def learn(args: argparse.Namespace, kind: type[ConfigType], run: Callable[[ConfigType], "RolloutResult"]) -> None:
    """Run as the options ask and print what came of it."""
    result = run(settings_from(args, kind))
    if args.json:
        print_json(result.as_dict())
        return
    gained, low, high = result.difference
    print(
        f"{result.trained}: held-out reward {result.dev_reward_before:.3f} -> {result.dev_reward:.3f} "
        f"({gained:+.3f}, 95 % interval {low:+.3f} to {high:+.3f}) in {result.steps} steps, "
        f"{format_seconds(result.seconds)}"
    )
    print(f"talk to it: sartor chat {result.out}")
