"""Sartor: language models, made to measure.

Most verbs of the command line are functions here, with the same settings:

    import sartor

    choice = sartor.choose("my-task", out="runs/my-task", budget="20m")
    print(choice.verdict, choice.why)
    model = choice.open()
    print(model("How many days of leave are there?"))

Nothing heavy is imported before the first of them is called.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from sartor.api.alignment import dpo, grpo, ppo, reward
    from sartor.api.choice import Choice, choose, rescore
    from sartor.api.corpus import collect, prepare, pretrain, tokenizer
    from sartor.api.documents import Documents, index
    from sartor.api.finetuning import check, export, find_lr, finetune, plan
    from sartor.api.measuring import evaluate
    from sartor.api.model import Answer, Model, open_model
    from sartor.api.server import Server, serve
    from sartor.api.task import write_task

_HOMES = {
    "alignment": ("dpo", "grpo", "ppo", "reward"),
    "choice": ("Choice", "choose", "rescore"),
    "corpus": ("collect", "prepare", "pretrain", "tokenizer"),
    "documents": ("Documents", "index"),
    "finetuning": ("check", "export", "find_lr", "finetune", "plan"),
    "measuring": ("evaluate",),
    "model": ("Answer", "Model", "open_model"),
    "server": ("Server", "serve"),
    "task": ("write_task",),
}
_HOME_OF = {name: f"sartor.api.{home}" for home, names in _HOMES.items() for name in names}

__all__ = [
    "Answer",
    "Choice",
    "Documents",
    "Model",
    "Server",
    "check",
    "choose",
    "collect",
    "dpo",
    "evaluate",
    "export",
    "find_lr",
    "finetune",
    "grpo",
    "index",
    "open_model",
    "plan",
    "ppo",
    "prepare",
    "pretrain",
    "rescore",
    "reward",
    "serve",
    "tokenizer",
    "write_task",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'sartor' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
