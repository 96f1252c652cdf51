"""`sartor reward`."""

import argparse

from sartor.cli.trained import add_training_options, train
from sartor.recipes.reward import RewardConfig
from sartor.recipes.reward import run as reward


def add_options(parser: argparse.ArgumentParser) -> None:
    add_training_options(parser, RewardConfig)


def run(args: argparse.Namespace) -> None:
    train(args, RewardConfig, reward, "train with it: sartor ppo PROMPTS --reward {out}")
