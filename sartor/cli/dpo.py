"""`sartor dpo`."""

import argparse

from sartor.cli.trained import add_training_options, train
from sartor.recipes.dpo import DpoConfig
from sartor.recipes.dpo import run as dpo


def add_options(parser: argparse.ArgumentParser) -> None:
    add_training_options(parser, DpoConfig)


def run(args: argparse.Namespace) -> None:
    train(args, DpoConfig, dpo, "talk to it: sartor chat {out}")
