"""`sartor finetune`."""

import argparse

from sartor.cli.trained import add_training_options, train
from sartor.recipes.finetune import FinetuneConfig
from sartor.recipes.finetune import run as finetune


def add_options(parser: argparse.ArgumentParser) -> None:
    add_training_options(parser, FinetuneConfig)


def run(args: argparse.Namespace) -> None:
    train(args, FinetuneConfig, finetune, "talk to it: sartor chat {out}")
