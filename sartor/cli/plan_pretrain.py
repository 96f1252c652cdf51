"""`sartor plan pretrain`."""

import argparse

from sartor.base.console import format_seconds
from sartor.cli.options import add_common, add_settings, settings_from
from sartor.cli.output import print_json
from sartor.recipes.scaling_plan import Candidate, ScalingConfig, ScalingPlan


def add_options(parser: argparse.ArgumentParser) -> None:
    add_settings(parser, ScalingConfig, positional=("data",))
    add_common(parser, json=True, config=True)


def run(args: argparse.Namespace) -> None:
    from sartor.recipes.scaling_plan import run as plan

    config = settings_from(args, ScalingConfig)
    found = plan(config)
    if args.json:
        print_json(found.as_dict())
        return
    print(as_text(found))
    best = next(each for each in found.candidates if each.preset == found.best)
    texts = " ".join(config.data) or "TEXTS"
    print(f"to do it: sartor pretrain {texts} --preset {best.preset} --tokens {best.tokens} --out runs/{best.preset}")


def as_text(plan: ScalingPlan) -> str:
    lines = [f"{'size':<6} {'tokens':>16} {'a weight':>9} {'times read':>10} {'time':>14}  expected loss"]
    lines += [_line(each, plan) for each in plan.candidates]
    lines.append(f"losses are {plan.unit}; law {plan.law}; speed {plan.speed}")
    if plan.ties:
        lines.append(f"cannot be told apart from {plan.best}: {', '.join(plan.ties)}")
    return "\n".join(lines)


def _line(each: Candidate, plan: ScalingPlan) -> str:
    between = "" if each.low is None or each.high is None else f" [{each.low:.3f}, {each.high:.3f}]"
    read = "" if each.epochs is None else f"{each.epochs:.2f}"
    mark = "  <- best" if each.preset == plan.best else ""
    return (
        f"{each.preset:<6} {each.tokens:>16,} {each.tokens / each.weights:>9.1f} {read:>10} "
        f"{format_seconds(each.hours * 3600):>14}  {each.loss:.3f}{between}{mark}"
    )
