"""TRL as the peer of a benchmark: its trainer with rows in the order given, and the settings that both sides share."""

from pathlib import Path
from typing import Any


def trainer(model: Any, rows: list[dict[str, Any]], tokenizer: Any, out: Path, settings: dict[str, Any]) -> Any:
    """TRL's supervised trainer on `rows` (input_ids, completion_mask): AdamW, constant rate, bfloat16, no checkpointing
    of activations. `settings` are SFTConfig's own: batch size, steps, rate, and `callbacks` for the trainer."""
    import torch
    from datasets import Dataset
    from torch.utils.data import SequentialSampler
    from trl import SFTConfig, SFTTrainer

    class InOrder(SFTTrainer):  # type: ignore[misc]
        def _get_train_sampler(self, *args: Any, **settings: Any) -> SequentialSampler:
            return SequentialSampler(self.train_dataset)

    callbacks = settings.pop("callbacks", None)
    config = SFTConfig(
        output_dir=str(out),
        lr_scheduler_type="constant",
        warmup_steps=0,
        weight_decay=0.0,
        max_grad_norm=1.0,
        optim="adamw_torch",
        bf16=True,
        use_cpu=not torch.cuda.is_available(),
        gradient_checkpointing=False,
        max_length=None,
        save_strategy="no",
        report_to=[],
        dataloader_drop_last=True,
        completion_only_loss=True,
        disable_tqdm=True,
        **settings,
    )
    dataset = Dataset.from_list(rows)
    return InOrder(model=model, args=config, train_dataset=dataset, callbacks=callbacks, processing_class=tokenizer)
