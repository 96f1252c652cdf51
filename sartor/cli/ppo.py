"""`sartor ppo`."""

import argparse

from sartor.cli.rewarded import add_rollout_options, learn
from sartor.recipes.ppo import PpoConfig
from sartor.recipes.ppo import run as ppo


def add_options(parser: argparse.ArgumentParser) -> None:
    add_rollout_options(parser, PpoConfig)


def run(args: argparse.Namespace) -> None:
    learn(args, PpoConfig, ppo)
