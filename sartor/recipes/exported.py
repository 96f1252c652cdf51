"""A copy of a model for another engine, exported when it is first asked for and kept in the cache."""

import hashlib
from pathlib import Path

from sartor.models.hub import ModelLocation
from sartor.models.starter import cache_folder
from sartor.recipes.export import ExportConfig, Format, run

REPORT_FILE = "export.json"  # an export that is whole has one


def exported(location: ModelLocation, form: Format, dtype: str = "auto") -> Path:
    """The folder with the copy. A model whose files have changed since is exported again."""
    out = cache_folder() / "exports" / _fingerprint(location, form, dtype)
    if not (out / REPORT_FILE).is_file():
        model = str(location.adapter or location.folder)
        run(ExportConfig.model_validate({"model": model, "format": form, "dtype": dtype, "out": str(out)}))
    return out


def exported_gguf(location: ModelLocation, dtype: str = "auto") -> Path:
    """The GGUF file with the whole model, its adapter merged."""
    return next(exported(location, "gguf", dtype).glob("*.gguf"))


def _fingerprint(location: ModelLocation, form: Format, dtype: str) -> str:
    """Of the names, sizes and times of the model's files, and of what is made of them."""
    parts = [form, dtype]
    for folder in (location.folder, location.adapter):
        for file in sorted(folder.iterdir()) if folder is not None else ():
            status = file.stat()
            parts.append(f"{file.resolve()} {status.st_size} {status.st_mtime_ns}")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:20]
