"""A cap on what a service may cost: asked before every request, told after every answer."""

import threading

from sartor.base.errors import SartorError, UsageError
from sartor.data.records import Conversation
from sartor.generation.prices import Price

FEWEST_BYTES_A_TOKEN = 2  # assumed: texts take about four; a request that is dearer is counted at its real cost
TEMPLATE_TOKENS = 16  # assumed, a message


class BudgetSpent(SartorError):
    """The next request might cost more than is left."""


class Spending:
    """At most `limit` US dollars for all requests together, from any number of threads.

    A request reserves the most it may cost and is settled at what it did cost (the reserve where the service does not
    say), so that the sum stays below the limit as long as prompts have at least `FEWEST_BYTES_A_TOKEN` bytes a token.
    """

    def __init__(self, limit: float, spent: float = 0.0):
        """`spent` was paid before. UsageError for a limit that allows nothing."""
        if not limit > 0:
            raise UsageError("the budget must be above 0 US dollars", hint="leave it out for no cap")
        self.limit, self.spent = limit, spent
        self._reserved = 0.0
        self._lock = threading.Lock()

    def reserve(self, worst: float) -> None:
        """Take `worst` dollars out of what is left. BudgetSpent when that is less."""
        with self._lock:
            if self.spent + self._reserved + worst > self.limit:
                raise BudgetSpent(
                    f"the next request may cost ${worst:.4f}, and of the budget of ${self.limit:g} ${self.spent:.4f} "
                    "are spent",
                    hint="raise the budget; what was answered is kept and not asked again",
                )
            self._reserved += worst

    def settle(self, worst: float, cost: float | None) -> None:
        """The request that reserved `worst` has ended: it cost so much (None: unknown)."""
        with self._lock:
            self._reserved -= worst
            self.spent += worst if cost is None else cost


def worst_cost(price: Price, conversation: Conversation, max_new_tokens: int) -> float:
    """US dollars for the longest answer to a conversation, whose tokens are assumed from its bytes."""
    prompt = sum(
        len(message["content"].encode("utf-8", "replace")) // FEWEST_BYTES_A_TOKEN + TEMPLATE_TOKENS
        for message in conversation
    )
    return price.cost(prompt, max_new_tokens)
