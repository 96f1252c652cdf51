"""Pre-training: running text in, a whole model out, new or going on from one that is there.

Texts become tokens once and lie in the run folder; length of the run, batch and rate are derived from the model's size
and the text there is, told with their sources, and kept. Then the one training loop.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from sartor.base.distributed import process_group
from sartor.base.sinks import SinkName
from sartor.recipes.pretrain_settings import PretrainSettings

if TYPE_CHECKING:
    from torch import nn


class PretrainConfig(PretrainSettings):
    """Settings of `sartor pretrain`."""

    out: str = Field(description="run folder to write; the same command again resumes it")
    sinks: list[SinkName] = Field([], description="also hand the metrics to: tensorboard, mlflow, wandb, trackio")


@dataclass(frozen=True)
class PretrainResult:
    """What a run came to. Losses in nats a token; `bits_per_byte` of held-out text before and after."""

    out: Path
    trained: Path
    steps: int
    best_step: int
    tokens: int
    dev_loss_before: float
    dev_loss: float
    bits_per_byte_before: float
    bits_per_byte: float
    train_loss: float
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        return {name: str(value) if isinstance(value, Path) else value for name, value in vars(self).items()}


@process_group()
def run(config: PretrainConfig) -> PretrainResult:
    """Pre-train as configured. A finished run is returned as it is, an interrupted one goes on."""
    from sartor.base.console import format_seconds, say
    from sartor.base.distributed import is_main
    from sartor.base.sinks import feeding, require_sinks
    from sartor.data.chat import ChatFormat
    from sartor.models.export import model_files
    from sartor.models.hub import load_tokenizer
    from sartor.recipes.pretrain_course import decide_course, loop_settings
    from sartor.recipes.pretrain_model import Beginning
    from sartor.recipes.pretrain_report import model_card
    from sartor.recipes.pretrain_text import Text, given_sources
    from sartor.recipes.text_samples import keep_samples, sample_texts
    from sartor.recipes.training import RESULT_FILE, check_run, finished_result, open_run
    from sartor.train.checkpoint import Checkpoints
    from sartor.train.loop import fit
    from sartor.train.parallel import place, whole_model
    from sartor.train.run_report import write_run_report
    from sartor.train.running_text import running_text_loss

    check_run(config, config.out)
    if (known := finished_result(Path(config.out))) is not None:
        return PretrainResult(out=Path(config.out), trained=Path(config.out) / "model", **known)
    begun = time.monotonic()
    require_sinks(config.sinks)
    given_sources(config.data)  # a wrong path is told before anything is written
    beginning = Beginning.of(config)

    with open_run(config, config.out) as folder:
        tokenizer = beginning.tokenizer(folder)
        text = Text.of(config, folder, tokenizer, beginning.window_tokens)
        chat = ChatFormat(load_tokenizer(tokenizer))
        model = place(beginning.model(tokenizer), config.parallel)
        loss_of, held_out = running_text_loss(config.z_loss), text.held_out(chat.tokenizer)

        def evaluate(trained: "nn.Module") -> dict[str, float]:
            texts = sample_texts(
                trained, chat, config.sample_prompts, config.sample_tokens, beginning.window_tokens, config.seed
            )
            keep_samples(folder, text.steps_asked, texts)
            return held_out(trained)

        plan = decide_course(config, folder, beginning, text, model, loss_of, evaluate, begun)
        text.certify(folder, plan.course, chat)
        source = text.source(plan.course)
        say(
            f"{plan.course.num_steps:,} steps, about {format_seconds(plan.seconds)}; held-out text before: "
            f"{plan.before['dev_bits_per_byte']:.3f} bits a byte"
        )
        with feeding(config.sinks if is_main() else [], folder, config.model_dump()):
            checkpoints = Checkpoints(folder)
            fitted = fit(model, source, loss_of, loop_settings(config, plan), evaluate, checkpoints)
            checkpoints.close()

        model = whole_model(model, lambda: beginning.model(tokenizer))
        folder.write_folder("model", model_files(model, tokenizer) if is_main() else {})
        result = PretrainResult(
            folder.path,
            folder.path / "model",
            fitted.steps,
            fitted.best_step,
            plan.course.tokens,
            plan.before["dev_loss"],
            fitted.best["dev_loss"],
            plan.before["dev_bits_per_byte"],
            fitted.best["dev_bits_per_byte"],
            fitted.train_loss,
            fitted.seconds,
        )
        folder.write_text("README.md", model_card(config, beginning, text, result))
        told = {name: value for name, value in result.as_dict().items() if name not in ("out", "trained")}
        folder.write_json(RESULT_FILE, told)
        if is_main():
            write_run_report(folder)
        return result
