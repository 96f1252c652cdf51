"""GRPO: Sartor against TRL + PEFT. Same model, prompts, order, first weights, group, numbers of tokens, precision.

    python -m benchmarks.rl_vs_trl [--steps 4] [--base starter]

Each optimizer step answers 2 questions of GSM8K (SARTOR_DATA) 8 times each, with 64 tokens at temperature 1 from the
whole vocabulary, rewards an answer by the length of its text, and learns once from the 16 answers: advantages from the
group's mean and deviation, every token counting alike. LoRA of rank 16 on all linear layers, bfloat16, no
checkpointing, AdamW, constant rate 1e-4, no penalty for leaving the reference; whatever else TRL can be told is left as
it comes. Sampling is counted. One step warms up and is not timed. Peak memory is the process's peak resident set; each
side runs in a process of its own.

Every answer has all its tokens: Sartor's engine goes on past end-of-turn tokens, TRL is forbidden to sample them
(`min_new_tokens`). Both sides take the log-probabilities of their only update for the old ones; Sartor computes those
of two answers once more, and under the reference, for the divergences that it reports.

The sides sample by draws of their own, so there are no losses to compare, and a group's advantages add up to nothing.
What must agree but for chance are the mean reward and the entropy (nats a token), which both sides report: Sartor's is
the mean of -log p of what was sampled, TRL's is summed over the vocabulary.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.finetune_vs_trl import ALPHA, RANK, gsm8k_rows, last_line, run_sides

PROMPTS, ANSWERS, NEW_TOKENS, CLIP, LEARNING_RATE, SEED = 2, 8, 64, 0.2, 1e-4, 0
START_FILE = "start.safetensors"


def questions(steps: int) -> list[str]:
    """The questions of all steps, one step's after another's, in the order in which Sartor's rollouts take them."""
    from sartor.data.batches import StepOrder

    asked = [row["question"] for row in gsm8k_rows()[: PROMPTS * steps]]
    order = StepOrder(len(asked), PROMPTS, SEED)
    return [asked[index] for step in range(steps) for index in order.indices(step)]


def conversation(question: str) -> list[Any]:
    return [{"role": "user", "content": question}]


class TextLength:
    """Characters of the answer's text."""

    name = "text_length"

    def score(self, answered: Sequence[Any]) -> list[float]:
        return [float(len(each.text)) for each in answered]


def grpo_config(base: str) -> Any:
    """The sizes of a step, as `sartor grpo` is told them. It is not asked to read or write anything."""
    from sartor.recipes.grpo import GrpoConfig

    return GrpoConfig(
        data="",
        out="",
        base=base,
        batch_rows=PROMPTS,
        answers=ANSWERS,
        max_new_tokens=NEW_TOKENS,
        clip=CLIP,
        kl_coefficient=0.0,
        lora_rank=RANK,
        lora_alpha=ALPHA,
        seed=SEED,
    )


def write_start(base: str, folder: Path) -> None:
    """The policy's first weights: those that the settings' seed gives."""
    from safetensors.torch import save_file

    from sartor.adapters.roles import role_layers
    from sartor.adapters.store import adapter_tensors
    from sartor.recipes.rl_model import Start, build_model
    from sartor.train.actors import POLICY

    config = grpo_config(base)
    model = build_model(config, Start.of(config), with_value=False)
    save_file(adapter_tensors(role_layers(model, POLICY)), folder / START_FILE)


def run_sartor(options: argparse.Namespace) -> dict[str, Any]:
    from sartor.adapters.roles import role_layers
    from sartor.adapters.store import load_adapter_tensors
    from sartor.base.device import peak_rss_bytes
    from sartor.base.tensor_file import read_tensors
    from sartor.data.chat import ChatFormat
    from sartor.models.hub import load_tokenizer
    from sartor.recipes.rl import rollout_sizes
    from sartor.recipes.rl_methods import grpo_method
    from sartor.recipes.rl_model import Start, build_actors, build_model
    from sartor.train.actors import POLICY
    from sartor.train.loop import LoopSettings, fit
    from sartor.train.rewards.weighted import SumOfRewards, Weighted
    from sartor.train.rl_loss import RolloutLoss
    from sartor.train.rollouts import RolloutSource

    config, steps = grpo_config(options.base), options.steps + 1
    start = Start.of(config)
    chat = ChatFormat(load_tokenizer(start.location.folder))
    chat.stop_ids = set()
    model = build_model(config, start, with_value=False)
    load_adapter_tensors(role_layers(model, POLICY), read_tensors(options.folder / START_FILE))
    actors = build_actors(config, start, model, chat)
    marks: list[float] = []

    class Source(RolloutSource):
        def step(self, step: int) -> list[Any]:
            marks.append(time.perf_counter())
            return super().step(step)

    rewards, method = SumOfRewards([Weighted(TextLength())]), grpo_method(config)
    source = Source(actors, asked_prompts(chat, steps), rewards, method.estimate(), rollout_sizes(config, method))
    loss = RolloutLoss(actors, CLIP, CLIP, penalty_coefficient=config.kl_coefficient)
    settings = LoopSettings(steps, LEARNING_RATE, schedule="constant", evaluate_every=10**6, seed=SEED)
    history = fit(model, source, loss, settings).history
    return {
        "episodes_per_second": options.steps * PROMPTS * ANSWERS / (time.perf_counter() - marks[1]),
        "peak_gb": peak_rss_bytes() / 1e9,
        "answer_tokens": statistics.fmean(record["answer_tokens"] for record in history),
        "rewards": [record["reward"] for record in history],
        "entropies": [record["entropy"] for record in history],
    }


def asked_prompts(chat: Any, steps: int) -> list[Any]:
    """The prompts so placed that the rollouts, which take them in an order of their own, take them as TRL does."""
    from sartor.data.prompts import Prompt
    from sartor.train.rollouts import AskedPrompt

    asked = [conversation(row["question"]) for row in gsm8k_rows()[: PROMPTS * steps]]
    return [AskedPrompt(Prompt(messages, (), ""), chat.prompt(messages)) for messages in asked]


def run_trl(options: argparse.Namespace) -> dict[str, Any]:
    import torch
    from transformers import AutoModelForCausalLM

    from benchmarks.trl_peer import adapter_config, group_trainer, start_from, step_marks
    from sartor.base.device import peak_rss_bytes
    from sartor.base.tensor_file import read_tensors
    from sartor.models.hub import load_tokenizer, resolve

    base, steps = resolve(options.base), options.steps + 1
    marks: list[float] = []
    settings = {
        "per_device_train_batch_size": PROMPTS * ANSWERS,
        "num_generations": ANSWERS,
        "max_completion_length": NEW_TOKENS,
        "generation_kwargs": {"min_new_tokens": NEW_TOKENS},
        "temperature": 1.0,
        "epsilon": CLIP,
        "beta": 0.0,
        "max_steps": steps,
        "learning_rate": LEARNING_RATE,
        "logging_steps": 1,
        "callbacks": [step_marks(marks)],
    }

    def text_length(completions: list[Any], **others: Any) -> list[float]:
        return [float(len(completion[0]["content"])) for completion in completions]

    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16)
    prompts = [{"prompt": conversation(question)} for question in questions(steps)]
    adapter, out = adapter_config(RANK, ALPHA), options.folder / "trl"
    made = group_trainer(model, prompts, text_length, load_tokenizer(base), adapter, out, settings)
    start_from(made.model, read_tensors(options.folder / START_FILE))
    made.train()
    seconds = time.perf_counter() - marks[1]
    history = [record for record in made.state.log_history if "reward" in record]
    return {
        "episodes_per_second": options.steps * PROMPTS * ANSWERS / seconds,
        "peak_gb": peak_rss_bytes() / 1e9,
        "answer_tokens": statistics.fmean(record["completions/mean_length"] for record in history),
        "rewards": [record["reward"] for record in history],
        "entropies": [record["entropy"] for record in history],
    }


def measure(side: str, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Run one side in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.rl_vs_trl", "--side", side, "--folder", str(folder)]
    return last_line([*command, "--steps", str(options.steps), "--base", options.base])


def compare(options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_start(options.base, folder)
        found = {side: measure(side, options, folder) for side in ("sartor", "trl")}
    for side, figures in found.items():
        rewards = ", ".join(f"{reward:.0f}" for reward in figures["rewards"])
        entropies = ", ".join(f"{entropy:.2f}" for entropy in figures["entropies"])
        print(
            f"{side:<7} {figures['episodes_per_second']:6.3f} episodes/s  {figures['peak_gb']:6.2f} GB peak  "
            f"{figures['answer_tokens']:.0f} tokens an answer  rewards {rewards}  entropies {entropies}"
        )
    ours, theirs = found["sartor"], found["trl"]
    rewards_of, entropies_of = (
        [statistics.fmean(side[name]) for side in (ours, theirs)] for name in ("rewards", "entropies")
    )
    print(
        f"ratio   {ours['episodes_per_second'] / theirs['episodes_per_second']:.2f}x episodes/s, "
        f"{ours['peak_gb'] / theirs['peak_gb']:.2f}x memory, mean reward {rewards_of[0]:.0f} and {rewards_of[1]:.0f}, "
        f"entropy {entropies_of[0]:.2f} and {entropies_of[1]:.2f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=4, help="optimizer steps that are timed, after one that is not")
    parser.add_argument("--base", default="starter")
    run_sides(parser, {"sartor": run_sartor, "trl": run_trl}, compare)


if __name__ == "__main__":
    main()
