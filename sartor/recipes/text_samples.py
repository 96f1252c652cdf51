"""Texts that a model in training writes, kept beside each evaluation: what a loss does not show."""

from collections.abc import Sequence

from torch import nn

from sartor.base.run_folder import RunFolder
from sartor.data.chat import ChatFormat
from sartor.generation.engine import Engine
from sartor.generation.protocol import Sampling
from sartor.train.run_report import SAMPLES_FILE

TEMPERATURE = 0.8  # assumed: livelier than greedy, which repeats itself in small models


def sample_texts(
    model: nn.Module, chat: ChatFormat, prompts: Sequence[str], new_tokens: int, context_tokens: int, seed: int
) -> list[dict[str, str]]:
    """One continuation of each prompt: `{"prompt", "text"}`. An empty prompt begins a new document."""
    stop_ids = {chat.tokenizer.eos_token_id}
    engine = Engine(model, chat.decode, stop_ids, context_tokens)  # type: ignore[arg-type]
    first = chat.tokenizer.bos_token_id
    beginning = [chat.tokenizer.eos_token_id if first is None else first]
    numbers = {}
    texts = ["" for _ in prompts]
    for place, prompt in enumerate(prompts):
        ids = (beginning + chat.tokenizer.encode(prompt, add_special_tokens=False))[: context_tokens - 1]
        room = min(new_tokens, context_tokens - len(ids))
        sampling = Sampling(max_new_tokens=room, temperature=TEMPERATURE, seed=seed + place)
        numbers[engine.add(ids, sampling)] = place
    while engine.has_work:
        for event in engine.step():
            texts[numbers[event.request_id]] += event.text
    return [{"prompt": prompt, "text": text} for prompt, text in zip(prompts, texts, strict=True)]


def keep_samples(folder: RunFolder, step: int, texts: list[dict[str, str]]) -> None:
    """Put the texts of `step` into the run's samples.json, in the place of those of this step and later ones."""
    known = folder.read_json(SAMPLES_FILE) if (folder.path / SAMPLES_FILE).is_file() else []
    earlier = [each for each in known if each["step"] < step]
    folder.write_json(SAMPLES_FILE, [*earlier, {"step": step, "samples": texts}])
