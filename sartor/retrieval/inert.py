"""Text of a document that a model, a terminal or a page takes for nothing but text."""

import re

INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f"
    "\u3164\ufeff\uffa0\ufff9-\ufffb\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
"""Control characters, characters without a shape, marks of direction, and tags; not the two joiners that some scripts
and emoji need."""

STRAY_JOINER = re.compile("(?<=[\x00-\x7f])[\u200c\u200d]+|[\u200c\u200d]+(?=[\x00-\x7f]|$)|^[\u200c\u200d]+")
JOINERS = re.compile("([\u200c\u200d])[\u200c\u200d]+")

ROLES = "system|user|assistant|developer|human|model|ipython|tool|function|instructions?|im_start|im_end"
SINGLE = (
    r"s|bos|eos|pad|unk|mask|cls|sep|eot|sop|eop|eod|sot|bom|eom|think|thinking|tool_calls?|tool_response|tool_result|"
    r"tools|function_calls?|BOS_TOKEN|EOS_TOKEN|PAD_TOKEN|MASK_TOKEN|(?:start|end)_of_(?:turn|text|image|audio|role)|"
    r"unused_?\d+|reserved_\d+|extra_id_\d+|special_\d+|TOKENS_UNUSED_\d+|mask:\d+|image_soft_token|audio_soft_token|"
    r"seed:[\w:]+|minimax:\w+|function=[^<>\n]{0,80}"
)
BRACKETED = (
    "INST|SYSTEM_PROMPT|SYSTEM|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS|TOOL_CONTENT|CALL_ID|ARGS|THINK|IMG|PREFIX|"
    "SUFFIX|MIDDLE|CLS|SEP|PAD|UNK|MASK|gMASK|sMASK"
)
CONTROL_TOKEN = re.compile(
    r"<(?=[|\uff5c])|(?P<closing>(?<=[|\uff5c])>|(?<=\|)\])"  # ChatML, Llama 3, Phi, Cohere, DeepSeek, EXAONE
    rf"|<(?=/?(?:{SINGLE}|{ROLES})\s*>)"  # Llama 2, Mistral, Gemma, Hermes, GLM, Falcon, Baichuan, T5, Seed, MiniMax
    rf"|\[(?=/?(?:{BRACKETED})\])"  # Mistral, Llama 2, BERT, GLM
    r"|\[(?=\|)"  # EXAONE
    r"|<(?=</?SYS>>)"  # Llama 2
    r"|\[(?=e~\[)|\](?=~!?b[\]\[])"  # MiniMax
    r"|>(?=>(?:QUESTION|ANSWER|SUMMARY|TITLE|ABSTRACT|INTRODUCTION|COMMENT)<<)",  # Falcon
    re.IGNORECASE,
)


def visible(text: str) -> str:
    """Without characters that are there but cannot be seen."""
    return JOINERS.sub(r"\1", STRAY_JOINER.sub("", INVISIBLE.sub("", text)))


def inert(text: str) -> str:
    """Visible text that no chat template takes for its own marks: control tokens are broken by a space."""
    return CONTROL_TOKEN.sub(_broken, visible(text))


def _broken(match: re.Match[str]) -> str:
    return f" {match[0]} " if match["closing"] else f"{match[0]} "
