# ruff: noqa: E501 -- the sentences in it are easier to read unbroken
"""Hand-made choices for the tests of the report: a plain one, and one with everything that can be recorded."""

import random
from typing import Any

from sartor.data.leaks import LeakReport

Answers = dict[str, list[dict[str, Any]]]
FACTS = [
    ("How many days before a night watch must a swap be agreed?", "3 days", "Swapping a watch"),
    ("Who signs the fuel log when the warden is away?", "the deputy warden", "Fuel and stores"),
    ("What is the limit for buying spare parts without a second signature?", "250 crowns", "Spending"),
    ("Which form do I use to report a broken lamp?", "form L-7", "Lamps and lenses"),
    ("At what wind speed is the tender kept in harbour?", "11 metres a second", "The tender"),
    ("How long are visitors' names kept?", "18 months", "Visitors and privacy"),
    ("When is the annual lens inspection?", "the second week of May", "Lamps and lenses"),
    ("What do volunteers get for a cancelled crossing?", "the bus fare and a meal", "Volunteers"),
]
SHARES = {"prompt": 0.2825, "rag": 0.514, "finetune": 0.388, "finetune+rag": 0.647}


def made_up_answers(num_rows: int = 120, shares: dict[str, float] = SHARES) -> Answers:
    """Answers of every path; a question that is easy for one path is likelier to be easy for the others."""
    draw = random.Random(7)
    answers: Answers = {name: [] for name in shares}
    for index in range(num_rows):
        question, accepted, title = FACTS[index % len(FACTS)]
        station = ("Skerry", "North Bank", "Tern Point", "Old Mole", "Gull Rock")[index // len(FACTS) % 5]
        ease = draw.random()
        passages = [
            {
                "title": title,
                "chunk_id": f"{title.lower().replace(' ', '-')}#{part}",
                "text": f"At {station} station the rule is simple: {accepted}. It was last changed in spring; "
                f"the station book holds the reasons. Part {part} says whom to ask. " * part,
            }
            for part in (1, 2, 3)
        ]
        for name, share in shares.items():
            right = 0.7 * ease + 0.3 * draw.random() < share
            rambling = f"Thank you for asking! At {station}, it depends on the weather and the crew."
            answers[name].append(
                {
                    "id": f"row-{index:03d}",
                    "question": f"{question} ({station})",
                    "accepted": [accepted],
                    "text": accepted if right else rambling if name in ("prompt", "rag") else "2 weeks",
                    "score": float(right),
                    "passages": passages if name.endswith("rag") else [],
                    "seconds": round(draw.uniform(0.4, 2.2), 3),
                    "finish": "stop",
                }
            )
    return answers


def made_up_choice(answers: Answers) -> dict[str, Any]:
    """A decided choice whose scores are those of `answers`."""
    score = {name: sum(row["score"] for row in rows) / len(rows) for name, rows in answers.items()}
    words = {
        "prompt": "The base model with an instruction and three examples in front of every question.",
        "rag": "The base model reads the three best-matching pieces of the documents before it answers.",
        "finetune": "The base model after training on the examples (LoRA); it sees no documents.",
        "finetune+rag": "The base model trained to answer from retrieved pieces, and given them.",
    }
    cost = {
        "prompt": (0.021, 1.31, 2.4, 40),
        "rag": (0.034, 1.72, 2.9, 71),
        "finetune": (0.012, 0.48, 0.81, 522),
        "finetune+rag": (0.031, 1.38, 2.2, 611),
    }
    paths = [
        {
            "name": name,
            "score": score[name],
            "ci": [max(0, score[name] - 0.085), min(1, score[name] + 0.08)],
            "n": len(answers[name]),
            "latency_p50_s": cost[name][1],
            "latency_p95_s": cost[name][2],
            "cost_per_1k": cost[name][0],
            "setup_seconds": cost[name][3],
            "energy_wh": cost[name][3] * 0.012,
            "energy_source": "estimated",
            "hosts": [],
            "bytes_sent": 0,
            "freshness_seconds": 2.1 if name.endswith("rag") else cost[name][3],
            "unscored": 0,
            "endpoint": f"sartor serve runs/handbook --path {name}",
            "description": words[name],
            "truncated_replies": 0.0,
            "excluded": [],
            "chosen_on_dev": [
                {"setting": {"passages": 1, "fusion": "words"}, "dev_score": 0.44, "chosen": False},
                {"setting": {"passages": 3, "fusion": "words and vectors"}, "dev_score": 0.53, "chosen": True},
            ]
            if name.endswith("rag")
            else [],
        }
        for name in answers
    ]
    pairs = [
        ("finetune+rag", "rag", 0.0004),
        ("finetune+rag", "finetune", 1e-7),
        ("finetune+rag", "prompt", 1e-12),
        ("rag", "finetune", 0.011),
        ("rag", "prompt", 1e-6),
        ("prompt", "finetune", 0.004),
    ]
    gaps = [score[a] - score[b] for a, b, _ in pairs]
    return {
        "task": "handbook",
        "choice": "finetune+rag",
        "verdict": "decided",
        "needed_rows": None,
        "why": "finetune+rag scores 0.74 [0.66, 0.82] on 120 rows, better than each of the 3 other paths "
        "(closest: rag, +0.27 [+0.20, +0.33], p < 0.001 after Holm).",
        "would_change": [
            "If 95 of 100 answers had to come within 0.9 s (now 2.2 s), fine-tuning would be "
            "the choice: it is the only one left."
        ],
        "paths": paths,
        "comparisons": [
            {
                "a": a,
                "b": b,
                "difference": gap,
                "ci": [gap - 0.07, gap + 0.06],
                "p": p / 3,
                "p_adjusted": p,
                "test": "exact McNemar",
            }
            for (a, b, p), gap in zip(pairs, gaps, strict=True)
        ],
        "how": {
            "rows_train": 640,
            "rows_dev": 80,
            "rows_test": 120,
            "scorer": "exact",
            "scorer_description": "Right when it equals an accepted answer, apart from case and punctuation.",
            "budget": "10m",
            "machine_price": 0.1,
            "margin": 0.02,
            "seed": 0,
            "base_model": "SmolLM2-135M-Instruct",
            "model_hash": "sha256:5af571cb",
            "machine": "2 cores, AMD EPYC, 8 GB, no GPU",
            "versions": {"sartor": "0.1.0", "torch": "2.13.0", "transformers": "5.23.0"},
            "started": "2026-03-14 09:20 UTC",
            "seconds_total": 1412.0,
            "leaks": LeakReport((), ()).text(),
            "documents": 31,
            "chunks": 214,
            "test_touched": 1,
        },
    }


def remote(choice: dict[str, Any], answers: Answers) -> None:
    """Adds a remote path that is better than the others and breaks a limit."""
    answers["api"] = [{**row, "score": 1.0, "text": row["accepted"][0]} for row in answers["prompt"]]
    choice["paths"].append(
        {
            "name": "api",
            "score": 0.83,
            "ci": [0.75, 0.89],
            "n": 120,
            "latency_p50_s": 0.7,
            "latency_p95_s": 1.4,
            "cost_per_1k": 3.4,
            "setup_seconds": 12,
            "energy_wh": None,
            "hosts": ["api.example.com"],
            "bytes_sent": 412_000,
            "unscored": 2,
            "bounds": [0.82, 0.8367],
            "truncated_replies": 0.025,
            "excluded": ["it is not local, and local_only is set"],
            "description": "A large model asked over the network.",
        }
    )


SHARES_OF_ALL = {
    "prompt": 0.34,
    "api": 0.71,
    "rag": 0.55,
    "api+rag": 0.78,
    "long-context": 0.5,
    "finetune": 0.43,
    "finetune+rag": 0.69,
    "finetune+dpo": 0.44,
    "closed-book": 0.27,
    "oracle": 0.83,
}
# US dollars for 1,000 answers, p50 and p95 seconds, set-up seconds, set-up cost, watt hours, grams of carbon dioxide
COSTS = {
    "prompt": (0.021, 1.3, 2.4, 140, 0.004, 0.52, 0.21), "api": (3.4, 0.7, 1.4, 60, 0.31, None, None),
    "rag": (0.034, 1.7, 2.9, 171, 0.005, 0.85, 0.34), "api+rag": (5.1, 0.9, 1.9, 75, 0.44, None, None),
    "long-context": (0.41, 9.8, 14.2, 45, 0.001, 10.3, 4.1), "finetune": (0.012, 0.48, 0.81, 622, 0.017, 0.31, 0.12),
    "finetune+rag": (0.031, 1.4, 2.2, 711, 0.02, 0.78, 0.31), "finetune+dpo": (0.013, 0.49, 0.83, 940, 0.026, 0.32, 0.13),
    "closed-book": (0.011, 0.6, 1.1, 0, None, 0.28, 0.11), "oracle": (0.022, 1.1, 1.6, 0, None, 0.55, 0.22),
}  # fmt: skip


def whole_choice(answers: Answers) -> dict[str, Any]:
    """Every field of choice.json, for ten paths of which two are references; the scores are those of `answers`."""
    choice = made_up_choice({name: answers[name] for name in ("prompt", "rag", "finetune", "finetune+rag")})
    known = {path["name"]: path for path in choice["paths"]}
    choice["paths"] = [_whole_path(name, rows, known.get(name, {})) for name, rows in answers.items()]
    by_name = {path["name"]: path for path in choice["paths"]}
    pairs = [("finetune+rag", other) for other in ("rag", "long-context", "finetune+dpo", "finetune", "prompt")]
    gaps = {pair: by_name[pair[0]]["score"] - by_name[pair[1]]["score"] for pair in pairs}
    choice["comparisons"] = [
        {
            "a": a,
            "b": b,
            "difference": gap,
            "ci": [gap - 0.07, gap + 0.06],
            "p": 2e-4,
            "p_adjusted": 6e-4,
            "test": "exact McNemar",
        }
        for (a, b), gap in gaps.items()
    ]
    for name in ("api", "api+rag"):
        by_name[name]["excluded"] = ["it is not local, and local_only is set"]
    _probe(by_name)
    local = [name for name in answers if name not in ("api", "api+rag", "closed-book", "oracle")]
    choice["would_change"] += [
        "If losing up to 14.7 points were acceptable (now 2 points), fine-tuning would be the choice: of "
        "the 3 that are good enough, it is the cheapest."
    ]
    return choice | {
        "diagnosis": {
            "rag": {"n": 120, "right": 66, "not_retrieved": 12, "not_used": 30, "not_known": 12,
                    "sentence": "Retrieval: most errors come from passages that were found and not used."},
            "finetune+rag": {"n": 120, "right": 83, "not_retrieved": 13, "not_used": 15, "not_known": 9,
                             "sentence": "Retrieval + fine-tuning: errors come from the search as often as from the reading."},
        },
        "break_even": [
            {"a": "finetune+rag", "b": "rag", "questions": 5000,
             "sentence": "Retrieval + fine-tuning costs more to set up and less to run than retrieval: from 5,000 questions on it "
                         "is the cheaper one."},
            {"a": "finetune", "b": "prompt", "questions": None,
             "sentence": "Prompting is never cheaper than fine-tuning in the long run."},
        ],
        "slices": [
            {"group": station, "n": 24, "choice": "rag" if station == "Old Mole" else "finetune+rag",
             "scores": {name: by_name[name]["score"] for name in local},
             "ci": {name: by_name[name]["ci"] for name in local},
             "sentence": f"{station}: {'retrieval' if station == 'Old Mole' else 'retrieval + fine-tuning'} is the choice."}
            for station in ("Skerry", "North Bank", "Old Mole")
        ],
        "sensitivity": [
            *({"what": "margin", "value": value, "choice": "finetune+rag" if value < 0.1 else "finetune",
               "verdict": "decided" if value < 0.1 else "tie"} for value in (0.0, 0.02, 0.05, 0.1)),
            *({"what": "machine_price", "value": value, "choice": "finetune+rag", "verdict": "decided"} for value in (0.05, 0.1, 0.4)),
        ],
        "warnings": [
            {"kind": "answer_cut", "path": "rag", "what": "47 of 120 answers were cut off by the length limit, and 31 of those "
             "score nothing", "hint": "raise max_new_tokens in task.yaml and measure again",
             "rows": [row["id"] for row in answers["rag"][:12]]},
            {"kind": "template_twice", "path": "finetune+rag", "what": "the chat template was applied twice to 3 prompts",
             "hint": "take the template out of the training rows", "rows": ["row-003", "row-017", "row-101"]},
            {"kind": "near_duplicate_test", "path": None, "what": "14 test questions are nearly the same as another one, so "
             "intervals are narrower than they should be", "hint": "keep one of each, or give them a common group", "rows": []},
        ],
        "test_touched": 2,
    }  # fmt: skip


def _whole_path(name: str, rows: list[dict[str, Any]], known: dict[str, Any]) -> dict[str, Any]:
    score = sum(row["score"] for row in rows) / len(rows)
    per_1k, p50, p95, seconds, once, watt_hours, grams = COSTS[name]
    remote = name.startswith("api")
    path = known | {
        "name": name, "score": score, "ci": [max(0.0, score - 0.085), min(1.0, score + 0.08)], "n": len(rows),
        "latency_p50_s": p50, "latency_p95_s": p95, "cost_per_1k": per_1k, "setup_seconds": seconds, "energy_wh": watt_hours,
        "energy_source": "measured" if name.startswith("finetune") else "estimated", "carbon_g": grams,
        "hosts": ["api.example.com"] if remote else [], "bytes_sent": 412_000 if remote else 0, "unscored": 0,
        "description": known.get("description") or f"What {name} is, in half a line.", "truncated_replies": 0.0,
        "endpoint": f"sartor serve runs/handbook --path {name}", "excluded": [],
    }  # fmt: skip
    if once is not None:
        path["setup_cost"] = once
    if name in ("closed-book", "oracle"):
        path |= {"reference": True, "endpoint": None, "excluded": ["a reference, not a path"]}
    if remote:
        path["personal_data"] = {"email": 12, "phone_number": 3}
    return path


def _probe(paths: dict[str, dict[str, Any]]) -> None:
    for name in ("rag", "finetune+rag", "finetune"):
        reads = name != "finetune"
        paths[name]["freshness"] = {
            "edited": {"n": 10, "right_before": 7, "right_after": 8 if reads else 0, "old_after": 1 if reads else 7,
                       "seconds": 2.1 if reads else None},
            "deleted": {"n": 10, "still_said": 1 if reads else 7, "seconds": 0.4 if reads else None},
        }  # fmt: skip
        paths[name]["robustness"] = {
            "typos": {"n": 60, "score": 0.51, "plain_score": 0.58, "difference": -0.07, "ci": [-0.12, -0.02]},
            "paraphrases": {"n": 60, "score": 0.57, "plain_score": 0.58, "difference": -0.01, "ci": [-0.05, 0.03]},
            "unanswerable": {"n": 20, "abstained": 13},
        }
    for name in ("finetune", "finetune+rag", "finetune+dpo"):
        score = paths[name]["score"]
        paths[name]["forgetting"] = {
            "general_before": 0.62, "general_after": 0.58, "ci": [-0.07, -0.01] if name == "finetune" else [-0.06, 0.01],
            "n": 200, "bits_per_byte_before": 0.981, "bits_per_byte_after": 1.007,
        }  # fmt: skip
        paths[name]["seeds"] = [
            {"seed": seed, "score": score + change} for seed, change in ((0, 0.0), (1, -0.02), (2, 0.03))
        ]
    score = paths["finetune+rag"]["score"]
    paths["finetune+rag"]["learning_curve"] = {
        "points": [{"rows": rows, "score": score - gap, "ci": [score - gap - 0.06, score - gap + 0.06]}
                   for rows, gap in ((160, 0.15), (320, 0.07), (640, 0.0))],
        "forecast": [{"rows": rows, "score": score + gain, "low": score + gain - 0.05 - gain / 2, "high": score + gain + 0.03 + gain}
                     for rows, gain in ((960, 0.025), (1280, 0.04), (2560, 0.06))],
        "sentence": "Twice the rows would gain about 4 points (0 to 11); the target of 80 would take about 2,500 rows.",
    }  # fmt: skip
