"""`sartor serve`."""

import argparse
import os
from typing import TYPE_CHECKING

from sartor.base.errors import UsageError

if TYPE_CHECKING:
    from sartor.serving.shelf import OpenAlone

ENGINES = {
    "sartor": "our own",
    "llamacpp": "llama.cpp, from a GGUF file that is exported first (extra llamacpp)",
    "vllm": "hands the exported model over to vLLM (on a GPU)",
}


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "runs",
        nargs="+",
        metavar="RUN",
        help="run folders (RUN:PATH for a path of a choice), model folders, Hub ids, starter, minilm (embeddings), "
        "and knowledge files (.sqlite)",
    )
    parser.add_argument("--path", metavar="NAME", help="path of a choice to serve (default: the chosen one)")
    parser.add_argument(
        "--base", default="starter", metavar="MODEL", help="model that answers from knowledge files (default: starter)"
    )
    parser.add_argument("--host", default="127.0.0.1", help="address; others than this machine's own need a key")
    parser.add_argument("--port", type=int, default=8000, help="port (default: 8000; 0 takes a free one)")
    parser.add_argument(
        "--key-env",
        default="SARTOR_API_KEY",
        metavar="NAME",
        help="environment variable that holds the key callers must send (default: SARTOR_API_KEY)",
    )
    parser.add_argument(
        "--engine",
        choices=list(ENGINES),
        default="sartor",
        help="what computes: " + "; ".join(f"{name}: {meaning}" for name, meaning in ENGINES.items()),
    )
    parser.add_argument(
        "--gguf-dtype",
        choices=["auto", "f32", "bf16", "f16", "q8_0"],
        default="auto",
        help="how --engine llamacpp stores the weights: auto is as the model's are, q8_0 takes half and is quicker",
    )


def run(args: argparse.Namespace) -> None:
    from sartor.serving.auth import check_binding
    from sartor.serving.paths import served_models
    from sartor.serving.server import serve

    key = os.environ.get(args.key_env)
    if key is None and args.key_env != "SARTOR_API_KEY":
        raise UsageError(f"the environment has no {args.key_env}", where="--key-env", hint="export it first")
    if args.engine != "llamacpp" and args.gguf_dtype != "auto":
        raise UsageError("only --engine llamacpp reads GGUF files", where="--gguf-dtype", hint="leave it out")
    check_binding(args.host, key)  # before a model is loaded for nothing
    if args.engine == "vllm":
        _become_vllm(args, key)
    open_alone = _open_with_llama_cpp(args.gguf_dtype) if args.engine == "llamacpp" else None
    models = served_models(args.runs, args.path, args.base, open_alone)
    serve(models, args.host, args.port, key, args.key_env)


def _become_vllm(args: argparse.Namespace, key: str | None) -> None:
    from sartor.recipes.exported import exported
    from sartor.serving.paths import named_paths
    from sartor.serving.vllm import hand_over, plan_handover, require_vllm

    require_vllm()
    if args.port == 0:
        raise UsageError("vLLM takes no port 0", where="--port", hint="name a free port")
    named = named_paths(args.runs, args.path, args.base)
    handover = plan_handover(
        named, lambda location: exported(location, "safetensors"), lambda location: exported(location, "peft")
    )
    hand_over(handover.command(args.host, args.port), key)


def _open_with_llama_cpp(dtype: str) -> "OpenAlone":
    from sartor.data.chat import ChatFormat
    from sartor.generation.llama_engine import LlamaEngine
    from sartor.models.hub import ModelLocation, load_tokenizer
    from sartor.recipes.exported import exported_gguf

    def open_alone(location: ModelLocation) -> tuple[LlamaEngine, ChatFormat]:
        chat = ChatFormat(load_tokenizer(location.folder))
        return LlamaEngine(exported_gguf(location, dtype), chat.decode, chat.stop_ids), chat

    return open_alone
