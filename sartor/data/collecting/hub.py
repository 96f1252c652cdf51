"""Data sets of the Hugging Face Hub: their Parquet files, at one commit. No code of a data set is ever run."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, constants, hf_hub_download
from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled, RepositoryNotFoundError

from sartor.base.errors import DataError, SartorError, UsageError
from sartor.data.collecting.licences import licence_of

PREFIX = "hub:"
CONVERTED = "refs/convert/parquet"  # the branch in which the Hub keeps its own conversion to Parquet
FORM = re.compile(r"hub:([\w.-]+/[\w.-]+)(?:@([\w./-]+))?")


@dataclass(frozen=True)
class HubName:
    """`owner/name`, and the revision that was asked for."""

    dataset: str
    revision: str | None

    @classmethod
    def parse(cls, given: str) -> "HubName":
        """UsageError for what is not `hub:owner/name` or `hub:owner/name@revision`."""
        found = FORM.fullmatch(given)
        if not found:
            raise UsageError("is no name of a data set", where=given, hint="write hub:owner/name, or …@revision")
        return cls(found[1], found[2])

    def __str__(self) -> str:
        return self.dataset + (f"@{self.revision}" if self.revision else "")


@dataclass(frozen=True)
class HubDataset:
    """The Parquet files of a data set at a commit, by name."""

    dataset: str
    commit: str
    files: tuple[str, ...]
    licence: str | None


def require_online(name: HubName) -> None:
    """SartorError when the person said that the Hub is not to be used."""
    if constants.HF_HUB_OFFLINE:
        hint = "unset HF_HUB_OFFLINE, or give files that are on this machine"
        raise SartorError("the Hub may not be used: HF_HUB_OFFLINE is set", where=f"{PREFIX}{name}", hint=hint)


def find_dataset(name: HubName, api: Any = None) -> HubDataset:
    """Ask the Hub. SartorError when it cannot be reached, DataError when there are no Parquet files."""
    api = api or HfApi()
    try:
        info = api.dataset_info(name.dataset, revision=name.revision)
        licence = _licence(info)
        if name.revision is None and not _parquet_files(info):
            info = api.dataset_info(name.dataset, revision=CONVERTED)
    except RepositoryNotFoundError:
        hint = "check the name; a private one needs a token (`hf auth login`)"
        raise DataError("there is no such data set on the Hub", where=f"{PREFIX}{name}", hint=hint) from None
    except (HfHubHTTPError, OfflineModeIsEnabled, OSError) as error:
        raise _out_of_reach(str(name), error) from None
    files = _parquet_files(info)
    if not files:
        hint = "download its files and give them by path"
        raise DataError("the data set has no Parquet files", where=f"{PREFIX}{name}", hint=hint)
    return HubDataset(name.dataset, info.sha, tuple(files), licence)


def download(dataset: str, commit: str, file: str) -> Path:
    """The file in the Hub's cache; what is there already is not fetched again. SartorError when it cannot be had."""
    try:
        return Path(hf_hub_download(dataset, file, repo_type="dataset", revision=commit))
    except (HfHubHTTPError, OfflineModeIsEnabled, OSError, ValueError) as error:
        raise _out_of_reach(dataset, error) from None


def _parquet_files(info: Any) -> list[str]:
    return sorted(each.rfilename for each in info.siblings or [] if each.rfilename.endswith(".parquet"))


def _licence(info: Any) -> str | None:
    stated = info.card_data.get("license") if info.card_data else None
    names = stated if isinstance(stated, list) else [stated]
    found = [licence for name in names if isinstance(name, str) and (licence := licence_of(name))]
    return " AND ".join(found) or None


def _out_of_reach(name: str, error: Exception) -> SartorError:
    first = next(iter(str(error).splitlines()), type(error).__name__)
    hint = "check the network and run the same command again: it goes on"
    return SartorError(f"the Hub cannot be read: {first}", where=f"{PREFIX}{name}", hint=hint)
