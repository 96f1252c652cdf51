"""The prompts of reinforcement learning: read, split, rendered, counted."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sartor.base.console import say
from sartor.base.errors import DataError
from sartor.data.bad_rows import BadRows
from sartor.data.chat import ChatFormat
from sartor.data.prompts import Prompt, read_prompts, task_prompts
from sartor.data.split import group_fraction, split_dev
from sartor.data.task import Task
from sartor.data.turns import message
from sartor.recipes.rl_settings import RolloutSettings
from sartor.train.rollouts import AskedPrompt


@dataclass(frozen=True)
class PreparedPrompts:
    """Prompts to learn on, and those held out that are answered; `usual_rewards` is what a task scores by."""

    train: list[AskedPrompt]
    dev: list[AskedPrompt]
    certificate: dict[str, Any]
    bad_rows: BadRows
    usual_rewards: list[str]


def prepare_prompts(config: RolloutSettings, chat: ChatFormat, context: int) -> PreparedPrompts:
    """Read, split and render the prompts; an answer must fit behind each. DataError when none is left."""
    bad_rows = BadRows(config.on_bad_row)
    train, dev, usual = _read(config, bad_rows)
    longest = min(config.max_row_tokens, context) - config.max_new_tokens
    kept, kept_dev = (_asked(prompts, chat, longest) for prompts in (train, dev))
    for prompts, where in ((kept, config.data), (kept_dev, config.dev or config.data)):
        if not prompts:
            hint = f"a prompt may have {longest} tokens: lower --max-new-tokens, or raise --max-row-tokens"
            raise DataError("no prompt leaves room for an answer", where=where, hint=hint)
    measured = _evenly(kept_dev, config.evaluation_prompts)
    tokens = [len(prompt.ids) for prompt in kept]
    shown = chat.tokenizer.decode(kept[0].ids, skip_special_tokens=False)
    certificate = {
        "prompts": len(kept),
        "held_out_prompts": len(kept_dev),
        "held_out_prompts_answered": len(measured),
        "prompts_too_long": len(train) - len(kept),
        "prompts_with_accepted_answers": sum(bool(each.prompt.answers) for each in kept),
        "prompt_tokens": sum(tokens),
        "longest_prompt_tokens": max(tokens),
        "max_new_tokens": config.max_new_tokens,
        "template_hash": chat.template_hash,
        "template": "of the model" if chat.has_own_template else "plain",
        "shown": [shown],
    }
    answered = f", of which {len(measured):,} are answered at each evaluation" if len(measured) < len(kept_dev) else ""
    say(f"{len(kept):,} prompts of at most {max(tokens)} tokens, {len(kept_dev):,} held out{answered}")
    if len(kept) < len(train):
        say(f"{len(train) - len(kept):,} prompts left out: too long to leave room for {config.max_new_tokens} tokens")
    say(f"the first prompt:\n{shown}")
    return PreparedPrompts(kept, measured, certificate, bad_rows, usual)


def _read(config: RolloutSettings, bad_rows: BadRows) -> tuple[list[Prompt], list[Prompt], list[str]]:
    if Path(config.data).is_dir():
        task = Task.load(config.data)
        train, dev = task_prompts(task)
        say(f"task {task.name}: {len(train):,} questions to learn on, {len(dev):,} held out; scorer {task.scorer.name}")
        if config.dev is not None:
            dev = [_instructed(prompt, task) for prompt in read_prompts(config.dev, bad_rows)]
        return train, dev, [task.scorer.name]
    prompts = read_prompts(config.data, bad_rows)
    if config.dev is not None:
        return prompts, read_prompts(config.dev, bad_rows), []
    try:
        return *split_dev(prompts, lambda prompt: prompt.question), []
    except DataError:
        hint = "give held-out prompts with --dev"
        raise DataError("all prompts are the same, so none can be held out", where=config.data, hint=hint) from None


def _instructed(prompt: Prompt, task: Task) -> Prompt:
    """Asked as the task asks, unless the prompt has a system turn of its own."""
    if not task.instruction or prompt.messages[0]["role"] == "system":
        return prompt
    return replace(prompt, messages=[message("system", task.instruction), *prompt.messages])


def _evenly(prompts: Sequence[AskedPrompt], most: int) -> list[AskedPrompt]:
    """At most so many, chosen by a hash of the question, since files are often in order of source or difficulty."""
    by_hash = sorted(range(len(prompts)), key=lambda place: group_fraction(prompts[place].prompt.question))
    return [prompts[place] for place in sorted(by_hash[:most])]


def _asked(prompts: Sequence[Prompt], chat: ChatFormat, longest: int) -> list[AskedPrompt]:
    asked = [AskedPrompt(prompt, chat.prompt(prompt.messages)) for prompt in prompts]
    return [each for each in asked if len(each.ids) <= longest]
