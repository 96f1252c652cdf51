"""Supervised fine-tuning: rows in, an adapter out.

Read the rows, render them as the model will be asked, certify what will be learnt, train with the best held-out loss
kept, write the adapter in PEFT's layout.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field

from sartor.base.configuration import Config


class FinetuneConfig(Config):
    """Settings of `sartor finetune`."""

    data: str = Field(description="rows to learn from: JSONL, JSON, CSV or Parquet (also .gz, .zst)")
    out: str = Field(description="run folder to write; the same command again resumes it")
    base: str = Field("starter", description="model to start from: starter, a Hub id or a local folder")
    dev: str | None = Field(None, description="held-out rows; without it a share of the rows is held out by hash")
    format: str | None = Field(None, description="name of the rows' format, where it is not the one detected")
    on_bad_row: Literal["stop", "skip"] = Field("stop", description="stop at a row that cannot be used, or skip it")
    adapter: Literal["lora"] = Field("lora", description="what is trained: a low-rank adapter on all linear layers")
    lora_rank: int = Field(16, ge=1, description="rank of the adapter")
    lora_alpha: float = Field(32.0, gt=0, description="the adapter's branch is scaled by alpha / rank")
    lora_dropout: float = Field(0.0, ge=0, lt=1, description="dropout in front of the adapter's branch")
    lora_targets: list[str] = Field([], description="names of linear layers to adapt (default: all but the head)")
    learning_rate: float = Field(1e-3, gt=0, description="peak rate; LoRA takes about 10 times full training's")
    schedule: Literal["cosine", "linear", "constant"] = Field("cosine", description="how the rate falls")
    warmup_share: float = Field(0.05, ge=0, lt=1, description="share of the steps in which the rate rises")
    weight_decay: float = Field(0.0, ge=0, description="AdamW's decoupled weight decay")
    clip_norm: float = Field(1.0, gt=0, description="bound of the gradient's norm")
    batch_rows: int = Field(16, ge=1, description="rows per optimizer step")
    micro_batch_tokens: int = Field(2048, ge=64, description="tokens computed at once: lower it to save memory")
    max_row_tokens: int = Field(2048, ge=8, description="longer rows (than this or the model's own limit) are left out")
    epochs: float = Field(3.0, gt=0, description="how often every row is seen")
    max_minutes: float | None = Field(None, gt=0, description="train fewer steps where this would take longer")
    evaluations: int = Field(8, ge=1, description="how often the held-out loss is measured")
    patience: int | None = Field(3, ge=1, description="stop after so many evaluations without a better one")
    seed: int = Field(0, ge=0, description="of the adapter's start, the order of rows and dropout")


@dataclass(frozen=True)
class FinetuneResult:
    """What a run came to; losses are mean cross-entropy in nats a trained token."""

    out: Path
    adapter: Path
    steps: int
    best_step: int
    dev_loss_before: float
    dev_loss: float
    train_loss: float
    stopped_early: bool
    seconds: float


RESULT_FILE = "result.json"


def run(config: FinetuneConfig) -> FinetuneResult:
    """Fine-tune as configured. A finished run is returned as it is, an interrupted one goes on."""
    from torch import nn

    from sartor.adapters.lora import LoraSettings, add_lora
    from sartor.adapters.store import adapter_files
    from sartor.base.console import format_seconds, say
    from sartor.base.seeds import seed_everything
    from sartor.data.batches import BatchSource
    from sartor.data.chat import ChatFormat
    from sartor.models.hub import context_tokens, lasting_name, load_tokenizer, resolve
    from sartor.recipes.training import (
        check_run,
        keep_rejects,
        load_base,
        model_card,
        open_run,
        plan_steps,
        read_conversations,
        render_rows,
        supervised_loss,
    )
    from sartor.train.checkpoint import Checkpoints
    from sartor.train.likelihood import mean_loss
    from sartor.train.loop import LoopSettings, fit

    check_run(config, config.out)
    if (Path(config.out) / RESULT_FILE).is_file():
        say(f"{config.out} is finished already")
        return _stored_result(Path(config.out))
    train, dev, bad_rows = read_conversations(config)
    base = resolve(config.base)
    chat = ChatFormat(load_tokenizer(base))
    longest = min(config.max_row_tokens, context_tokens(base))
    train_rows, dev_rows, certificate = render_rows(train, dev, chat, longest, config)
    model = load_base(base)
    seed_everything(config.seed)
    lora = LoraSettings(config.lora_rank, config.lora_alpha, config.lora_dropout, targets=tuple(config.lora_targets))
    add_lora(model, lora)

    with open_run(config, config.out) as folder:
        keep_rejects(bad_rows, folder)
        folder.write_json("certificate.json", certificate.as_dict())
        source = BatchSource(train_rows, config.batch_rows, config.micro_batch_tokens, config.seed)

        def evaluate(model: nn.Module) -> dict[str, float]:
            return {"dev_loss": mean_loss(model, dev_rows, config.micro_batch_tokens)}

        plan = plan_steps(folder, model, source, evaluate, config)
        say(
            f"{plan.num_steps} steps of up to {config.batch_rows} rows, about {format_seconds(plan.seconds)}; "
            f"held-out loss before: {plan.dev_loss:.3f}"
        )
        settings = LoopSettings(
            plan.num_steps,
            config.learning_rate,
            round(config.warmup_share * plan.num_steps),
            config.schedule,
            config.weight_decay,
            config.clip_norm,
            plan.evaluate_every,
            plan.evaluate_every,
            config.patience,
            config.seed,
        )
        checkpoints = Checkpoints(folder)
        fitted = fit(model, source, supervised_loss, settings, evaluate, checkpoints)
        checkpoints.close()

        folder.write_folder("adapter", adapter_files(model, lora, lasting_name(config.base)))
        result = FinetuneResult(
            folder.path,
            folder.path / "adapter",
            fitted.steps,
            fitted.best_step,
            plan.dev_loss,
            fitted.best["dev_loss"],
            fitted.train_loss,
            fitted.stopped_early,
            fitted.seconds,
        )
        folder.write_text("README.md", model_card(config, result, len(train_rows), len(dev_rows)))
        folder.write_json(
            RESULT_FILE, {name: value for name, value in vars(result).items() if name not in ("out", "adapter")}
        )
        return result


def _stored_result(path: Path) -> FinetuneResult:
    return FinetuneResult(out=path, adapter=path / "adapter", **json.loads((path / RESULT_FILE).read_text()))
