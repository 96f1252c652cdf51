"""False measurements that come from who scores: a judge of the same family as a path's model, one whose verdicts cannot
be read, a scorer that people do not agree with."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

from sartor.choosing.faults.evidence import Evidence, FalseMeasurement, ids, of
from sartor.choosing.measure import scores_of
from sartor.evaluation.judge import NO_ANSWER
from sartor.reporting.figures import visible

MOST_UNREADABLE = 0.05  # of answers without a verdict, for one reason, before it is told
FAMILIES = {
    "Claude": r"claude",
    "Command": r"command-?[ar]|c4ai|\baya",
    "DeepSeek": r"deepseek",
    "Falcon": r"falcon",
    "Gemini and Gemma": r"gemini|gemma",
    "GLM": r"\bglm|chatglm",
    "GPT": r"gpt|davinci|\bo[1345](?![a-z0-9])",
    "Granite": r"granite",
    "Grok": r"grok",
    "Kimi": r"kimi|moonshot",
    "Llama": r"(?<!o)llama(?![.-]?cpp)|vicuna|alpaca",
    "Mistral": r"[mp]i[sx]tral|ministral|magistral|codestral|devstral",
    "Nova": r"amazon.*nova|\bnova-",
    "OLMo": r"olmo|tulu",
    "Phi": r"\bphi-?\d",
    "Qwen": r"qwen|qwq",
    "SmolLM": r"smollm|^starter$",
}


def judge_same_family(evidence: Evidence) -> Iterator[FalseMeasurement]:
    """Judges favour what is written like themselves (Panickssery et al. 2024, arXiv 2404.13076)."""
    judge = evidence.brief.task.scorer.judge
    if judge is None:
        return
    ours = families(judge.model)
    for name, model in evidence.models.items():
        shared = ours & families(model)
        if shared:
            named = " and ".join(sorted(shared))
            yield FalseMeasurement(
                "judge_same_family",
                name,
                f"the judge {visible(judge.model)} is of the same family as this path's model ({named}): judges favour "
                "what is written like themselves",
                "let a model of another family judge, or see with `sartor judge-check` that it favours nobody",
            )


def families(model: str) -> set[str]:
    """The families that a model's name tells of; of a local folder without a telling name, what its configuration says;
    else the name itself, so that a model is at least of one family with itself."""
    name = Path(model).name.casefold() if Path(model).is_dir() else model.casefold()
    found = {family for family, pattern in FAMILIES.items() if re.search(pattern, name)}
    return found or _by_configuration(Path(model)) or {name}


def _by_configuration(folder: Path) -> set[str]:
    try:
        stated = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return set()
    text = f"{stated.get('_name_or_path', '')} {stated.get('model_type', '')}".casefold()
    return {family for family, pattern in FAMILIES.items() if re.search(pattern, text)}


def judge_unreadable(evidence: Evidence) -> Iterator[FalseMeasurement]:
    """Answers without a verdict: the judge wrote none that can be read, or could not be asked at all."""
    if evidence.brief.task.scorer.judge is None:
        return
    for name, answers in evidence.answers.items():
        unjudged = [answer for answer in answers if (answer.get("judged") or {"verdict": ""})["verdict"] is None]
        silent = [answer for answer in unjudged if (answer.get("error") or "").startswith(NO_ANSWER)]
        without = [answer for answer in unjudged if answer not in silent]
        if len(silent) > MOST_UNREADABLE * len(answers):
            yield FalseMeasurement(
                "judge_silent",
                name,
                f"for {of(len(silent), len(answers))} the judge could not be asked; they are unscored",
                "see that its service answers, and score again with `sartor choose --rescore`",
                ids(silent),
            )
        if len(without) > MOST_UNREADABLE * len(answers):
            yield FalseMeasurement(
                "judge_unreadable",
                name,
                f"for {of(len(without), len(answers))} the judge gave no verdict that can be read; they are unscored",
                "let a more able model judge: verdicts are read strictly, and none is guessed",
                ids(without),
            )


def scorer_disagrees(evidence: Evidence) -> Iterator[FalseMeasurement]:
    """What `sartor judge-check` found, as long as the scores are still those that it was about."""
    found = evidence.judge_check
    if found is None or found["verdict"] != "disagrees":
        return
    for name, checked in found["paths"].items():
        scores = scores_of(evidence.answers.get(name, []))
        scores = scores[scores == scores]
        if len(scores) != checked["n"] or abs(float(scores.mean()) - checked["scorer"]) > 1e-9:
            return
    yield FalseMeasurement(
        "scorer_disagrees",
        None,
        str(found["sentence"]).rstrip("."),
        "read where they disagree in judge_check.json, and choose a scorer that people agree with",
        sorted({str(each["id"]) for each in found["disagreements"]}),
    )
