"""Where a run happened: versions, machine and settings, for environment.json and `sartor doctor`."""

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from sartor import __version__
from sartor.base.device import compute_dtype, cpu_name, device, memory, num_threads

PACKAGES = (
    "torch",
    "transformers",
    "tokenizers",
    "safetensors",
    "numpy",
    "pydantic",
    "pyarrow",
    "openai",
    "starlette",
)
SECRET_WORDS = ("KEY", "TOKEN", "SECRET", "PASSWORD")
TOLD_PREFIXES = ("SARTOR_", "HF_", "OPENAI_", "CUDA_", "OMP_", "MKL_")


def describe_environment() -> dict[str, Any]:
    """Everything a rerun elsewhere would want to compare, as JSON; values of secrets are never in it."""
    on = device()
    return {
        "sartor": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": cpu_name(),
        "cores": num_threads(),
        "torch_threads": torch.get_num_threads(),
        "memory_bytes": memory().total_bytes,
        "device": torch.cuda.get_device_name(on) if on.type == "cuda" else "cpu",
        "device_count": torch.cuda.device_count(),
        "compute_dtype": str(compute_dtype(on)).removeprefix("torch."),
        "packages": {name: package_version(name) for name in PACKAGES},
        "variables": told_variables(),
        "command": sys.argv,
    }


def package_version(name: str) -> str | None:
    """The installed version, None when the package is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def told_variables() -> dict[str, str]:
    """Environment variables that change what happens; secrets are shown as `set`."""
    return {
        name: "set" if any(word in name for word in SECRET_WORDS) else value
        for name, value in sorted(os.environ.items())
        if name.startswith(TOLD_PREFIXES)
    }
