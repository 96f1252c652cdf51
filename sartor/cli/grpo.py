"""`sartor grpo`."""

import argparse

from sartor.cli.rewarded import add_rollout_options, learn
from sartor.recipes.grpo import GrpoConfig
from sartor.recipes.grpo import run as grpo


def add_options(parser: argparse.ArgumentParser) -> None:
    add_rollout_options(parser, GrpoConfig)


def run(args: argparse.Namespace) -> None:
    learn(args, GrpoConfig, grpo)
