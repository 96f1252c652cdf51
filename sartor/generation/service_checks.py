"""Does a service do what it is asked to? A few cheap requests that find the usual silent faults: long prompts cut,
parameters ignored, the chat template applied twice or not at all.

Everything is told from texts and token counts; nothing depends on how good the model is.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from sartor.data.records import Conversation, Message
from sartor.generation.protocol import Generator, Reply, Sampling

FILLER = "The river runs past the old mill and the quiet fields beyond it. "
LONG_PROMPTS = (100, 400)  # repetitions of the filler: about 1,500 and 6,000 tokens
COUNTING = "Count from 1 to 100. Write only the numbers with spaces between them."
TOLERATED_TOKENS = 3  # services differ in a beginning or end token
SEVERAL_LENGTHS = 5  # prompts of one count of tokens, and of different lengths, that are no coincidence


@dataclass(frozen=True)
class ServiceFinding:
    """`passed` is None where the service's answers do not tell; `what` says what was seen, in plain words."""

    check: str
    passed: bool | None
    what: str


CountTokens = Callable[[Conversation], int]


def check_service(ask: Generator, count_tokens: CountTokens | None = None) -> list[ServiceFinding]:
    """About a dozen requests. `count_tokens` counts a conversation as the service's model should render it."""
    return [
        _reads_long_prompts(ask),
        _keeps_the_limit(ask),
        _ends_at_stop(ask),
        _repeats_itself(ask),
        _heeds_the_seed(ask),
        _renders_once(ask, count_tokens),
    ]


def cut_prompts(prompts_bytes: Sequence[int], prompt_tokens: Sequence[int]) -> int | None:
    """The count of tokens at which a service seems to cut prompts, from what it says of answers already given; None
    where nothing points to it.

    A cut shows as the highest count being shared by prompts of clearly different lengths, of which the longest have far
    fewer tokens a byte than the others.
    """
    known = [(size, tokens) for size, tokens in zip(prompts_bytes, prompt_tokens, strict=True) if tokens]
    top = max((tokens for _, tokens in known), default=0)
    at_top = [size for size, tokens in known if tokens == top]
    below = [(size, tokens) for size, tokens in known if tokens < top]
    if len(at_top) < SEVERAL_LENGTHS or max(at_top) < 1.2 * min(at_top) or not below:
        return None
    usual = sorted(tokens / size for size, tokens in below)[len(below) // 2]
    return top if top / max(at_top) < 0.8 * usual else None


def _reads_long_prompts(ask: Generator) -> ServiceFinding:
    check = "long prompts are read whole"
    short, middle, long = (
        _asked(ask, FILLER * number + "What runs past the mill?", Sampling(max_new_tokens=1))
        for number in (1, *LONG_PROMPTS)
    )
    if short.error or not short.prompt_tokens:
        return ServiceFinding(check, None, short.error or "the service does not say how many tokens it read")
    if middle.error or long.error:
        what = f"a prompt that is too long is refused, not cut: {middle.error or long.error}"
        return ServiceFinding(check, True, what)
    expected = (middle.prompt_tokens - short.prompt_tokens) / (LONG_PROMPTS[0] - 1) * (LONG_PROMPTS[1] - 1)
    seen = long.prompt_tokens - short.prompt_tokens
    if seen < 0.9 * expected:
        return ServiceFinding(check, False, f"prompts are cut without a word, at about {long.prompt_tokens:,} tokens")
    return ServiceFinding(check, True, f"{long.prompt_tokens:,} tokens were read")


def _keeps_the_limit(ask: Generator) -> ServiceFinding:
    check = "max_tokens is kept"
    reply = _asked(ask, COUNTING, Sampling(max_new_tokens=8))
    if reply.error or not reply.completion_tokens:
        return ServiceFinding(check, None, reply.error or "the service does not say how many tokens it wrote")
    if reply.completion_tokens > 8:
        return ServiceFinding(check, False, f"8 tokens were asked for and {reply.completion_tokens} came")
    what = f"{reply.completion_tokens} of at most 8 tokens came, finish reason {reply.finish!r}"
    return ServiceFinding(check, True, what)


def _ends_at_stop(ask: Generator) -> ServiceFinding:
    check = "stop is heeded"
    sampling = Sampling(max_new_tokens=24)
    free = _asked(ask, COUNTING, sampling)
    stop = free.text.strip()[4:6]
    if free.error or len(stop) < 2:
        return ServiceFinding(check, None, free.error or "the model wrote too little to stop it")
    reply = _asked(ask, COUNTING, replace(sampling, stop=(stop,)))
    if reply.error:
        return ServiceFinding(check, None, reply.error)
    if stop in reply.text:
        return ServiceFinding(check, False, f"the answer goes on behind the stop text {stop!r}")
    if not free.text.startswith(reply.text):
        return ServiceFinding(check, None, "the model did not repeat itself, so stop could not be told")
    return ServiceFinding(check, True, f"the answer ends in front of {stop!r}")


def _repeats_itself(ask: Generator) -> ServiceFinding:
    check = "temperature 0 gives one answer"
    texts = {_asked(ask, COUNTING, Sampling(max_new_tokens=24)).text for _ in range(3)}
    same = len(texts) == 1
    return ServiceFinding(check, same, "three times the same" if same else f"{len(texts)} different answers of 3")


def _heeds_the_seed(ask: Generator) -> ServiceFinding:
    check = "temperature and seed are heeded"
    story = "Write one sentence about anything you like."
    sampling = Sampling(max_new_tokens=24, temperature=1.0)
    replies = [_asked(ask, story, replace(sampling, seed=seed)) for seed in (1, 1, 2, 3)]
    if any(reply.error for reply in replies):
        return ServiceFinding(check, None, next(reply.error for reply in replies if reply.error) or "")
    one, again, *others = (reply.text for reply in replies)
    if {one, again} == {*others}:
        return ServiceFinding(check, False, "at temperature 1 all seeds give one answer: one of the two is ignored")
    if one != again:
        return ServiceFinding(check, False, "one seed gives different answers: it is ignored")
    return ServiceFinding(check, True, "one seed gives one answer, other seeds others")


def _renders_once(ask: Generator, count_tokens: CountTokens | None) -> ServiceFinding:
    check = "the chat template is applied once"
    if count_tokens is None:
        return ServiceFinding(check, None, "the model's own tokenizer is needed to tell")
    short: Conversation = [Message(role="user", content="Hello.")]
    long = [*short, Message(role="assistant", content="Can I help?"), Message(role="user", content="Thanks.")]
    (one, three) = ask.generate([short, long], Sampling(max_new_tokens=1))
    if one.error or three.error or not one.prompt_tokens:
        return ServiceFinding(check, None, one.error or three.error or "the service does not say what it read")
    more = three.prompt_tokens - count_tokens(long)
    seen = f"{three.prompt_tokens} tokens were read where the template gives {count_tokens(long)}"
    if abs(more) <= TOLERATED_TOKENS and abs(one.prompt_tokens - count_tokens(short)) <= TOLERATED_TOKENS:
        return ServiceFinding(check, True, seen)
    return ServiceFinding(check, False, f"{seen}: it is {'applied twice, or another one' if more > 0 else 'left out'}")


def _asked(ask: Generator, question: str, sampling: Sampling) -> Reply:
    return ask.generate([[Message(role="user", content=question)]], sampling)[0]
