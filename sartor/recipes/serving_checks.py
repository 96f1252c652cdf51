"""What is served is what was trained: the same token ids, the same stop, the same log-probabilities."""

from collections.abc import Sequence

import torch
from jinja2 import TemplateError
from torch import Tensor
from transformers import PreTrainedModel

from sartor.data.chat import ChatFormat, Rendered, fold_system
from sartor.data.records import Conversation
from sartor.generation.local import LocalModel
from sartor.generation.protocol import Sampling
from sartor.recipes.check import Finding
from sartor.train.invariance import largest_difference, log_probs, split_rows

GENERATED_TOKENS = 12
EXACT = "rows in which they are not equal"


def id_findings(conversations: Sequence[Conversation], rows: Sequence[Rendered], chat: ChatFormat) -> list[Finding]:
    """Comparisons of token ids; differences count rows. Each conversation ends with the answer that its row learns."""
    prompts = [chat.prompt(conversation[:-1]) for conversation in conversations]
    answers = [conversation[-1]["content"] for conversation in conversations]
    both = list(zip(rows, prompts, strict=True))
    findings = [
        _count(
            "training ids = ids served, then the answer is learnt",
            [begins_with(row, prompt) for row, prompt in both],
            EXACT,
        ),
        _count(
            "the learnt ids read as the answer",
            [
                chat.decode(row.ids[len(prompt) :]).strip() == answer.strip()
                for (row, prompt), answer in zip(both, answers, strict=True)
            ],
            f"{EXACT}, control tokens and space around them apart",
        ),
        _count(
            "the stop token is learnt",
            [last_learnt(row) in chat.stop_ids for row in rows],
            "rows that end without it: such a model never stops",
        ),
    ]
    name = "ids served = the tokenizer's own chat template"
    if not chat.has_own_template:
        return [*findings, Finding(name, None, 0.0, "the tokenizer has none; a plain template is used")]
    plain = [conversation[:-1] for conversation in conversations if not _holds_control_tokens(conversation, chat)]
    same = [chat.prompt(asked) == _template_ids(asked, chat) for asked in plain]
    return [*findings, _count(name, same, f"{EXACT}, of {len(plain)} without typed control tokens")]


def begins_with(row: Rendered, prompt: list[int]) -> bool:
    """Whether the row is the prompt and behind it what is learnt."""
    length = len(prompt)
    asked_alike = row.ids[:length] == prompt and len(row.ids) > length
    return asked_alike and row.trained[length] and not row.trained[length - 1]


def last_learnt(row: Rendered) -> int:
    return next(token for token, trained in zip(reversed(row.ids), reversed(row.trained), strict=True) if trained)


def generation_finding(
    model: PreTrainedModel, chat: ChatFormat, conversations: Sequence[Conversation], tolerance: float, why: str
) -> Finding:
    """The log-probabilities that the engine reports for its greedy answers, against the same tokens as a training
    batch."""
    name = "generation = training: log-probabilities of the answers given"
    asked = [conversation[:-1] for conversation in conversations]
    replies = LocalModel(model, chat).generate(asked, Sampling(max_new_tokens=GENERATED_TOKENS))
    answered = [(chat.prompt(reply.messages), reply) for reply in replies if reply.error is None]
    if not answered:
        return Finding(name, None, 0.0, f"no answer: {replies[0].error}")
    answered.sort(key=lambda pair: len(pair[0]) + len(pair[1].token_ids))  # as micro-batches put rows
    rows = [
        Rendered(prompt + reply.token_ids, [False] * len(prompt) + [True] * len(reply.token_ids))
        for prompt, reply in answered
    ]
    reported: Tensor = torch.tensor([value for _, reply in answered for value in reply.log_probs])
    difference = largest_difference(reported, log_probs(model, split_rows(rows)))
    return Finding(name, difference, tolerance, f"{len(reported)} tokens; {why}")


def _count(name: str, right: Sequence[bool], why: str) -> Finding:
    return Finding(name, float(len(right) - sum(right)), 0.0, why)


def _holds_control_tokens(conversation: Conversation, chat: ChatFormat) -> bool:
    return any(token in message["content"] for message in conversation for token in chat.special_tokens)


def _template_ids(asked: Conversation, chat: ChatFormat) -> list[int]:
    """As any other server would ask."""
    try:
        ids = chat.tokenizer.apply_chat_template(asked, tokenize=True, add_generation_prompt=True, return_dict=False)
    except TemplateError:
        folded = fold_system(asked)
        return [] if folded is None else _template_ids(folded, chat)
    return list(ids)
