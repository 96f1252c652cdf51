"""`sartor check`."""

import argparse
from dataclasses import asdict
from pathlib import Path

from sartor.base.configuration import build, load_yaml
from sartor.base.errors import QualityError, UsageError
from sartor.cli.options import add_common, add_settings, settings_from
from sartor.cli.output import print_json
from sartor.recipes.check import CheckConfig, CheckReport, Finding
from sartor.recipes.check import run as check
from sartor.recipes.finetune import FinetuneConfig
from sartor.recipes.supervised import SupervisedConfig


def add_options(parser: argparse.ArgumentParser) -> None:
    add_settings(parser, CheckConfig, positional=("data",))
    parser.add_argument("--remote-model", metavar="NAME", help="DATA is a service's base URL: check how it serves this")
    parser.add_argument("--key-env", metavar="NAME", help="environment variable with the service's key")
    add_common(parser, json=True, config=True)


def run(args: argparse.Namespace) -> None:
    if args.remote_model or args.key_env:
        check_remote(args)
        return
    report = check(*what_to_check(args))
    if args.json:
        print_json(report.as_dict())
    else:
        print(as_text(report))
    if report.failed:
        names = "; ".join(finding.check for finding in report.failed)
        raise QualityError(
            f"{len(report.failed)} of {len(report.findings)} checks failed: {names}",
            hint="do not trust a run with this model and these rows before this is understood",
        )


def check_remote(args: argparse.Namespace) -> None:
    """A service's silent faults. With --base, the prompt's tokens are counted as that model's template gives them."""
    from sartor.recipes.check_remote import check_remote

    url = getattr(args, "data", None) or ""
    given = [name for name in CheckConfig.model_fields if name not in ("data", "base") and hasattr(args, name)]
    if not args.remote_model or not url.startswith(("http://", "https://")) or given or args.config:
        what = f"--{given[0].replace('_', '-')} has no meaning for a service" if given else "no service is named"
        raise UsageError(
            what,
            hint="sartor check https://host/v1 --remote-model NAME [--key-env NAME] [--base MODEL]",
        )
    findings = check_remote(url, args.remote_model, args.key_env, getattr(args, "base", None))
    if args.json:
        print_json([asdict(finding) for finding in findings])
    else:
        marks = {True: "ok", False: "FAILED", None: "-"}
        for finding in findings:
            print(f"{marks[finding.passed]:<7}{finding.check}: {finding.what}")
    failed = [finding.check for finding in findings if finding.passed is False]
    if failed:
        raise QualityError(
            f"{len(failed)} of {len(findings)} checks failed: {'; '.join(failed)}",
            hint="what is measured through this service may not be what was asked",
        )


def what_to_check(args: argparse.Namespace) -> tuple[CheckConfig, Path | None]:
    """Rows with options, or a finished run with its own settings and what it has learnt."""
    folder = Path(getattr(args, "data", None) or "")
    if not (folder / "config.yaml").is_file():
        return settings_from(args, CheckConfig), None
    own = [name for name in SupervisedConfig.model_fields if name != "data" and hasattr(args, name)]
    if own or args.config is not None:
        given = "--config" if args.config is not None else "--" + own[0].replace("_", "-")
        raise UsageError(f"{given} is a setting of the run, which has its own", hint="check the run without it")
    trained = next((place for place in (folder / "adapter", folder / "model") if place.is_dir()), None)
    if trained is None:
        raise UsageError("this run has not finished", where=str(folder), hint="finish it, or check its rows instead")
    of_run = build(FinetuneConfig, load_yaml(folder / "config.yaml")).shared_settings()
    tokens = {"check_tokens": args.check_tokens} if hasattr(args, "check_tokens") else {}
    return CheckConfig(**of_run, **tokens), trained


def as_text(report: CheckReport) -> str:
    """The findings as a table."""
    width = max(len(finding.check) for finding in report.findings)
    lines = [f"{report.subject}; {len(report.rows)} rows, {report.tokens} tokens, float32", ""]
    lines += [f"{'':<7}{'compared':<{width}}  {'found':>8}  {'allowed':>8}  why"]
    return "\n".join(lines + [_line(finding, width) for finding in report.findings])


def _line(finding: Finding, width: int) -> str:
    if finding.difference is None:
        return f"{'-':<7}{finding.check:<{width}}  {'':>8}  {'':>8}  {finding.why}"
    verdict = "ok" if finding.passed else "FAILED"
    return (
        f"{verdict:<7}{finding.check:<{width}}  {_number(finding.difference):>8}  {_number(finding.tolerance):>8}  "
        f"{finding.why}"
    )


def _number(value: float) -> str:
    return f"{value:.0f}" if value == round(value, 0) and value < 1000 else f"{value:.1e}"
