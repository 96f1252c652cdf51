"""TRL as the peer of a benchmark: its trainers with rows in the order given, and the settings that both sides share."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

TARGETS = (
    "q_proj",
    "k_proj",
    "v_proj",
    "o_proj",
    "gate_proj",
    "up_proj",
    "down_proj",
)  # all linear layers but the head


def trainer(model: Any, rows: list[dict[str, Any]], tokenizer: Any, out: Path, settings: dict[str, Any]) -> Any:
    """TRL's supervised trainer on `rows` (input_ids, completion_mask). `settings` are SFTConfig's own: batch size,
    steps, rate, and `callbacks` for the trainer."""
    from datasets import Dataset
    from torch.utils.data import SequentialSampler
    from trl import SFTConfig, SFTTrainer

    class InOrder(SFTTrainer):  # type: ignore[misc]
        def _get_train_sampler(self, *args: Any, **settings: Any) -> SequentialSampler:
            return SequentialSampler(self.train_dataset)

    callbacks = settings.pop("callbacks", None)
    config = SFTConfig(**shared(out) | {"max_length": None, "completion_only_loss": True} | settings)
    dataset = Dataset.from_list(rows)
    return InOrder(model=model, args=config, train_dataset=dataset, callbacks=callbacks, processing_class=tokenizer)


def preference_trainer(
    model: Any, rows: list[dict[str, Any]], tokenizer: Any, adapter: Any, out: Path, settings: dict[str, Any]
) -> tuple[Any, list[float]]:
    """TRL's DPO trainer on `rows` of token ids (prompt_ids, chosen_ids, rejected_ids), which it takes as they are.
    `adapter` is PEFT's configuration; the reference is the model without it. Also returns the seconds of each batch
    whose reference was computed beforehand, none where each step computes its own."""
    from datasets import Dataset
    from torch.utils.data import SequentialSampler
    from trl import DPOConfig, DPOTrainer

    class InOrder(DPOTrainer):  # type: ignore[misc]
        def _get_train_sampler(self, *args: Any, **settings: Any) -> SequentialSampler:
            return SequentialSampler(self.train_dataset)

        def _prepare_dataset(self, dataset: Any, *args: Any) -> Any:
            return dataset

        def compute_ref_log_probs(self, *args: Any) -> Any:
            began = time.perf_counter()
            found = super().compute_ref_log_probs(*args)
            reference_seconds.append(time.perf_counter() - began)
            return found

    reference_seconds: list[float] = []
    callbacks = settings.pop("callbacks", None)
    made = InOrder(
        model=model,
        args=DPOConfig(**shared(out) | settings),
        train_dataset=Dataset.from_list(rows),
        callbacks=callbacks,
        processing_class=tokenizer,
        peft_config=adapter,
    )
    return made, reference_seconds


def group_trainer(
    model: Any,
    prompts: list[dict[str, Any]],
    reward: Any,
    tokenizer: Any,
    adapter: Any,
    out: Path,
    settings: dict[str, Any],
) -> Any:
    """TRL's GRPO trainer on `prompts` ({"prompt": messages}) in their order, rewarded by the function `reward`."""
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    callbacks = settings.pop("callbacks", None)
    return GRPOTrainer(
        model=model,
        reward_funcs=reward,
        args=GRPOConfig(**shared(out) | {"shuffle_dataset": False} | settings),
        train_dataset=Dataset.from_list(prompts),
        callbacks=callbacks,
        processing_class=tokenizer,
        peft_config=adapter,
    )


def shared(out: Path) -> dict[str, Any]:
    """What every trainer is told unless its own settings say otherwise: AdamW, constant rate, bfloat16, no
    checkpointing of activations, nothing saved."""
    import torch

    return {
        "output_dir": str(out),
        "lr_scheduler_type": "constant",
        "warmup_steps": 0,
        "weight_decay": 0.0,
        "max_grad_norm": 1.0,
        "optim": "adamw_torch",
        "bf16": True,
        "use_cpu": not torch.cuda.is_available(),
        "gradient_checkpointing": False,
        "save_strategy": "no",
        "report_to": [],
        "dataloader_drop_last": True,
        "disable_tqdm": True,
    }


def adapter_config(rank: int, alpha: float) -> Any:
    """PEFT's configuration of a LoRA adapter on all linear layers."""
    from peft import LoraConfig

    return LoraConfig(r=rank, lora_alpha=alpha, target_modules=list(TARGETS), task_type="CAUSAL_LM")


def start_from(model: Any, tensors: Mapping[str, Any]) -> None:
    """Let the adapter of PEFT's model begin with `tensors`, by the names that adapter files give them."""
    own = {name: value for name, value in model.named_parameters() if ".default." in name}
    assert len(own) == len(tensors), "the files hold every weight of the adapter"
    for name, value in tensors.items():
        own[f"{name.removesuffix('.weight')}.default.weight"].data.copy_(value)


def step_marks(marks: list[float]) -> Any:
    """A callback that puts the time into `marks` whenever a step begins."""
    from transformers import TrainerCallback

    class Marks(TrainerCallback):  # type: ignore[misc]
        def on_step_begin(self, *args: Any, **settings: Any) -> None:
            marks.append(time.perf_counter())

    return Marks()
