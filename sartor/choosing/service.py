"""The remote model of a choice: checked once, capped in what it may cost, and never asked the same thing twice."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sartor.base.console import say, warn
from sartor.base.run_folder import RunFolder
from sartor.generation.answer_cache import Cached, Traffic, paid_for
from sartor.generation.prices import load_prices
from sartor.generation.protocol import Generator
from sartor.generation.remote import Remote
from sartor.generation.service_checks import check_service
from sartor.generation.spending import Spending

if TYPE_CHECKING:
    from sartor.choosing.choose import ChooseConfig

ANSWERS_FILE = "remote_answers.jsonl"  # what the service has answered, for this run and every one that goes on with it
SERVICE_FILE = "service.json"  # what the checks of the service found


class Service:
    """UsageError for an address, a key or a price that cannot be one; nothing is asked before `open`."""

    def __init__(self, config: "ChooseConfig"):
        assert config.api and config.api_base_url
        self.config = config
        self.names: dict[str, Any] = {
            "model": config.api,
            "api_base_url": config.api_base_url,
            "api_key_env": config.api_key_env,
        }
        self._remote(0.0)
        self._opened: Cached | None = None

    def open(self, folder: RunFolder) -> Generator:
        """The model behind the run's file of answers. What was paid for before counts against the budget."""
        if self._opened is None:
            file = folder.path / ANSWERS_FILE
            remote = self._remote(paid_for(file))
            identity = f"{self.config.api} at {self.config.api_base_url}"
            if self._last_checked(folder) != identity:
                _check(remote, folder, identity)
            self._opened = Cached(remote, identity, file)
        return self._opened

    @property
    def traffic(self) -> Traffic:
        """For all answers of this run so far; nothing before the model is opened."""
        return Traffic() if self._opened is None else self._opened.traffic

    def _last_checked(self, folder: RunFolder) -> str | None:
        return folder.read_json(SERVICE_FILE)["model"] if (folder.path / SERVICE_FILE).is_file() else None

    def _remote(self, spent: float) -> Remote:
        config = self.config
        assert config.api and config.api_base_url
        spending = None if config.api_budget is None else Spending(config.api_budget, spent)
        prices = load_prices(Path(config.prices) if config.prices else None)
        return Remote(config.api, config.api_base_url, api_key_env=config.api_key_env, prices=prices, spending=spending)


def _check(remote: Remote, folder: RunFolder, identity: str) -> None:
    say(f"checking whether {remote.host} does what it is asked to")
    findings = check_service(remote)
    for finding in findings:
        if finding.passed is False:
            warn(f"{remote.host}: {finding.check}: no. {finding.what}")
    folder.write_json(SERVICE_FILE, {"model": identity, "findings": [asdict(finding) for finding in findings]})
