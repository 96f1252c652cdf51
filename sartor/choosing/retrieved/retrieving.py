"""The retrieval paths: how much is read of what is found, in which order, behind which prompt.

The search itself is chosen by what it finds (`search_choice`); only where no evidence is known is it chosen here, by
the answers. Each step keeps the best of the one before and searches by halving on dev rows.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING

from sartor.base.console import say
from sartor.choosing.fitting.budget import Share
from sartor.choosing.fitting.halving import Trials, halve
from sartor.choosing.fitting.tries import Tries
from sartor.choosing.prompted.prompting import Prompt, Tried, dev_rows, dev_scores
from sartor.choosing.retrieved.library import Library, Search
from sartor.generation.protocol import Generator
from sartor.retrieval.grounded import Grounded

if TYPE_CHECKING:
    from sartor.choosing.fitting.workshop import Workshop
    from sartor.retrieval.path import PathConfig

SEARCH_PART, NUMBER_PART = 0.4, 0.75  # of the path's time: until the search, and until the number of passages is fixed


@dataclass(frozen=True)
class Retrieval:
    """What is searched, how many passages are read in which order, behind which prompt."""

    search: Search
    passages: int
    prompt: Prompt
    best_last: bool = False

    @property
    def setting(self) -> str:
        number = f"{self.passages} passage{'' if self.passages == 1 else 's'}"
        order = " with the best next to the question" if self.best_last else ""
        return f"{number}{order}, {self.prompt.setting}"

    def over(self, inner: Generator, library: Library) -> Grounded:
        retriever = library.retriever_of(self.search)
        return Grounded(self.prompt.over(inner), retriever, self.passages, best_last=self.best_last)


def fit_retrieval(shop: "Workshop", name: str, folder: Path, share: Share) -> tuple["PathConfig", list[Tried]]:
    """The path with the best score on dev rows, and all that was tried: the instruction alone and what prompting
    without documents chose, each over passages."""
    plain = Prompt(shop.brief.task.instruction, (), "instruction, 0 examples")
    best = shop.prompt_of("api" if name == "api+rag" else "prompt")
    trials = retrieval_trials(shop, name, share.tries)
    chosen = choose_retrieval(shop.library, plain, best, trials, share)
    say(f"{name}: chosen on dev rows: {chosen.setting}; {chosen.search.setting}")
    tried = [
        Tried(_setting(each, shop.library), mean(scores), each == chosen, len(scores))
        for each, scores in trials.scores.items()
    ]
    knowledge = chosen.search.knowledge(chosen.passages, chosen.best_last)
    config = shop.path_config(name, knowledge=knowledge, **shop.prompt_settings(chosen.prompt))
    return config, [*shop.library.tried, *tried]


def retrieval_trials(shop: "Workshop", name: str, tries: Tries) -> Trials[Retrieval]:
    """Scores of retrievals on dev rows, in the order in which prompts are tried on them."""
    rows = dev_rows(shop.brief, shop.config.seed)

    def score(retrieval: Retrieval, first: int, last: int) -> list[float | None]:
        label = f"{name}: {_setting(retrieval, shop.library)}" + (f", rows {first + 1} to {last}" if first else "")
        return dev_scores(shop.brief, retrieval.over(shop.model(name), shop.library), rows[first:last], label)

    return Trials(score, len(rows), tries, _about)


def _about(retrieval: Retrieval) -> tuple[object, ...]:
    """All that its answers depend on."""
    prompt = retrieval.prompt
    front = (prompt.instruction, prompt.examples, prompt.num_similar)
    return retrieval.search, retrieval.passages, retrieval.best_last, front


def choose_retrieval(
    library: Library, plain: Prompt, best: Prompt, trials: Trials[Retrieval], share: Share
) -> Retrieval:
    """First the search, where evidence did not choose it; then how many passages; then their order and the prompt."""
    chosen = Retrieval(library.search, library.enough_passages, plain)
    if len(library.searches) > 1:
        usual = [Retrieval(each, each.for_as_much_text_as(2), plain) for each in library.searches]
        chosen = halve(usual, trials, share.part(SEARCH_PART))
    numbers = numbers_to_try(library, chosen.search)
    chosen = halve([replace(chosen, passages=number) for number in numbers], trials, share.part(NUMBER_PART))
    return halve(variants(chosen, best), trials, share)


def numbers_to_try(library: Library, search: Search) -> list[int]:
    """Ascending: no more passages than find nearly all that more of them would find."""
    most = library.enough_passages if library.recalls else max(search.numbers)
    return [number for number in search.numbers if number <= most]


def variants(chosen: Retrieval, best: Prompt) -> list[Retrieval]:
    """What is chosen so far, the same in the other order, and behind the prompt that prompting chose; the shortest
    first."""
    found = [chosen]
    if chosen.passages > 1:
        found.append(replace(chosen, best_last=True))
    if not best.fronts_as(chosen.prompt):
        found += [replace(chosen, prompt=best, passages=number) for number in sorted({1, chosen.passages})]
    return found


def _setting(retrieval: Retrieval, library: Library) -> str:
    """The search is named where there are several."""
    return f"{retrieval.setting}; {retrieval.search.setting}" if len(library.searches) > 1 else retrieval.setting
