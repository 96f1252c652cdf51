"""Fine-tuning: Sartor against TRL + PEFT. Same model, rows, order, token masks, first weights, batch, precision.

    python -m benchmarks.finetune_vs_trl [--rows gsm8k|long|banking] [--full] [--steps 4] [--base starter]
    python -m benchmarks.finetune_vs_trl --peer litgpt [--peer-micro-batch 1]   # needs litgpt

`gsm8k`: train rows of GSM8K, 8 a step. `long`: conversations of GSM8K questions of up to 2,048 tokens, 2 a step.
`banking`: customers' messages and their intents, 32 a step. `--full` trains every weight (float32 master weights,
bfloat16 products on both sides: TRL by autocast) instead of a LoRA adapter of rank 16. `--peer litgpt` takes LitGPT's
LoRA recipe in its default precision instead: bfloat16 throughout, the adapter too. It computes rows of
`--peer-micro-batch` at once; below a step's rows its loss is a mean of means, and only speed and memory are compared.

Data: SARTOR_DATA. Each side runs in a process of its own; the first step warms up and is not timed. Tokens are those of
the rows, without padding. Peak memory is the process's peak resident set. Losses are compared step by step. The share
of the matrix-product peak is what the model's products need (frozen weights: two passes, trained ones: three; the
head on trained positions; causal attention) by the time taken, over the fastest bfloat16 product of this machine.
"""

import argparse
import gzip
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

RANK, ALPHA, CLIP_NORM = 16, 32.0, 1.0  # the norm as in trl_peer
LEARNING_RATES = {False: 2e-4, True: 2e-5}  # an adapter's; full training's
ROWS_A_STEP = {"gsm8k": 8, "long": 2, "banking": 32}
LONG_ROW_TOKENS = 2048
MICRO_BATCH_TOKENS = 2048  # what `sartor finetune` computes at once unless told otherwise


def data_folder() -> Path:
    return Path(os.environ.get("SARTOR_DATA", Path(__file__).parents[2] / "shared" / "data"))


def gsm8k_rows() -> list[dict[str, str]]:
    """GSM8K's train split: question and answer."""
    with gzip.open(data_folder() / "raw" / "gsm8k" / "train.jsonl.gz", "rt") as stream:
        return [json.loads(line) for line in stream]


def gsm8k() -> list[list[dict[str, str]]]:
    return [turns(row["question"], row["answer"]) for row in gsm8k_rows()]


def turns(question: str, answer: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]


def banking() -> list[list[dict[str, str]]]:
    lines = (data_folder() / "tasks" / "banking" / "train.jsonl").read_text().splitlines()
    system = {"role": "system", "content": "Name the intent of the customer's message. Answer with the name only."}
    return [[system, *turns(row["question"], row["answer"])] for row in map(json.loads, lines)]


def conversations(kind: str, chat: Any, count: int) -> list[list[dict[str, str]]]:
    if kind == "banking":
        return banking()[:count]
    if kind == "gsm8k":
        return gsm8k()[:count]
    found: list[list[dict[str, str]]] = [[]]
    for pair in gsm8k():
        longer = found[-1] + pair
        if len(chat.render(longer)[0].ids) > LONG_ROW_TOKENS:
            if len(found) == count:
                break
            found.append([])
            longer = pair
        found[-1] = longer
    return found


def prepare(options: argparse.Namespace, folder: Path) -> None:
    """Render the rows and make the first adapter, once for both sides."""
    from sartor.data.chat import ChatFormat
    from sartor.models.hub import load_tokenizer, resolve

    base = resolve(options.base)
    chat = ChatFormat(load_tokenizer(base))
    count = ROWS_A_STEP[options.rows] * options.steps
    rendered = [row for turns in conversations(options.rows, chat, count) for row in chat.render(turns)]  # type: ignore[arg-type]
    rows = [{"input_ids": row.ids, "completion_mask": [int(each) for each in row.trained]} for row in rendered]
    (folder / "rows.json").write_text(json.dumps(rows))
    write_adapter(base, folder)


def write_adapter(base: Path, folder: Path) -> None:
    """Write the adapter that both sides begin with."""
    import torch

    from sartor.adapters.lora import LoraSettings, add_lora
    from sartor.adapters.store import adapter_files
    from sartor.models.hub import load_model

    torch.manual_seed(0)
    model = load_model(base, torch.bfloat16)
    settings = LoraSettings(RANK, ALPHA)
    add_lora(model, settings)
    for name, content in adapter_files(model, settings, str(base)).items():
        (folder / name).write_bytes(content)


def run_sartor(options: argparse.Namespace) -> dict[str, Any]:
    import torch

    from sartor.adapters.store import load_adapter
    from sartor.base.device import peak_rss_bytes
    from sartor.data.batches import micro_batches
    from sartor.data.chat import Rendered
    from sartor.models.forward import load_packed
    from sartor.models.hub import resolve
    from sartor.recipes.examples import supervised_loss
    from sartor.train.loop import LoopSettings, fit

    folder, batch = options.folder, ROWS_A_STEP[options.rows]
    rows = [
        Rendered(row["input_ids"], [bool(each) for each in row["completion_mask"]])
        for row in json.loads((folder / "rows.json").read_text())
    ]
    model = load_packed(resolve(options.base), torch.bfloat16)
    if options.full:
        model.requires_grad_(True)
    else:
        load_adapter(model, folder)
    marks: list[float] = []
    batches = [
        micro_batches(rows[step * batch : (step + 1) * batch], MICRO_BATCH_TOKENS) for step in range(options.steps)
    ]

    class Source:
        def step(self, step: int) -> list[Any]:
            marks.append(time.perf_counter())
            return batches[step]

    settings = LoopSettings(
        options.steps, LEARNING_RATES[options.full], schedule="constant", clip_norm=CLIP_NORM, evaluate_every=10**6
    )
    result = fit(model, Source(), supervised_loss, settings)
    marks.append(time.perf_counter())
    seconds = marks[-1] - marks[1]
    tokens = sum(len(row.ids) for row in rows[batch : options.steps * batch])
    peak_gb = peak_rss_bytes() / 1e9
    operations = sum(step_operations(model, batch) for step in batches[1:] for batch in step)
    return {
        "tokens_per_second": tokens / seconds,
        "peak_gb": peak_gb,
        "losses": [record["loss"] for record in result.history],
        "share_of_peak": operations / seconds / matrix_product_peak(),
    }


def step_operations(model: Any, batch: Any) -> float:
    """Multiplications and additions that a step's matrix products need, forward and backward."""
    config, head = model.config, model.get_output_embeddings().weight
    embeddings = {id(parameter) for parameter in (head, model.get_input_embeddings().weight)}
    matrices = [
        parameter for parameter in model.parameters() if parameter.ndim == 2 and id(parameter) not in embeddings
    ]
    passes = sum((6 if each.requires_grad else 4) * each.numel() for each in matrices)
    on_head = (6 if head.requires_grad else 4) * head.numel() * batch.num_trained
    lengths = [(span.end - span.start, sum(end - start for start, end in span.prefixes)) for span in batch.spans]
    pairs = sum(length * (length + 1) / 2 + length * before for length, before in lengths)
    width = config.num_attention_heads * getattr(config, "head_dim", config.hidden_size // config.num_attention_heads)
    return passes * len(batch.ids) + on_head + 12 * width * pairs * config.num_hidden_layers


def matrix_product_peak(seconds: float = 3.0) -> float:
    """Operations a second of the fastest of many bfloat16 products of 2,048 x 2,048."""
    import torch

    left, right = (torch.randn(2048, 2048).bfloat16() for _ in range(2))
    best, until = 1e9, time.perf_counter() + seconds
    while time.perf_counter() < until:
        started = time.perf_counter()
        torch.mm(left, right)
        best = min(best, time.perf_counter() - started)
    return 2 * 2048**3 / best


def run_trl(options: argparse.Namespace) -> dict[str, Any]:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, TrainerCallback

    from benchmarks.trl_peer import trainer
    from sartor.base.device import peak_rss_bytes
    from sartor.models.hub import load_tokenizer, resolve

    folder, batch, steps = options.folder, ROWS_A_STEP[options.rows], options.steps
    rows = json.loads((folder / "rows.json").read_text())
    dtype = torch.float32 if options.full else torch.bfloat16
    model = AutoModelForCausalLM.from_pretrained(resolve(options.base), dtype=dtype)
    if not options.full:
        model = PeftModel.from_pretrained(model, folder, is_trainable=True)
    marks: list[float] = []

    class Marks(TrainerCallback):  # type: ignore[misc]
        def on_step_begin(self, *args: Any, **settings: Any) -> None:
            marks.append(time.perf_counter())

    settings = {
        "per_device_train_batch_size": batch,
        "max_steps": steps,
        "learning_rate": LEARNING_RATES[options.full],
        "logging_steps": 1,
        "callbacks": [Marks()],
    }
    made = trainer(model, rows, load_tokenizer(resolve(options.base)), folder / "trl", settings)
    made.train()
    marks.append(time.perf_counter())
    tokens = sum(len(row["input_ids"]) for row in rows[batch : steps * batch])
    losses = [record["loss"] for record in made.state.log_history if "loss" in record]
    return {"tokens_per_second": tokens / (marks[-1] - marks[1]), "peak_gb": peak_rss_bytes() / 1e9, "losses": losses}


def run_litgpt(options: argparse.Namespace) -> dict[str, Any]:
    from benchmarks.litgpt_peer import finetune
    from sartor.base.device import peak_rss_bytes
    from sartor.models.hub import resolve

    batch, base = ROWS_A_STEP[options.rows], resolve(options.base)
    rows = json.loads((options.folder / "rows.json").read_text())
    micro_batch = options.peer_micro_batch or batch
    marks, losses = finetune(
        base, options.folder, rows, batch, micro_batch, LEARNING_RATES[options.full], RANK, ALPHA
    )
    tokens = sum(len(row["input_ids"]) for row in rows[batch:])
    return {"tokens_per_second": tokens / (marks[-1] - marks[1]), "peak_gb": peak_rss_bytes() / 1e9, "losses": losses}


def measure(side: str, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Run one side in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.finetune_vs_trl", "--side", side, "--folder", str(folder)]
    command += ["--rows", options.rows, "--steps", str(options.steps), "--base", options.base]
    command += ["--peer-micro-batch", str(options.peer_micro_batch)]
    return last_line(command + ["--full"] * options.full)


def last_line(command: list[str]) -> dict[str, Any]:
    """Run one side offline; what its last line of output says as JSON."""
    quiet = {"TRL_EXPERIMENTAL_SILENCE": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    finished = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=os.environ | quiet, check=True)
    found: dict[str, Any] = json.loads(finished.stdout.strip().splitlines()[-1])
    return found


Side = Callable[[argparse.Namespace], dict[str, Any]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", choices=tuple(ROWS_A_STEP), default="gsm8k")
    parser.add_argument("--full", action="store_true", help="train every weight instead of an adapter")
    parser.add_argument("--steps", type=int, default=4, help="optimizer steps, the first not timed")
    parser.add_argument("--base", default="starter")
    parser.add_argument("--peer", choices=("trl", "litgpt"), default="trl")
    parser.add_argument("--peer-micro-batch", type=int, default=0, help="rows that LitGPT computes at once (all)")
    run_sides(parser, {"sartor": run_sartor, "trl": run_trl, "litgpt": run_litgpt}, compare)


def run_sides(parser: argparse.ArgumentParser, sides: dict[str, Side], compare: Callable[[Any], None]) -> None:
    """Compare and say by which command, or be one side, which runs in a process of its own and prints its figures."""
    parser.add_argument("--side", choices=tuple(sides))
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    if options.side:
        print(json.dumps(sides[options.side](options)))
    else:
        compare(options)
        print(whole_command(options))


def whole_command(options: argparse.Namespace) -> str:
    """The command that these figures come from, defaults included, and the commit where git tells it."""
    words = [f"OMP_NUM_THREADS={os.environ['OMP_NUM_THREADS']}"] if "OMP_NUM_THREADS" in os.environ else []
    words += ["python", "-m", f"benchmarks.{Path(sys.argv[0]).stem}"]
    for name, value in vars(options).items():
        option = f"--{name.replace('_', '-')}"
        words += [option] if value is True else [option, str(value)] if value else []
    commit = git("rev-parse", "--short", "HEAD").strip()
    changed = " and changes" if commit and git("status", "--porcelain", "--untracked-files=no") else ""
    return shlex.join(words) + (f"    # commit {commit}{changed}" if commit else "")


def git(*arguments: str) -> str:
    """What git says of the code that runs here; empty where it says nothing."""
    try:
        command = ["git", "-C", str(Path(__file__).parent), *arguments]
        return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return ""


def compare(options: argparse.Namespace) -> None:
    if options.peer == "litgpt" and options.full:
        sys.exit("LitGPT is compared by its LoRA recipe only")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(options, folder)
        found = {side: measure(side, options, folder) for side in ("sartor", options.peer)}
    for side, figures in found.items():
        losses = ", ".join(f"{loss:.4f}" for loss in figures["losses"])
        print(
            f"{side:<7} {figures['tokens_per_second']:7.1f} tok/s  {figures['peak_gb']:6.2f} GB peak  losses {losses}"
        )
    ours, theirs = found["sartor"], found[options.peer]
    losses = "losses not compared"
    if not options.peer_micro_batch:
        worst = max(abs(a - b) / b for a, b in zip(ours["losses"], theirs["losses"], strict=True))
        losses = f"losses differ by at most {worst:.2%}"
    print(
        f"ratio   {ours['tokens_per_second'] / theirs['tokens_per_second']:.2f}x tokens/s, "
        f"{ours['peak_gb'] / theirs['peak_gb']:.2f}x memory, {losses}; "
        f"Sartor at {ours['share_of_peak']:.0%} of the matrix-product peak"
    )


if __name__ == "__main__":
    main()
