"""Supervised fine-tuning: rows in, an adapter (or, with `adapter: none`, a whole model) out.

Read the rows, render them as the model will be asked, certify what will be learnt, train with the best held-out
weights kept, write them in PEFT's or the Hub's layout.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from sartor.base.distributed import process_group
from sartor.base.sinks import SinkName, feeding, require_sinks
from sartor.recipes.supervised import SupervisedConfig


class FinetuneConfig(SupervisedConfig):
    """Settings of `sartor finetune`."""

    out: str = Field(description="run folder to write; the same command again resumes it")
    sinks: list[SinkName] = Field([], description="also hand the metrics to: tensorboard, mlflow, wandb, trackio")


@dataclass(frozen=True)
class FinetuneResult:
    """What a run came to; losses are mean cross-entropy in nats a trained token."""

    out: Path
    trained: Path
    steps: int
    best_step: int
    dev_loss_before: float
    dev_loss: float
    train_loss: float
    stopped_early: bool
    seconds: float


RESULT_FILE = "result.json"


@process_group()
def run(config: FinetuneConfig) -> FinetuneResult:
    """Fine-tune as configured. A finished run is returned as it is, an interrupted one goes on."""
    from sartor.base.console import format_seconds, say
    from sartor.base.distributed import is_main
    from sartor.base.run_folder import RunFolder
    from sartor.models.hub import lasting_name
    from sartor.recipes.planning import plan_steps
    from sartor.recipes.runs import forget_failure
    from sartor.recipes.training import (
        check_run,
        complete_model,
        held_out_measures,
        keep_rejects,
        loop_settings,
        model_card,
        open_run,
        prepare,
        supervised_loss,
        trainable_model,
        trained_files,
    )
    from sartor.train.checkpoint import Checkpoints
    from sartor.train.loop import fit
    from sartor.train.parallel import whole_model
    from sartor.train.run_report import REPORT, write_run_report

    check_run(config, config.out)
    if (Path(config.out) / RESULT_FILE).is_file():
        say(f"{config.out} is finished already")
        if is_main():
            forget_failure(Path(config.out))
            if not (Path(config.out) / REPORT).is_file():  # stopped just before it
                with RunFolder.open(config.out) as folder:
                    write_run_report(folder)
        return _stored_result(Path(config.out))
    require_sinks(config.sinks)
    prepared = prepare(config)
    model = trainable_model(config, prepared.base)

    with open_run(config, config.out) as folder:
        keep_rejects(prepared.bad_rows, folder)
        folder.write_json("certificate.json", prepared.certificate.as_dict())
        source = prepared.source(config)
        evaluate = held_out_measures(config, prepared)
        plan = plan_steps(folder, model, source, supervised_loss, evaluate, config)
        say(
            f"{plan.num_steps} steps of up to {config.batch_rows} rows, about {format_seconds(plan.seconds)}; "
            f"held-out loss before: {plan.dev_loss:.3f}"
        )
        with feeding(config.sinks if is_main() else [], folder, config.model_dump()):
            checkpoints = Checkpoints(folder)
            fitted = fit(model, source, supervised_loss, loop_settings(config, plan), evaluate, checkpoints)
            checkpoints.close()

        model = whole_model(model, lambda: complete_model(config, prepared.base))
        name, files = trained_files(config, model, prepared.base, lasting_name(config.base))
        folder.write_folder(name, files)
        result = FinetuneResult(
            folder.path,
            folder.path / name,
            fitted.steps,
            fitted.best_step,
            plan.dev_loss,
            fitted.best["dev_loss"],
            fitted.train_loss,
            fitted.stopped_early,
            fitted.seconds,
        )
        folder.write_text("README.md", model_card(config, result, len(prepared.train_rows), len(prepared.dev_rows)))
        folder.write_json(
            RESULT_FILE, {name: value for name, value in vars(result).items() if name not in ("out", "trained")}
        )
        if is_main():
            write_run_report(folder)
        return result


def _stored_result(path: Path) -> FinetuneResult:
    trained = next(folder for folder in (path / "adapter", path / "model") if folder.is_dir())
    return FinetuneResult(out=path, trained=trained, **json.loads((path / RESULT_FILE).read_text()))
