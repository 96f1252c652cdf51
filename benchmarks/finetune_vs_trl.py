"""LoRA fine-tuning: Sartor against TRL + PEFT. Same model, rows, order, token masks, first weights, batch, precision.

    python -m benchmarks.finetune_vs_trl [--steps 4] [--rows 8] [--base starter]

Rows are GSM8K's train split (`SARTOR_DATA/raw/gsm8k`). Each side runs in a process of its own; the first step
warms up and is not timed. Tokens are those of the rows, without padding. Peak memory is the process's peak resident
set. Losses are compared step by step.
"""

import argparse
import gzip
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

RANK, ALPHA, LEARNING_RATE, CLIP_NORM = 16, 32.0, 2e-4, 1.0


def read_rows(count: int) -> list[dict[str, str]]:
    data = Path(os.environ.get("SARTOR_DATA", Path(__file__).parents[2] / "shared" / "data"))
    with gzip.open(data / "raw" / "gsm8k" / "train.jsonl.gz", "rt") as stream:
        return [json.loads(next(stream)) for _ in range(count)]


def prepare(base: str, count: int, folder: Path) -> None:
    """Render the rows and make the first adapter, once for both sides."""
    import torch

    from sartor.adapters.lora import LoraSettings, add_lora
    from sartor.adapters.store import adapter_files
    from sartor.data.chat import ChatFormat
    from sartor.models.hub import load_model, load_tokenizer, resolve

    chat = ChatFormat(load_tokenizer(resolve(base)))
    rendered = []
    for row in read_rows(count):
        messages = [{"role": "user", "content": row["question"]}, {"role": "assistant", "content": row["answer"]}]
        rendered += chat.render(messages)  # type: ignore[arg-type]
    rows = [{"input_ids": row.ids, "completion_mask": [int(each) for each in row.trained]} for row in rendered]
    (folder / "rows.json").write_text(json.dumps(rows))
    torch.manual_seed(0)
    model = load_model(resolve(base), torch.bfloat16)
    settings = LoraSettings(RANK, ALPHA)
    add_lora(model, settings)
    for name, content in adapter_files(model, settings, str(resolve(base))).items():
        (folder / name).write_bytes(content)


def run_sartor(base: str, batch: int, steps: int, folder: Path) -> dict[str, Any]:
    import torch

    from sartor.adapters.store import load_adapter
    from sartor.base.device import peak_rss_bytes
    from sartor.data.chat import Rendered
    from sartor.data.packing import pack
    from sartor.models.attention import IMPLEMENTATION, register
    from sartor.models.hub import load_model, resolve
    from sartor.recipes.training import supervised_loss
    from sartor.train.loop import LoopSettings, fit

    rows = [
        Rendered(row["input_ids"], [bool(each) for each in row["completion_mask"]])
        for row in json.loads((folder / "rows.json").read_text())
    ]
    register()
    model = load_model(resolve(base), torch.bfloat16, IMPLEMENTATION)
    load_adapter(model, folder)
    marks: list[float] = []

    class Source:
        def step(self, step: int) -> list[Any]:
            marks.append(time.perf_counter())
            return [pack(rows[step * batch : (step + 1) * batch])]

    settings = LoopSettings(steps, LEARNING_RATE, schedule="constant", clip_norm=CLIP_NORM)
    result = fit(model, Source(), supervised_loss, settings)
    marks.append(time.perf_counter())
    tokens = sum(len(row.ids) for row in rows[batch : steps * batch])
    return {
        "tokens_per_second": tokens / (marks[-1] - marks[1]),
        "peak_gb": peak_rss_bytes() / 1e9,
        "losses": [record["loss"] for record in result.history],
    }


def run_trl(base: str, batch: int, steps: int, folder: Path) -> dict[str, Any]:
    import torch
    from datasets import Dataset
    from peft import PeftModel
    from torch.utils.data import SequentialSampler
    from transformers import AutoModelForCausalLM, TrainerCallback
    from trl import SFTConfig, SFTTrainer

    from sartor.base.device import peak_rss_bytes
    from sartor.models.hub import load_tokenizer, resolve

    rows = json.loads((folder / "rows.json").read_text())
    model = AutoModelForCausalLM.from_pretrained(resolve(base), dtype=torch.bfloat16)
    model = PeftModel.from_pretrained(model, folder, is_trainable=True)
    marks: list[float] = []

    class InOrder(SFTTrainer):  # type: ignore[misc]
        def _get_train_sampler(self, *args: Any, **settings: Any) -> SequentialSampler:
            return SequentialSampler(self.train_dataset)

    class Marks(TrainerCallback):  # type: ignore[misc]
        def on_step_begin(self, *args: Any, **settings: Any) -> None:
            marks.append(time.perf_counter())

    config = SFTConfig(
        output_dir=str(folder / "trl"),
        per_device_train_batch_size=batch,
        max_steps=steps,
        learning_rate=LEARNING_RATE,
        lr_scheduler_type="constant",
        warmup_steps=0,
        weight_decay=0.0,
        max_grad_norm=CLIP_NORM,
        optim="adamw_torch",
        bf16=True,
        use_cpu=not torch.cuda.is_available(),
        gradient_checkpointing=False,
        logging_steps=1,
        save_strategy="no",
        report_to=[],
        dataloader_drop_last=True,
        completion_only_loss=True,
        disable_tqdm=True,
    )
    trainer = InOrder(
        model=model,
        args=config,
        train_dataset=Dataset.from_list(rows),
        callbacks=[Marks()],
        processing_class=load_tokenizer(resolve(base)),
    )
    trainer.train()
    marks.append(time.perf_counter())
    tokens = sum(len(row["input_ids"]) for row in rows[batch : steps * batch])
    losses = [record["loss"] for record in trainer.state.log_history if "loss" in record]
    return {"tokens_per_second": tokens / (marks[-1] - marks[1]), "peak_gb": peak_rss_bytes() / 1e9, "losses": losses}


def measure(side: str, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Run one side in a process of its own."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.finetune_vs_trl",
        "--side",
        side,
        "--folder",
        str(folder),
        "--steps",
        str(options.steps),
        "--rows",
        str(options.rows),
        "--base",
        options.base,
    ]
    environment = os.environ | {
        "TRL_EXPERIMENTAL_SILENCE": "1",
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
    finished = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment, check=True)
    found: dict[str, Any] = json.loads(finished.stdout.strip().splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=4, help="optimizer steps, the first not timed")
    parser.add_argument("--rows", type=int, default=8, help="rows a step")
    parser.add_argument("--base", default="starter")
    parser.add_argument("--side", choices=("sartor", "trl"))
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    if options.side:
        run = {"sartor": run_sartor, "trl": run_trl}[options.side]
        print(json.dumps(run(options.base, options.rows, options.steps, options.folder)))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(options.base, options.rows * options.steps, folder)
        found = {side: measure(side, options, folder) for side in ("sartor", "trl")}
    for side, figures in found.items():
        losses = ", ".join(f"{loss:.4f}" for loss in figures["losses"])
        print(
            f"{side:<7} {figures['tokens_per_second']:7.1f} tok/s  {figures['peak_gb']:6.2f} GB peak  losses {losses}"
        )
    ours, theirs = found["sartor"], found["trl"]
    worst = max(abs(a - b) / b for a, b in zip(ours["losses"], theirs["losses"], strict=True))
    print(
        f"ratio   {ours['tokens_per_second'] / theirs['tokens_per_second']:.2f}x tokens/s, "
        f"{ours['peak_gb'] / theirs['peak_gb']:.2f}x memory, losses differ by at most {worst:.2%}"
    )


if __name__ == "__main__":
    main()
