"""`sartor tokenizer`."""

import argparse
from typing import TYPE_CHECKING

from sartor.cli.options import add_common, add_settings, settings_from
from sartor.cli.output import print_json
from sartor.recipes.tokenizer import TokenizerConfig
from sartor.recipes.tokenizer import run as make_tokenizer

if TYPE_CHECKING:
    from sartor.recipes.tokenizer import TokenizerResult


def add_options(parser: argparse.ArgumentParser) -> None:
    add_settings(parser, TokenizerConfig, positional=("data",))
    add_common(parser, json=True, config=True)


def run(args: argparse.Namespace) -> None:
    result = make_tokenizer(settings_from(args, TokenizerConfig))
    if args.json:
        print_json(result.as_dict())
    else:
        _show(result)


def _show(result: "TokenizerResult") -> None:
    from sartor.base.durable import format_bytes

    print(
        f"{result.out}: {result.vocabulary:,} tokens learnt from {format_bytes(result.learnt_bytes)}, words cut as by "
        f"{result.pre_tokenizer}"
    )
    width = max(len(each.name) for each in result.compressions)
    print(f"\n{'tokenizer':<{width}}  {'tokens':>9}  bytes/token")
    for each in result.compressions:
        print(f"{each.name:<{width}}  {each.vocabulary:>9,}  {each.bytes_per_token:>11.3f}")
    size = format_bytes(result.compressions[0].text_bytes)
    documents = f"{result.measured_documents:,} {result.measured_on} documents"
    print(f"measured on {documents}, {size}; all came back from their ids")
    if result.measured_on != "held-out":
        print("no document could be held out, so this tokenizer has seen what it is measured on")
    looked_at = format_bytes(result.unused_in_bytes)
    print(f"unused: {result.unused:,} tokens occur nowhere in the {looked_at} that were looked at")
    print("longest: " + "  ".join(repr(token) for token in result.longest))
    print(f"use it: sartor pretrain DATA --tokenizer {result.out} --out runs/new")
