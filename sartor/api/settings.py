"""Keyword arguments of the functions, written from the settings by `python -m docs.site.typed_settings`.

The meaning and the default of each are in `sartor VERB --help` and in the reference.
"""

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any, Literal, TypedDict

Text = str | PathLike[str]


class TrainingSettings(TypedDict, total=False):
    """What all ways of training on rows take."""

    base: Text
    dev: Text | None
    on_bad_row: Literal["stop", "skip"]
    lora_rank: int
    lora_alpha: float
    lora_dropout: float
    lora_targets: Sequence[Text]
    rslora: bool
    dora: bool
    optimizer: Literal["adamw", "adamw8bit", "muon"]
    learning_rate: float | None
    schedule: Literal["cosine", "linear", "wsd", "constant"]
    warmup_share: float
    weight_decay: float
    clip_norm: float
    batch_rows: int
    micro_batch_tokens: int
    activation_checkpointing: bool
    max_row_tokens: int
    epochs: float
    max_minutes: float | None
    evaluations: int
    patience: int | None
    accept_changed_environment: bool
    seed: int


class ChooseSettings(TypedDict, total=False):
    """Settings of `sartor choose`."""

    paths: Sequence[Text]
    budget: Text
    base: Text
    api: Text | None
    api_base_url: Text | None
    api_key_env: Text | None
    api_budget: float | None
    prices: Text | None
    rerank: Text | None
    machine_price: float
    grid: Text
    probes: Sequence[Text]
    fresh: Text | None
    seed: int
    seeds: int
    curve: bool


class CollectSettings(TypedDict, total=False):
    """Settings of `sartor collect`."""

    text_field: Text
    licence: Text | None
    max_document_mb: float
    follow: int
    max_pages: int
    requests_per_second: float
    max_page_mb: float
    page_seconds: float
    attempts: int
    contact: Text
    allow_private_addresses: bool


class PrepareSettings(TypedDict, total=False):
    """Settings of `sartor prepare`."""

    preset: Literal["gopher", "c4", "fineweb-2024", "refinedweb"] | Literal["none"]
    thresholds: Mapping[str, Mapping[str, Any]]
    url_blocklist: Text | None
    url_hard_words: Text | None
    url_soft_words: Text | None
    url_parts_of_words: Text | None
    main_text: bool
    repair: bool
    languages: Sequence[Text]
    exact_duplicates: Literal["all", "source", "none"]
    near_duplicates: Literal["all", "source", "none"]
    duplicate_rules: Mapping[Literal["exact", "near", "verification"], Mapping[str, Any]]
    decontaminate: Sequence[Text]
    decontamination_rule: Mapping[str, Any]
    quality_examples: Text | None
    quality_min_score: float | None
    personal_data: Literal["replace", "drop", "keep"]
    segment_characters: int | None
    engine: Text
    processes: int | None
    on_bad_shard: Literal["stop", "skip"]


class TokenizerSettings(TypedDict, total=False):
    """Settings of `sartor tokenizer`."""

    pre_tokenizer: Literal["qwen2", "llama-bpe", "smollm", "gpt-2"]
    held_out_share: float | None
    sample_bytes: int
    compare: Sequence[Text]


class PretrainSettings(TypedDict, total=False):
    """Settings of `sartor pretrain`."""

    preset: Literal["1m", "3m", "10m", "25m", "85m", "300m", "1b"] | None
    base: Text | None
    tokenizer: Text | None
    vocabulary: int | None
    tokens: Text | None
    max_minutes: float | None
    window_tokens: int | None
    batch_tokens: int | None
    learning_rate: float | None
    optimizer: Literal["muon", "adamw", "adamw8bit"]
    beta2: float
    weight_decay: float
    clip_norm: float
    schedule: Literal["wsd", "cosine", "linear", "constant"]
    decay_share: float
    z_loss: float
    micro_batch_tokens: int
    activation_checkpointing: bool
    held_out_share: float | None
    evaluations: int
    evaluation_tokens: int
    sample_prompts: Sequence[Text]
    sample_tokens: int
    parallel: Literal["ddp", "fsdp"]
    processes: int
    accept_changed_environment: bool
    seed: int
    sinks: Sequence[Literal["tensorboard", "mlflow", "wandb", "trackio"]]


class FinetuneSettings(TrainingSettings, total=False):
    """Settings of `sartor finetune`."""

    adapter: Literal["lora", "qlora", "none"]
    format: Text | None
    parallel: Literal["ddp", "fsdp"]
    best_by: Literal["loss", "score"]
    sinks: Sequence[Literal["tensorboard", "mlflow", "wandb", "trackio"]]


class FindLrSettings(TrainingSettings, total=False):
    """Settings of `sartor find-lr`."""

    adapter: Literal["lora", "qlora", "none"]
    format: Text | None
    parallel: Literal["ddp", "fsdp"]
    best_by: Literal["loss", "score"]
    minutes: float
    rates: Sequence[float]
    out: Text | None


class PlanSettings(TrainingSettings, total=False):
    """Settings of `sartor plan`."""

    adapter: Literal["lora", "qlora", "none"]
    format: Text | None
    parallel: Literal["ddp", "fsdp"]
    best_by: Literal["loss", "score"]
    memory: Text | None
    price_per_hour: float | None
    sample_steps: int
    alternatives: bool


class CheckSettings(TrainingSettings, total=False):
    """Settings of `sartor check`."""

    adapter: Literal["lora", "qlora", "none"]
    format: Text | None
    parallel: Literal["ddp", "fsdp"]
    best_by: Literal["loss", "score"]
    check_tokens: int


class ExportSettings(TypedDict, total=False):
    """Settings of `sartor export`."""

    dtype: Literal["auto", "f32", "bf16", "f16", "q8_0"]


class RewardSettings(TrainingSettings, total=False):
    """Settings of `sartor reward`."""

    adapter: Literal["lora", "qlora"]
    format: Text | None
    parallel: Literal["ddp", "fsdp"]
    centering: float
    sinks: Sequence[Literal["tensorboard", "mlflow", "wandb", "trackio"]]


class DpoSettings(TrainingSettings, total=False):
    """Settings of `sartor dpo`."""

    adapter: Literal["lora", "qlora", "none"]
    format: Text | None
    parallel: Literal["ddp", "fsdp"]
    loss: Literal["sigmoid", "ipo", "hinge", "simpo", "orpo", "kto"]
    beta: float
    label_smoothing: float
    target_margin: float
    length_normalised: bool
    supervised_weight: float
    desirable_weight: float
    undesirable_weight: float
    sinks: Sequence[Literal["tensorboard", "mlflow", "wandb", "trackio"]]


class PpoSettings(TrainingSettings, total=False):
    """Settings of `sartor ppo`."""

    adapter: Literal["lora", "qlora"]
    reward: Sequence[Text]
    answers: int
    max_new_tokens: int
    temperature: float
    passes: int
    minibatches: int
    clip: float
    clip_high: float | None
    unfinished_penalty: float
    evaluation_prompts: int
    traced_answers: int
    kl_coefficient: float
    kl_target: float | None
    kl_horizon: float
    normalise_reward: bool
    whiten_advantages: bool
    discount: float
    gae_decay: float
    value_coefficient: float
    value_clip: float
    entropy_coefficient: float
    sinks: Sequence[Literal["tensorboard", "mlflow", "wandb", "trackio"]]


class GrpoSettings(TrainingSettings, total=False):
    """Settings of `sartor grpo`."""

    adapter: Literal["lora", "qlora"]
    reward: Sequence[Text]
    answers: int
    max_new_tokens: int
    temperature: float
    passes: int
    minibatches: int
    clip: float
    clip_high: float | None
    unfinished_penalty: float
    evaluation_prompts: int
    traced_answers: int
    baseline: Literal["mean", "leave_one_out"]
    scale: Literal["group", "batch", "none"]
    normalise: Literal["tokens", "answers", "constant"]
    kl_coefficient: float
    sinks: Sequence[Literal["tensorboard", "mlflow", "wandb", "trackio"]]
