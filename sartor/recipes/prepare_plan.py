"""`sartor prepare --dry-run`: what will be done and what it will take, from a small copy of the run."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from sartor.base.console import format_seconds
from sartor.base.durable import format_bytes
from sartor.base.machine import peak_rss_bytes, peak_rss_of_a_child_bytes
from sartor.recipes.prepare import folders, num_processes
from sartor.recipes.prepare_settings import PrepareConfig


@dataclass(frozen=True)
class PreparePlan:
    """Documents and bytes are counted; the rest is extrapolated from `sampled_documents`, which were prepared like the
    others will be. The search for duplicates is part of the sample, but it finds more in more documents."""

    documents: int
    text_bytes: int
    shards: int
    processes: int
    steps: list[str]
    sampled_documents: int
    kept_share: float
    seconds: float
    memory_bytes: int
    disk_bytes: int

    def lines(self) -> list[str]:
        """For a person."""
        return [
            f"{self.documents:,} documents, {format_bytes(self.text_bytes)} of text in {self.shards:,} shards",
            f"steps: {', '.join(self.steps) or 'none'}",
            f"from {self.sampled_documents:,} documents that were tried, with {self.processes} processes:",
            f"  kept: about {self.kept_share:.0%}",
            f"  time: about {format_seconds(self.seconds)}",
            f"  memory: about {format_bytes(self.memory_bytes)}",
            f"  disk: about {format_bytes(self.disk_bytes)}, while it runs",
        ]


def run(config: PrepareConfig) -> PreparePlan:
    """Prepare a table of a few files in a folder that is removed again."""
    from sartor.data.pipeline.engine import Engine
    from sartor.data.pipeline.run import prepare_documents
    from sartor.recipes.prepare_steps import open_source, plan_of, write_sample

    source, _ = folders(config)
    whole, processes = open_source(source), num_processes(config)
    with tempfile.TemporaryDirectory(prefix="sartor-plan-") as temporary:
        out = Path(temporary) / "out"
        sample = write_sample(whole, Path(temporary) / "sample")
        plan = plan_of(config, sample.path, out)
        account = prepare_documents(plan, out, Engine())
        disk = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    share = whole.num_bytes / max(sample.num_bytes, 1)
    at_once = min(processes, max(len(whole.files), 1))
    return PreparePlan(
        documents=whole.num_documents,
        text_bytes=whole.num_bytes,
        shards=len(whole.files),
        processes=at_once,
        steps=list(account.ledger.steps),
        sampled_documents=sample.num_documents,
        kept_share=account.kept / max(account.given, 1),
        seconds=account.seconds.total() * share / at_once,
        memory_bytes=peak_rss_bytes() + at_once * peak_rss_of_a_child_bytes(),
        disk_bytes=round(disk * share),
    )
