"""LitGPT as the peer of a benchmark: the loop of its own LoRA recipe on rows in the order given."""

import time
from pathlib import Path
from typing import Any

MODEL = "SmolLM2-135M-Instruct"  # the shape of the starter, by which LitGPT reads its weights
OWN_LAYERS = {
    "attn.proj": "self_attn.o_proj",
    "mlp.fc_1": "mlp.gate_proj",
    "mlp.fc_2": "mlp.up_proj",
    "mlp.proj": "mlp.down_proj",
}  # beside the one of queries, keys and values, which it keeps as one


def finetune(
    base: Path,
    folder: Path,
    rows: list[dict[str, Any]],
    batch: int,
    micro_batch: int,
    rate: float,
    rank: int,
    alpha: float,
) -> tuple[list[float], list[float]]:
    """Train the adapter in `folder` on `rows` (input_ids, completion_mask), `batch` a step, `micro_batch` at once.

    Bfloat16 throughout, LitGPT's default, the adapter too; AdamW at a constant rate, no dropout. Its loop does not clip
    gradients. Returns the times at which steps began, the end last, and their losses."""
    import lightning
    import torch
    from lightning.fabric.loggers.logger import Logger
    from litgpt.args import EvalArgs, TrainArgs
    from litgpt.data import Alpaca
    from litgpt.data.base import get_sft_collate_fn
    from litgpt.finetune.lora import fit
    from litgpt.lora import GPT, Config, mark_only_lora_as_trainable
    from litgpt.scripts.convert_hf_checkpoint import convert_hf_checkpoint
    from torch.utils.data import DataLoader

    losses: list[float] = []
    marks: list[float] = []

    class Losses(Logger):  # type: ignore[misc]
        name = version = "losses"

        def log_metrics(self, metrics: dict[str, Any], step: int | None = None) -> None:
            losses.extend([metrics["loss"]] if "loss" in metrics else [])

        def log_hyperparams(self, *args: Any, **settings: Any) -> None:
            pass

    class Marked(DataLoader):  # type: ignore[type-arg]
        def __iter__(self) -> Any:
            for number, each in enumerate(super().__iter__()):
                if number % (batch // micro_batch) == 0:
                    marks.append(time.perf_counter())
                yield each

    checkpoint = folder / "litgpt"
    checkpoint.mkdir()
    for file in base.iterdir():
        (checkpoint / file.name).symlink_to(file)
    convert_hf_checkpoint(checkpoint, model_name=MODEL)
    targets = ("query", "key", "value", "projection", "mlp")
    adapter = {f"lora_{name}": True for name in targets} | {"lora_r": rank, "lora_alpha": alpha, "lora_dropout": 0.0}
    fabric = lightning.Fabric(accelerator="cpu", devices=1, precision="bf16-true", loggers=Losses())
    with fabric.init_module():
        model = GPT(Config.from_file(checkpoint / "model_config.yaml", **adapter))
    mark_only_lora_as_trainable(model)
    model.load_state_dict(torch.load(checkpoint / "lit_model.pth", mmap=True, weights_only=True), strict=False)
    start_from(model, folder)
    model = fabric.setup_module(model)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = fabric.setup_optimizers(torch.optim.AdamW(trained, lr=rate, weight_decay=0.0))
    samples, collate = [sample(row) for row in rows], get_sft_collate_fn()
    fit(
        fabric=fabric,
        model=model,
        optimizer=optimizer,
        scheduler=torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0),
        train_dataloader=Marked(samples, batch_size=micro_batch, collate_fn=collate),
        val_dataloader=DataLoader(samples[:1], collate_fn=collate),  # looked at once, before the first step
        devices=1,
        checkpoint_dir=checkpoint,
        out_dir=folder / "out",
        train=TrainArgs(
            save_interval=None,
            log_interval=1,
            global_batch_size=batch,
            micro_batch_size=micro_batch,
            epochs=2,
            max_steps=len(rows) // batch,
        ),
        eval=EvalArgs(interval=10**9),
        data=Alpaca(),  # only for its sample answers, which are not asked for
    )
    return [*marks, time.perf_counter()], losses


def sample(row: dict[str, Any]) -> dict[str, Any]:
    """A row as LitGPT's data sets give it: labels are -100 where nothing is learnt."""
    import torch

    ids, trained = torch.tensor(row["input_ids"]), torch.tensor(row["completion_mask"]).bool()
    counts = {"raw": int(trained.sum()), "raw_plus_prompt_template": len(ids)}
    return {"input_ids": ids, "labels": ids.masked_fill(~trained, -100), "token_counts": counts}


def start_from(model: Any, folder: Path) -> None:
    """Let LitGPT's adapter begin with the one in `folder`, whose B matrices are zero."""
    import torch
    from safetensors.torch import load_file

    tensors = load_file(folder / "adapter_model.safetensors")
    with torch.no_grad():
        for layer, block in enumerate(model.transformer.h):
            of_ours = f"base_model.model.model.layers.{layer}.{{}}.lora_A.weight"
            joined = [tensors[of_ours.format(f"self_attn.{name}_proj")] for name in "qkv"]
            block.attn.qkv.lora_A.copy_(torch.cat(joined))
            block.attn.qkv.lora_B.zero_()
            for theirs, ours in OWN_LAYERS.items():
                block.get_submodule(theirs).lora_A.copy_(tensors[of_ours.format(ours)])
                block.get_submodule(theirs).lora_B.zero_()
