"""`sartor export`."""

import argparse

from sartor.cli.options import add_common, add_settings, settings_from
from sartor.cli.output import print_json
from sartor.recipes.export import ExportConfig
from sartor.recipes.export import run as export


def add_options(parser: argparse.ArgumentParser) -> None:
    add_settings(parser, ExportConfig, positional=("model",))
    add_common(parser, json=True, config=True)


def run(args: argparse.Namespace) -> None:
    from sartor.base.durable import format_bytes

    result = export(settings_from(args, ExportConfig))
    if args.json:
        print_json(result.as_dict())
        return
    print(f"{result.out}: {result.format}, {result.dtype}, {format_bytes(sum(result.files.values()))}")
    for name, size in result.files.items():
        print(f"  {name:<28} {format_bytes(size)}")
    print(result.rescoring.sentence())
    for tool, command in result.uses.items():
        print(f"with {tool}: {command}")
