"""The command `sartor`: which verbs there are, and how a verb is loaded, run and, when it fails, explained.

Only the verb that is called is imported, and nothing heavy before its `run`, so that help answers at once.
"""

import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass

from sartor import __version__
from sartor.base.configuration import nearest
from sartor.base.errors import SartorError, UsageError
from sartor.cli.options import VerbParser

PIPE_CLOSED_EXIT_CODE = 141  # 128 + SIGPIPE, as of any program whose reader went away
INTERRUPT_EXIT_CODE = 130


@dataclass(frozen=True)
class Verb:
    """One command: `sartor.cli.<name>` holds `add_options(parser)` and `run(args) -> int | None`."""

    name: str
    summary: str
    example: str

    @property
    def module(self) -> str:
        return "sartor.cli." + self.name.replace("-", "_").replace(" ", "_")


GROUPS: dict[str, tuple[Verb, ...]] = {
    "choose": (
        Verb("demo", "run the main job on the example task, offline after one download", "sartor demo"),
        Verb(
            "choose",
            "measure prompting, retrieval and fine-tuning on a task, decide, report",
            "sartor choose my-task --out runs/my-task --budget 20m",
        ),
    ),
    "make": (
        Verb(
            "collect",
            "gather documents from files, web pages, archives and data sets",
            "sartor collect books/ https://example.org/sitemap.xml --out collected",
        ),
        Verb(
            "prepare",
            "clean documents: filters, duplicates, personal data; every drop has a reason",
            "sartor prepare collected --preset fineweb-2024 --languages en --out prepared",
        ),
        Verb(
            "tokenizer",
            "train a tokenizer on texts and measure it against others",
            "sartor tokenizer books/ --vocab-size 16384 --out tokenizers/books",
        ),
        Verb(
            "pretrain",
            "train a model on running text, new or going on with one",
            "sartor pretrain books/ --preset 10m --out runs/books",
        ),
        Verb(
            "finetune",
            "train a model on examples",
            "sartor finetune train.jsonl --base starter --adapter lora --out runs/tuned",
        ),
        Verb(
            "reward",
            "train a model that scores answers, from preference pairs",
            "sartor reward preferences.jsonl --base starter --out runs/reward",
        ),
        Verb(
            "dpo",
            "train a model to answer as is preferred, from preference pairs",
            "sartor dpo preferences.jsonl --base starter --out runs/preferred",
        ),
        Verb(
            "ppo",
            "reinforcement learning with a value function, for any reward",
            "sartor ppo prompts.jsonl --base starter --reward runs/reward --out runs/ppo",
        ),
        Verb(
            "grpo",
            "reinforcement learning on answers that can be checked",
            "sartor grpo my-task --base starter --answers 8 --out runs/grpo",
        ),
        Verb(
            "find-lr",
            "search the learning rate of a fine-tuning run with short trials",
            "sartor find-lr train.jsonl --base starter --minutes 5 --out runs/rate",
        ),
        Verb(
            "prefer",
            "judge two answers to each question, to make preference pairs",
            "sartor prefer starter my-task --page",
        ),
        Verb("index", "put documents into a knowledge file", "sartor index handbook/ --out handbook.sqlite"),
    ),
    "measure": (
        Verb(
            "evaluate",
            "score models on tasks, with intervals; compare two",
            "sartor evaluate runs/tuned my-task",
        ),
        Verb(
            "judge-check",
            "compare a scorer with people's labels, and correct the scores by them",
            "sartor judge-check runs/my-task --sheet labels.csv",
        ),
        Verb(
            "plan",
            "what a fine-tuning run will take: memory, time, disk, cost",
            "sartor plan train.jsonl --base starter --price-per-hour 1.20",
        ),
        Verb(
            "plan pretrain",
            "the size and tokens of a new model for a budget, and the loss to expect",
            "sartor plan pretrain --hours 24 --teraflops 989",
        ),
        Verb(
            "check",
            "prove on your model and rows that training computes what it should",
            "sartor check train.jsonl --base starter",
        ),
        Verb("runs", "list, show, compare and remove runs", "sartor runs compare runs/small runs/large"),
        Verb(
            "models",
            "list base models on this machine; compare some on your held-out rows",
            "sartor models compare starter other-model/ --data train.jsonl",
        ),
        Verb("doctor", "show what this machine and installation have, and what is wrong", "sartor doctor"),
    ),
    "use": (
        Verb(
            "ask",
            "answer a question from a knowledge file, with citations",
            'sartor ask handbook.sqlite "How many days of leave are there?"',
        ),
        Verb("search", "find passages in a knowledge file", 'sartor search handbook.sqlite "parental leave"'),
        Verb("chat", "talk to a model or a run", "sartor chat runs/tuned"),
        Verb(
            "export",
            "write a model for other tools, scored again before it is done",
            "sartor export runs/tuned --format gguf --out exported",
        ),
        Verb(
            "ui",
            "chat, runs, choices and documents as pages in a browser",
            "sartor ui runs/tuned --documents handbook.sqlite",
        ),
        Verb("serve", "serve runs as an OpenAI-compatible endpoint", "sartor serve runs/my-task --port 8000"),
    ),
}
VERBS = {verb.name: verb for verbs in GROUPS.values() for verb in verbs}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line (that of the process by default); the exit code."""
    try:
        code = _run(list(sys.argv[1:] if arguments is None else arguments))
        sys.stdout.flush()
        return code
    except SartorError as error:
        _explain(error)
        return error.exit_code
    except KeyboardInterrupt:
        return INTERRUPT_EXIT_CODE
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains as it ends
        return PIPE_CLOSED_EXIT_CODE
    except Exception:
        traceback.print_exc()
        print("error: this is a bug in Sartor; please report it with the lines above", file=sys.stderr)
        return 1


def parser_of(verb: Verb) -> VerbParser:
    """The verb's options; imports its module."""
    parser = VerbParser(
        prog=f"sartor {verb.name}",
        description=verb.summary[0].upper() + verb.summary[1:] + ".",
        epilog=f"example: {verb.example}",
    )
    importlib.import_module(verb.module).add_options(parser)
    return parser


def overview() -> str:
    """What `sartor --help` prints."""
    lines = ["Sartor: language models, made to measure.", "", "usage: sartor VERB [options]"]
    for group, verbs in GROUPS.items():
        lines += ["", f"{group}:"]
        lines += [f"  {verb.name:<13} {verb.summary}" for verb in verbs]
    lines += ["", "`sartor VERB --help` explains a verb; `sartor --version` prints the version.", ""]
    lines += ["example: " + VERBS["choose"].example]
    return "\n".join(lines)


def _run(arguments: list[str]) -> int:
    first = arguments[0] if arguments else "--help"
    if first in ("-h", "--help", "help"):
        print(overview())
        return 0
    if first in ("-V", "--version"):
        print(f"sartor {__version__}")
        return 0
    if first not in VERBS:
        kind = "option" if first.startswith("-") else "verb"
        near = nearest(first, VERBS)
        hint = f"did you mean `sartor {near}`?" if near else "`sartor --help` lists the verbs"
        raise UsageError(f"unknown {kind} {first}", hint=hint)
    words = 2 if " ".join(arguments[:2]) in VERBS else 1
    verb = VERBS[" ".join(arguments[:words])]
    args = parser_of(verb).parse_args(arguments[words:])
    return importlib.import_module(verb.module).run(args) or 0


def _explain(error: SartorError) -> None:
    place = f"{error.where}: " if error.where else ""
    print(f"error: {place}{error.what}", file=sys.stderr)
    if error.hint:
        print(f"hint: {error.hint}", file=sys.stderr)
