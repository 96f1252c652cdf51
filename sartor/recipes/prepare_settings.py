"""What `sartor prepare` is told. Every setting but those of the engine decides the output."""

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from sartor.base.configuration import Config
from sartor.data.filters.preset_names import PresetName

Scope = Literal["all", "source", "none"]
HOW = {"out", "documents", "engine", "processes", "on_bad_shard"}  # settings that do not decide the output


class PrepareConfig(Config):
    """From a folder of documents to a cleaned one."""

    documents: str = Field(description="folder of documents that `sartor collect` or `sartor prepare` made")
    out: str = Field(description="folder to make; the same command goes on where it was stopped")
    preset: PresetName | Literal["none"] = Field(
        "fineweb-2024", description="published set of filters for running text"
    )
    thresholds: dict[str, dict[str, Any]] = Field(
        {}, description="other thresholds for the preset's filters, by filter and rule (in --config only)"
    )
    url_blocklist: Path | None = Field(None, description="file of sites and pages, one a line, that are left out")
    url_hard_words: Path | None = Field(None, description="file of words of which an address may hold none")
    url_soft_words: Path | None = Field(None, description="file of words of which an address may hold at most one")
    url_parts_of_words: Path | None = Field(None, description="file of parts of words that an address may not hold")
    main_text: bool = Field(True, description="take the main text out of web pages")
    repair: bool = Field(True, description="mend wrongly decoded characters, line ends and control characters")
    languages: list[str] = Field([], description="languages to keep, as ISO 639-1 codes (default: all)")
    exact_duplicates: Scope = Field("all", description="keep one of each text: in all, or of each source")
    near_duplicates: Scope = Field(
        "all", description="keep one of texts that are nearly the same: in all, or of each source"
    )
    duplicate_rules: dict[Literal["exact", "near", "verification"], dict[str, Any]] = Field(
        {}, description="other rules for these searches, such as near: {keep: earliest} (in --config only)"
    )
    decontaminate: list[str] = Field([], description="tasks whose test rows may not stand in the documents")
    decontamination_rule: dict[str, Any] = Field(
        {}, description="another rule for that, such as {gram_words: 8} (in --config only)"
    )
    quality_examples: Path | None = Field(
        None, description='rows of good texts ({"text": …}): keep documents that read like them'
    )
    quality_min_score: float | None = Field(
        None, ge=0, le=1, description="drop documents that are less likely to be good (default: 0.5)"
    )
    personal_data: Literal["replace", "drop", "keep"] = Field(
        "replace", description="addresses, numbers and the like: put a placeholder, drop the document, or leave them"
    )
    segment_characters: int | None = Field(None, ge=100, description="cut documents into parts of at most this length")
    engine: str = Field("local", description="where to compute: local, ray, or ray://HOST:PORT of a Ray cluster")
    processes: int | None = Field(None, ge=1, description="how many shards are worked on at once (default: one a core)")
    on_bad_shard: Literal["stop", "skip"] = Field("stop", description="stop at a damaged file, or count it and go on")

    @model_validator(mode="after")
    def _no_setting_without_effect(self) -> Self:
        if self.thresholds and self.preset == "none":
            raise ValueError("`thresholds` change a preset's filters, and `preset` is none")
        if self.decontamination_rule and not self.decontaminate:
            raise ValueError("`decontamination_rule` is of the tasks that `decontaminate` names; give both")
        for search, scope in (("exact", self.exact_duplicates), ("near", self.near_duplicates)):
            if scope == "none" and search in self.duplicate_rules:
                raise ValueError(f"`duplicate_rules` has a rule for {search} duplicates, which are not looked for")
        if self.near_duplicates == "none" and "verification" in self.duplicate_rules:
            raise ValueError("`duplicate_rules` verifies near-duplicates, which are not looked for")
        if self.quality_min_score is not None and self.quality_examples is None:
            raise ValueError("`quality_min_score` is of the classifier that `quality_examples` teaches; give both")
        return self

    @property
    def removes_duplicates(self) -> bool:
        return self.exact_duplicates != "none" or self.near_duplicates != "none"

    def decisive(self) -> dict[str, Any]:
        """What decides the output, as JSON values."""
        return self.model_dump(mode="json", exclude=HOW)
