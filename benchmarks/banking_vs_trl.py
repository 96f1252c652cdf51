"""1,000 banking rows to a converged adapter: minutes, memory, held-out loss and accuracy, Sartor against TRL + PEFT.

    python -m benchmarks.banking_vs_trl [--trl-epochs 1] [--epochs 5] [--adapters lora qlora]

Both sides train a LoRA adapter of rank 16 on the same rows in the same order, 16 a step, constant rate 5e-4, AdamW,
bfloat16, from the same first weights; so after as many steps they have the same loss, and the time to it is what is
compared. Sartor goes on until its held-out loss no longer falls. Accuracy is of greedy answers to the task's 400 test
questions, answered by the same engine for both. Each side trains in a process of its own. Data: SARTOR_DATA.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.finetune_vs_trl import data_folder, last_line

TRAIN_ROWS, DEV_ROWS, ROWS_A_STEP, LEARNING_RATE = 1000, 100, 16, 5e-4
INSTRUCTION = "Name the intent of the customer's message. Answer with the intent's name only."


def write_rows(folder: Path) -> None:
    lines = (data_folder() / "tasks" / "banking" / "train.jsonl").read_text().splitlines()
    system = {"role": "system", "content": INSTRUCTION}
    rows = []
    for row in map(json.loads, lines[: TRAIN_ROWS + DEV_ROWS]):
        asked = {"role": "user", "content": row["question"]}
        rows.append(json.dumps({"messages": [system, asked, {"role": "assistant", "content": row["answer"]}]}) + "\n")
    (folder / "train.jsonl").write_text("".join(rows[:TRAIN_ROWS]))
    (folder / "dev.jsonl").write_text("".join(rows[TRAIN_ROWS:]))


def config(folder: Path, out: Path, epochs: float, adapter: str = "lora") -> Any:
    from sartor.recipes.finetune import FinetuneConfig

    return FinetuneConfig(
        data=str(folder / "train.jsonl"),
        dev=str(folder / "dev.jsonl"),
        out=str(out),
        adapter=adapter,
        learning_rate=LEARNING_RATE,
        schedule="constant",
        warmup_share=0.0,
        batch_rows=ROWS_A_STEP,
        epochs=epochs,
        evaluations=max(1, round(2 * epochs)),
        patience=2,
    )


def run_sartor(folder: Path, out: Path, epochs: float, adapter: str) -> dict[str, Any]:
    from sartor.base.device import peak_rss_bytes
    from sartor.recipes.finetune import run

    started = time.perf_counter()
    result = run(config(folder, out, epochs, adapter))
    return {
        "minutes": (time.perf_counter() - started) / 60,
        "steps": result.steps,
        "peak_gb": peak_rss_bytes() / 1e9,
        "trained": str(result.trained),
    }


def run_trl(folder: Path, out: Path, epochs: float) -> dict[str, Any]:
    """The rows in the order of Sartor's own batches, the adapter from the weights that Sartor starts with."""
    import torch
    from peft import get_peft_model
    from transformers import AutoModelForCausalLM

    from benchmarks.trl_peer import adapter_config, start_from, trainer
    from sartor.adapters.lora import lora_layers
    from sartor.adapters.store import adapter_tensors
    from sartor.base.device import peak_rss_bytes
    from sartor.models.hub import load_tokenizer
    from sartor.recipes.examples import prepare
    from sartor.recipes.training import trainable_model

    settings = config(folder, out, epochs)
    prepared = prepare(settings)
    source = prepared.source(settings)
    steps = round(epochs * source.steps_per_epoch)
    rows = [row for step in range(steps) for row in source.rows_of(step)]
    first = adapter_tensors(lora_layers(trainable_model(settings, prepared.base)))
    started = time.perf_counter()
    base = AutoModelForCausalLM.from_pretrained(prepared.base, dtype=torch.bfloat16)
    model = get_peft_model(base, adapter_config(settings.lora_rank, settings.lora_alpha))
    start_from(model, first)

    settings_of_trl = {
        "per_device_train_batch_size": ROWS_A_STEP,
        "max_steps": steps,
        "learning_rate": LEARNING_RATE,
        "logging_steps": 10,
    }
    data = [{"input_ids": row.ids, "completion_mask": [int(each) for each in row.trained]} for row in rows]
    trainer(model, data, load_tokenizer(prepared.base), out / "trl", settings_of_trl).train()
    minutes = (time.perf_counter() - started) / 60
    peak_gb = peak_rss_bytes() / 1e9
    model.save_pretrained(out / "adapter")
    return {"minutes": minutes, "steps": steps, "peak_gb": peak_gb, "trained": str(out / "adapter")}


def judge(trained: Path, folder: Path) -> dict[str, float]:
    """Held-out loss, and accuracy with its interval, of an adapter folder."""
    from sartor.data.task import Task
    from sartor.evaluation.runner import answer_rows
    from sartor.evaluation.statistics import mean_interval
    from sartor.generation.local import LocalModel
    from sartor.generation.prompted import Prompted
    from sartor.generation.protocol import Sampling
    from sartor.models.hub import locate
    from sartor.recipes.examples import prepare
    from sartor.train.likelihood import mean_loss

    model = LocalModel.open(locate(trained))
    rows = prepare(config(folder, folder / "unused", 1)).dev_rows
    task = Task.load(data_folder() / "tasks" / "banking")
    answers = answer_rows(Prompted(model, INSTRUCTION), task.test, task.scorer, Sampling(max_new_tokens=32), "asking")
    accuracy = mean_interval([answer.score or 0.0 for answer in answers])
    loss = mean_loss(model.model, rows, 2048)
    return {"loss": loss, "accuracy": accuracy.mean, "low": accuracy.low, "high": accuracy.high}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trl-epochs", type=float, default=1.0)
    parser.add_argument("--epochs", type=float, default=5.0, help="at most, of Sartor's converged run")
    parser.add_argument("--adapters", nargs="+", default=["lora"], choices=("lora", "qlora"))
    parser.add_argument("--side", choices=("sartor", "trl", "judge"))
    parser.add_argument("--adapter", default="lora")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.side == "judge":
        print(json.dumps(judge(options.out, options.folder)))
    elif options.side == "trl":
        print(json.dumps(run_trl(options.folder, options.out, options.epochs)))
    elif options.side == "sartor":
        print(json.dumps(run_sartor(options.folder, options.out, options.epochs, options.adapter)))
    else:
        compare(options)


def compare(options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_rows(folder)
        runs = [(f"Sartor, {adapter}", "sartor", adapter, options.epochs) for adapter in options.adapters]
        runs += [("Sartor, lora", "sartor", "lora", options.trl_epochs)] if options.trl_epochs else []
        runs += [("TRL + PEFT, lora", "trl", "lora", options.trl_epochs)] if options.trl_epochs else []
        print("| run | steps | minutes | peak memory | held-out loss | accuracy |\n|---|---|---|---|---|---|")
        for number, (label, side, adapter, epochs) in enumerate(runs):
            out = folder / f"run-{number}"
            made = child(side, "--epochs", str(epochs), "--adapter", adapter, "--folder", name, "--out", str(out))
            found = child("judge", "--folder", name, "--out", made["trained"])
            print(
                f"| {label} | {made['steps']} | {made['minutes']:.1f} | {made['peak_gb']:.2f} GB | {found['loss']:.3f} "
                f"| {found['accuracy']:.3f} [{found['low']:.3f}, {found['high']:.3f}] |",
                flush=True,
            )


def child(side: str, *arguments: str) -> dict[str, Any]:
    return last_line([sys.executable, "-m", "benchmarks.banking_vs_trl", "--side", side, *arguments])


if __name__ == "__main__":
    main()
