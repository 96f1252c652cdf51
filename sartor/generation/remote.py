"""A model behind any OpenAI-compatible HTTP service as a `Generator`.

Retries are ours, not the SDK's (which is told to make none): waits end when the batch is given up, one
`Retry-After` holds back all threads, and answers that are no chat completion are asked for again.
"""

import contextlib
import itertools
import json
import threading
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any
from urllib.parse import urlsplit

import httpx2
import openai
from openai.types.chat import ChatCompletion

from sartor.base.console import warn
from sartor.base.errors import SartorError, UsageError
from sartor.data.records import Conversation
from sartor.generation.api_key import masked, read_key
from sartor.generation.prices import Price, PriceTable, load_prices, user_prices_file
from sartor.generation.protocol import Reply, Sampling
from sartor.generation.retry import RetryPolicy
from sartor.generation.spending import BudgetSpent, Spending, worst_cost

OPENAI_HOST = "api.openai.com"
LOOPBACK = ("localhost", "127.0.0.1", "::1")
WORTH_ASKING_AGAIN = (408, 409, 425, 429)
WRONG_SET_UP = (301, 302, 303, 307, 308, 402, 404, 405)
LONGEST_MESSAGE = 300


class _Failure(Exception):
    """One attempt without an answer. `again`: another may get one; `unreachable`: there was no connection;
    `maybe_paid`: the service may have answered, and charged for it."""

    def __init__(
        self,
        what: str,
        again: bool,
        retry_after: str | None = None,
        unreachable: bool = False,
        maybe_paid: bool = False,
    ):
        super().__init__(what)
        self.what, self.again, self.retry_after = what, again, retry_after
        self.unreachable, self.maybe_paid = unreachable, maybe_paid


@dataclass
class _Batch:
    """What the threads of one `generate` share."""

    conversations: Sequence[Conversation]
    sampling: Sampling
    todo: "SimpleQueue[int]" = field(default_factory=SimpleQueue)
    done: "SimpleQueue[tuple[int, Reply | Exception]]" = field(default_factory=SimpleQueue)
    stopped: threading.Event = field(default_factory=threading.Event)
    resume_at: float = 0.0  # on the monotonic clock: nobody asks before
    answered: bool = False

    def wait(self, seconds: float, everyone: bool) -> None:
        """Wait before the next attempt; `everyone` holds the other threads back as well."""
        if everyone:
            self.resume_at = max(self.resume_at, time.monotonic() + seconds)
        self.stopped.wait(seconds)

    def wait_for_turn(self) -> None:
        while not self.stopped.is_set() and (left := self.resume_at - time.monotonic()) > 0:
            self.stopped.wait(left)


class Remote:
    """Answers conversations with `model` at `base_url` (such as `https://api.openai.com/v1`).

    The key comes from the environment variable `api_key_env` or the file `api_key_file`; without either none
    is sent, save that api.openai.com gets `OPENAI_API_KEY`. `omit` names parameters that the service does not
    take (temperature, top_p, stop, seed). At most `concurrency` requests are under way at once.

    Each Reply's `seconds` run from its first attempt to its answer, waits in between included; `bytes_sent`
    counts request line, headers and body of every attempt as the client sends them (TLS aside; redirects are
    not followed); `cost` is None where the price or the token counts are unknown.

    A rejected key, an unknown model, an empty account or a refused parameter stops the batch at once with
    UsageError, a host that never could be reached or a `spending` that is used up with SartorError. Replies that
    were finished by then have gone to `on_reply`, which is called in the caller's thread.
    """

    def __init__(
        self,
        model: str,
        base_url: str,
        *,
        api_key_env: str | None = None,
        api_key_file: str | None = None,
        prices: PriceTable | None = None,
        concurrency: int = 8,
        timeout_seconds: float = 120.0,
        retry: RetryPolicy | None = None,
        omit: Collection[str] = (),
        spending: Spending | None = None,
    ):
        self.model, self.base_url, self.concurrency = model, base_url, concurrency
        self.host = _host(base_url)
        self.retry, self.omit = retry or RetryPolicy(), frozenset(omit)
        if api_key_env is None and api_key_file is None and self.host == OPENAI_HOST:
            api_key_env = "OPENAI_API_KEY"
        self._key = read_key(api_key_env, api_key_file)
        if self._key and urlsplit(base_url).scheme == "http" and urlsplit(base_url).hostname not in LOOPBACK:
            warn(f"the key and all messages go to {self.host} unencrypted; use https if the service has it")
        self.price = (prices or load_prices()).find(self.host, model)
        if self.price is None:
            warn(
                f"no price is known for {model} at {self.host}, so its cost is unknown: name it in {user_prices_file()}"
            )
        if spending is not None and self.price is None:
            raise UsageError(
                f"a budget cannot be kept: no price is known for {model} at {self.host}",
                hint=f"name it in {user_prices_file()} or a file given with --prices",
            )
        self._spending = spending
        self._token_limit = "max_tokens"  # most services know this name; OpenAI's newer models want another
        self._thread = threading.local()
        http = openai.DefaultHttpxClient(
            timeout=timeout_seconds, follow_redirects=False, event_hooks={"request": [self._before_sending]}
        )
        self._client = openai.OpenAI(api_key=self._key or "none", base_url=base_url, max_retries=0, http_client=http)

    def generate(
        self,
        conversations: Sequence[Conversation],
        sampling: Sampling,
        on_reply: Callable[[int, Reply], None] | None = None,
    ) -> list[Reply]:
        batch = _Batch(conversations, sampling)
        replies: dict[int, Reply] = {}
        for index in range(len(conversations)):
            batch.todo.put(index)
        threads = [
            threading.Thread(target=self._work, args=(batch,), daemon=True)
            for _ in range(min(self.concurrency, len(conversations)))
        ]
        for thread in threads:
            thread.start()

        def take(index: int, outcome: Reply | Exception) -> None:
            if isinstance(outcome, Exception):
                raise outcome
            replies[index] = outcome
            if on_reply:
                on_reply(index, outcome)

        try:
            while len(replies) < len(conversations):
                take(*batch.done.get())
        except BudgetSpent:
            batch.stopped.set()
            for thread in threads:  # what is under way is paid for: it is waited for and handed out
                thread.join()
            while not batch.done.empty():
                with contextlib.suppress(BudgetSpent):
                    take(*batch.done.get())
            raise
        finally:
            batch.stopped.set()
        return [replies[index] for index in range(len(conversations))]

    # --- in the threads -----------------------------------------------------------------------------------

    def _work(self, batch: _Batch) -> None:
        while not batch.stopped.is_set():
            try:
                index = batch.todo.get_nowait()
            except Empty:
                return
            outcome: Reply | Exception | None
            try:
                outcome = self._answer(batch, batch.conversations[index])
            except Exception as error:  # the caller's thread raises it
                batch.stopped.set()  # now, so that nobody asks for what nobody will read
                outcome = error
            if outcome is not None:
                batch.done.put((index, outcome))

    def _answer(self, batch: _Batch, conversation: Conversation) -> Reply | None:
        """None when the batch was given up while this waited: nobody would read what is paid for from then on."""
        batch.wait_for_turn()
        started = time.perf_counter()
        self._thread.bytes_sent = 0
        for attempt in itertools.count(1):
            if batch.stopped.is_set():
                return None
            try:
                reply = self._ask_within_budget(conversation, batch)
                batch.answered = True
                break
            except _Failure as failure:
                wait = self.retry.wait_seconds(attempt, failure.retry_after) if failure.again else None
                if wait is None:
                    reply = self._give_up(failure, attempt, batch)
                    break
                batch.wait(wait, everyone=failure.retry_after is not None)
                batch.wait_for_turn()
        reply.seconds = time.perf_counter() - started
        reply.messages, reply.hosts = list(conversation), (self.host,)
        reply.bytes_sent = self._thread.bytes_sent
        return reply

    def _give_up(self, failure: _Failure, attempts: int, batch: _Batch) -> Reply:
        if failure.unreachable and not batch.answered:
            what = f"cannot connect to {self.host}: {failure.what}"
            raise SartorError(what, hint="is the server running? check the base URL")
        tries = f" ({attempts} attempts)" if attempts > 1 else ""
        return Reply("", "error", error=failure.what + tries, cost=None)

    def _ask_within_budget(self, conversation: Conversation, batch: _Batch) -> Reply:
        if self._spending is None or self.price is None:
            return self._ask(conversation, batch)
        worst = worst_cost(self.price, conversation, batch.sampling.max_new_tokens)
        self._spending.reserve(worst)
        cost: float | None = 0.0  # of a request that was refused
        try:
            reply = self._ask(conversation, batch)
            cost = reply.cost
        except _Failure as failure:
            cost = None if failure.maybe_paid else 0.0
            raise
        finally:
            self._spending.settle(worst, cost)
        return reply

    def _ask(self, conversation: Conversation, batch: _Batch) -> Reply:
        """One request. `_Failure` when it gave no answer, UsageError when none of the batch can get one."""
        limit = self._token_limit
        request: Any = {"model": self.model, "messages": conversation, **self._options(batch.sampling, limit)}
        try:
            completion = self._client.chat.completions.create(**request)
        except openai.APIStatusError as error:
            if limit == "max_tokens" and error.param == limit and error.code == "unsupported_parameter":
                self._token_limit = "max_completion_tokens"
                return self._ask(conversation, batch)
            raise self._explain(error, batch) from None
        except openai.APITimeoutError as error:
            unreachable = isinstance(error.__cause__, httpx2.ConnectTimeout)
            raise _Failure(
                "no answer in time", again=True, unreachable=unreachable, maybe_paid=not unreachable
            ) from None
        except openai.APIConnectionError as error:
            unreachable = isinstance(error.__cause__, httpx2.ConnectError)
            what = self._shown(str(error.__cause__ or error))
            raise _Failure(what, again=True, unreachable=unreachable, maybe_paid=not unreachable) from None
        except json.JSONDecodeError:
            raise _Failure("the answer is not JSON", again=True, maybe_paid=True) from None
        return _read(completion, self.price)

    def _options(self, sampling: Sampling, token_limit: str) -> dict[str, Any]:
        options: dict[str, Any] = {"temperature": sampling.temperature, "seed": sampling.seed}
        if sampling.top_p < 1:
            options["top_p"] = sampling.top_p
        if sampling.stop:
            options["stop"] = list(sampling.stop)
        options = {name: value for name, value in options.items() if name not in self.omit}
        return {**options, token_limit: sampling.max_new_tokens}

    def _explain(self, error: openai.APIStatusError, batch: _Batch) -> Exception:
        status, what = error.status_code, self._shown(_message(error))
        line = f"{self.host} answered {status}: {what}"
        if status == 401:
            hint = "check the key" if self._key else "name the environment variable that holds the key"
            return UsageError(line, hint=hint)
        refused = status == 403 and not batch.answered  # later on it is one conversation that is not welcome
        if status in WRONG_SET_UP or refused or error.code == "insufficient_quota":
            return UsageError(line, hint="check the base URL, the model's name and the account")
        if error.code in ("unsupported_parameter", "unsupported_value") and error.param:
            return UsageError(line, hint=f"leave out {error.param} for this model")
        again = status in WORTH_ASKING_AGAIN or status >= 500
        return _Failure(f"HTTP {status}: {what}", again, error.response.headers.get("retry-after"))

    def _shown(self, text: str) -> str:
        line = " ".join(masked(text, self._key).split())
        return line if len(line) <= LONGEST_MESSAGE else line[: LONGEST_MESSAGE - 1] + "…"

    def _before_sending(self, request: httpx2.Request) -> None:
        """Take out what is not the service's business, and count what is left."""
        unwanted = ("x-stainless-",) if self.host == OPENAI_HOST else ("x-stainless-", "openai-")
        for name in [name for name in request.headers if name.startswith(unwanted)]:
            del request.headers[name]
        if self._key is None:
            request.headers.pop("authorization", None)
        line = len(request.method) + len(request.url.raw_path) + len("  HTTP/1.1\r\n\r\n")
        headers = sum(len(name) + len(value) + len(": \r\n") for name, value in request.headers.raw)
        self._thread.bytes_sent += line + headers + len(request.read())


def _read(completion: object, price: Price | None) -> Reply:
    """The SDK does not check what it parses, so this does. `_Failure` when it is no answer."""
    choices = completion.choices if isinstance(completion, ChatCompletion) else None
    if not isinstance(completion, ChatCompletion) or not isinstance(choices, list) or not choices:
        raise _Failure("the answer is not a chat completion", again=True, maybe_paid=True)
    text = getattr(choices[0].message, "content", 0)
    if not isinstance(text, str | None):
        raise _Failure("the answer's message is not text", again=True, maybe_paid=True)
    asked = getattr(completion.usage, "prompt_tokens", None)
    answered = getattr(completion.usage, "completion_tokens", None)
    finish = str(choices[0].finish_reason)
    reply = Reply(text or "", finish, cost=None)
    if isinstance(asked, int) and isinstance(answered, int):
        reply.prompt_tokens, reply.completion_tokens = asked, answered
        reply.cost = price.cost(asked, answered) if price else None
    if finish not in ("stop", "length"):
        reply.text, reply.finish, reply.error = "", "error", f"the service ended the answer with {finish!r}"
    return reply


def _host(base_url: str) -> str:
    """The host, with its port where one is written. UsageError when this is no address of a service."""
    try:
        parts = urlsplit(base_url)
        is_address = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # half a pair of brackets, or a port that is no number below 65,536
        is_address = False
    if not is_address or any(map(str.isspace, base_url)):
        raise UsageError("the base URL is not one of a web service", hint="write it as https://host/v1")
    if "@" in parts.netloc:
        hint = "name the environment variable that holds the key instead"
        raise UsageError("the base URL holds a user's name or password", hint=hint)
    return parts.netloc.lower()


def _message(error: openai.APIStatusError) -> str:
    body = error.body
    if isinstance(body, dict):
        return str(body.get("message") or body.get("detail") or body)
    return str(body or error.message)
