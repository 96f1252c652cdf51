"""Collecting documents: files, folders, web pages, archives and data sets into one folder of documents."""

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field, field_validator

from sartor.base.configuration import Config

if TYPE_CHECKING:
    from sartor.data.collecting.report import CollectReport


class CollectConfig(Config):
    """Settings of `sartor collect`."""

    sources: list[str] = Field(description="files, folders, web addresses, sitemaps, hub:owner/name")
    out: str = Field(description="folder of documents to write; the same command again resumes or refreshes it")
    text_field: str = Field(
        "text", description="column of JSONL, CSV and Parquet rows that holds the text", min_length=1
    )
    licence: str | None = Field(
        None, description="licence (SPDX identifier) of documents that state none", min_length=1
    )
    max_document_mb: float = Field(50.0, description="the largest document that is read, in MB", gt=0, le=500)
    follow: int = Field(0, description="how many links deep to follow from a page, on the same host", ge=0, le=100)
    max_pages: int = Field(100_000, description="the most web addresses that are visited", ge=1)
    requests_per_second: float = Field(
        1.0, description="to each host; robots.txt may ask for less", gt=0, le=100, allow_inf_nan=False
    )
    max_page_mb: float = Field(10.0, description="the largest web page that is fetched, in MB", gt=0, le=500)
    page_seconds: float = Field(30.0, description="the longest time for one web page", gt=0, le=3600)
    attempts: int = Field(4, description="how often to ask a server that is busy or out of reach", ge=1, le=20)
    contact: str = Field("", description="address at which owners of web sites reach you, sent with each request")
    allow_private_addresses: bool = Field(False, description="fetch from this machine and the local network, too")

    @field_validator("sources")
    @classmethod
    def _some(cls, sources: list[str]) -> list[str]:
        if not sources or not all(source.strip() for source in sources):
            raise ValueError("give at least one file, folder or address")
        return sources

    @field_validator("contact")
    @classmethod
    def _one_line(cls, contact: str) -> str:
        if not contact.isascii() or not contact.isprintable():
            raise ValueError("write it in ASCII, on one line")
        return contact


def run(config: CollectConfig) -> "CollectReport":
    """Collect, or go on, or bring up to date."""
    from sartor.base.signals import StopRequest
    from sartor.data.collecting.collector import Collector, WebSettings
    from sartor.data.collecting.entry import ReadingLimits
    from sartor.data.collecting.licences import licence_of
    from sartor.data.collecting.sources import detect
    from sartor.data.collecting.web.polite import Manners

    sources = [detect(source) for source in config.sources]
    limits = ReadingLimits(round(config.max_document_mb * 1e6), config.text_field, licence_of(config.licence))
    web = WebSettings(
        Manners(config.requests_per_second, attempts=config.attempts),
        page_bytes=round(config.max_page_mb * 1e6),
        page_seconds=config.page_seconds,
        follow=config.follow,
        max_pages=config.max_pages,
        allow_private=config.allow_private_addresses,
        contact=config.contact,
    )
    with StopRequest() as stop, Collector(sources, Path(config.out), limits, web) as collector:
        return collector.run(stop)
