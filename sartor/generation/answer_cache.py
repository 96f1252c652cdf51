"""Answers of a service that were paid for once are not asked for again: a Generator around a Generator, and a file."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from sartor.base.metrics import MetricsLog, read_metrics
from sartor.data.records import Conversation
from sartor.generation.protocol import Generator, Passage, Reply, Sampling


@dataclass(frozen=True)
class Traffic:
    """What answers have cost in US dollars, as far as known, and the bytes that were sent to get them."""

    paid: float = 0.0
    bytes_sent: int = 0

    def plus(self, reply: Mapping[str, Any]) -> "Traffic":
        return Traffic(self.paid + (reply["cost"] or 0.0), self.bytes_sent + reply["bytes_sent"])

    def since(self, before: "Traffic") -> "Traffic":
        return Traffic(self.paid - before.paid, self.bytes_sent - before.bytes_sent)


class Cached:
    """`inner`, asked only for what `file` does not hold yet; `identity` names the model behind it (address and name).

    An answer is written as it arrives, so a batch that was killed goes on where it stopped. It is found again under
    the same identity, messages and sampling, with the seconds, tokens, bytes and cost of the time it was asked;
    replies that are errors are not kept. Equal conversations of one batch are asked once. One process at a time.
    """

    def __init__(self, inner: Generator, identity: str, file: Path):
        self.inner, self.identity = inner, identity
        self._log = MetricsLog(file)  # cuts off a line that a crash left torn
        self._known: dict[str, dict[str, Any]] = {line["key"]: line["reply"] for line in read_metrics(file)}
        self.traffic = Traffic()  # for all that the file holds
        for reply in self._known.values():
            self.traffic = self.traffic.plus(reply)

    def generate(
        self,
        conversations: Sequence[Conversation],
        sampling: Sampling,
        on_reply: Callable[[int, Reply], None] | None = None,
    ) -> list[Reply]:
        replies: dict[int, Reply] = {}
        asked: dict[str, list[int]] = {}

        def give(index: int, reply: Reply) -> None:
            replies[index] = reply
            if on_reply:
                on_reply(index, reply)

        for index, conversation in enumerate(conversations):
            key = self._key(conversation, sampling)
            if key in self._known:
                give(index, _read(self._known[key], conversation))
            else:
                asked.setdefault(key, []).append(index)
        places = list(asked.values())

        def keep(place: int, reply: Reply) -> None:
            if reply.finish != "error":
                self._keep(list(asked)[place], reply)
            for index in places[place]:
                give(index, replace(reply, messages=list(conversations[index])))

        if places:
            try:
                self.inner.generate([conversations[indices[0]] for indices in places], sampling, keep)
            finally:
                self._log.sync()
        return [replies[index] for index in range(len(conversations))]

    def close(self) -> None:
        self._log.close()

    def _keep(self, key: str, reply: Reply) -> None:
        kept = {name: value for name, value in asdict(reply).items() if name != "messages"}
        self._log.append({"key": key, "reply": kept})
        self._known[key] = kept
        self.traffic = self.traffic.plus(kept)

    def _key(self, conversation: Conversation, sampling: Sampling) -> str:
        asked = json.dumps([self.identity, conversation, asdict(sampling)], sort_keys=True)
        return hashlib.sha256(asked.encode("utf-8", "surrogatepass")).hexdigest()


def _read(kept: dict[str, Any], conversation: Conversation) -> Reply:
    values = kept | {
        "messages": list(conversation),
        "passages": [Passage(**each) for each in kept["passages"]],
        "hosts": tuple(kept["hosts"]),
    }
    return Reply(**values)


def paid_for(file: Path) -> float:
    """US dollars that the answers in a file of `Cached` cost, as far as known; 0 where there is none."""
    return sum((line["reply"]["cost"] or 0.0 for line in read_metrics(file)), 0.0)
