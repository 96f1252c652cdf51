"""README.md of a pre-training run: what it was made of."""

import sartor
from sartor.recipes.pretrain import PretrainResult
from sartor.recipes.pretrain_model import Beginning
from sartor.recipes.pretrain_settings import PretrainSettings
from sartor.recipes.pretrain_text import Text


def model_card(config: PretrainSettings, beginning: Beginning, text: Text, result: PretrainResult) -> str:
    sources = "\n".join(
        f"| `{source.name}` | {source.documents:,} | {source.tokens:,} | {source.share:.1%} |"
        for source in text.sources
    )
    layout = "the Hub's layout" if beginning.continues else "the Hub's layout (the Llama architecture)"
    licences = "the texts and of the base model" if beginning.continues else "the texts"
    title = f"Continued from {beginning.name}" if beginning.continues else beginning.name.capitalize()
    return f"""# {title}

Pre-trained by Sartor {sartor.__version__} on {result.tokens:,} tokens in {result.steps:,} steps.

| text | documents | tokens | share of what was read |
|---|---|---|---|
{sources}

| held-out text | before | after |
|---|---|---|
| bits a byte | {result.bits_per_byte_before:.3f} | {result.bits_per_byte:.3f} |
| nats a token | {result.dev_loss_before:.3f} | {result.dev_loss:.3f} |

All settings in `config.yaml`, what was derived from where in `plan.json`, every step in `metrics.jsonl`, texts that it
wrote on the way in `samples.json`. The folder `model/` is in {layout}. Licences of {licences} apply.
"""
