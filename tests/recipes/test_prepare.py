import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from sartor.base import machine
from sartor.base.configuration import Layer, build
from sartor.base.errors import UsageError
from sartor.data.document_folder import DocumentFolder, DocumentWriter
from sartor.data.documents import documents_table
from sartor.data.duplicates.budget import budget_for
from sartor.data.filters import quality_training
from sartor.data.pipeline.rejects import read_rejects
from sartor.recipes.prepare import num_processes, run
from sartor.recipes.prepare_plan import run as plan
from sartor.recipes.prepare_settings import PrepareConfig

REPOSITORY = Path(__file__).resolve().parents[2]
SECONDS = 90
WORDS = (
    "mill river village wheel door letter garden winter market teacher harbour lamp window forest bridge kettle "
    "watched carried forgot painted followed answered opened repaired counted remembered borrowed measured quietly "
    "slowly twice together again yesterday early outside gladly once"
)
SMALL_WORDS = "the of and that with to have be"
FOOD = "flour butter sugar oven bake whisk stir minutes salt eggs dough bowl knead simmer the and"
FRENCH = "Le vieux moulin au bord de la rivière ne tournait plus depuis longtemps et les gens du village passaient. "


def prose(number: int) -> str:
    """A story of its own, of English words."""
    draw = random.Random(number)
    words, small = WORDS.split(), SMALL_WORDS.split()
    sentences = []
    for _ in range(60):
        drawn = [draw.choice(small if draw.random() < 0.4 else words) for _ in range(14)]
        sentences.append(" ".join(drawn).capitalize() + ".")
    return "\n".join(" ".join(sentences[start : start + 4]) for start in range(0, 60, 4))


def rows(number: int = 60) -> list[dict[str, Any]]:
    made = [{"id": f"d{n}", "text": prose(n), "source": f"https://s{n % 3}.example/{n}"} for n in range(number)]
    made[3]["text"] = "This text is far too short to be of any use."
    made[4]["text"] = "And all the people of the village were in the garden. " * 60
    made[5]["text"] = made[6]["text"]
    made[7]["text"] = made[8]["text"].replace("river", "brook", 1)
    made[9]["text"] += " Write to jane.doe@millers.org or do not."
    made[10]["text"] = FRENCH * 9
    paragraphs = "".join(f"<p>{line}</p>" for line in prose(11).splitlines())
    made[11] |= {"text": f"<html><body><nav>Home</nav>{paragraphs}</body></html>", "media_type": "text/html"}
    return made


@pytest.fixture(scope="module")
def collected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("prepare") / "collected"
    with DocumentWriter(path, max_file_bytes=40_000) as writer:
        writer.add(documents_table(rows()))
    assert len(DocumentFolder.open(path).files) > 4
    return path


def config(collected: Path, out: Path, **changes: Any) -> PrepareConfig:
    values = {"documents": str(collected), "out": str(out), "preset": "gopher", "languages": ["en"], "processes": 2}
    return PrepareConfig(**values | changes)


def tree(path: Path) -> dict[str, bytes]:
    files = [file for file in sorted(path.rglob("*")) if file.is_file() and file.name != ".lock"]
    return {str(file.relative_to(path)): file.read_bytes() for file in files}


@pytest.fixture(scope="module")
def prepared(collected: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("prepared") / "out"
    run(config(collected, out))
    return out


def documents(path: Path) -> dict[str, str]:
    table = pa.concat_tables(DocumentFolder.open(path).tables())
    return dict(zip(table["id"].to_pylist(), table["text"].to_pylist(), strict=True))


def test_each_step_drops_what_it_is_for(prepared):
    record = json.loads((prepared / "report.json").read_text())
    dropped = {step["name"]: step["dropped"] for step in record["steps"]}
    assert dropped["language"] == {"language_not_wanted": 1}
    assert dropped["gopher"].keys() <= {reason for reason in dropped["gopher"] if reason.startswith("gopher_")}
    assert sum(dropped["gopher"].values()) == 2
    assert dropped["duplicates"] == {"exact_duplicate": 1, "near_duplicate": 1}
    assert record["counts"] == {"given": 60, "kept": 55, "dropped": 5, "errors": 0, "written": 55}
    kept = documents(prepared)
    assert {"d3", "d4", "d10"}.isdisjoint(kept)
    assert kept["d11"].split() == prose(11).split()
    assert len({"d5", "d6"} & kept.keys()) == len({"d7", "d8"} & kept.keys()) == 1


def test_personal_data_is_replaced_and_shown_nowhere(prepared):
    assert "jane.doe" not in documents(prepared)["d9"]
    assert documents(prepared)["d9"].startswith(prose(9))
    for name in ("report.json", "report.html", "README.md"):
        assert "jane.doe" not in (prepared / name).read_text()


def test_the_report_and_the_card_say_what_was_done(prepared):
    page, card = (prepared / "report.html").read_text(), (prepared / "README.md").read_text()
    for said in ("55 of 60 documents kept", "near_duplicate", "language_not_wanted", "s1.example", "<svg"):
        assert said in page
    assert "http-equiv" in page and "<script" not in page
    for said in ("dropped: 5", "s1.example", "(unknown)", "preset: gopher", "| language | 60 | 1 |"):
        assert said in re.sub(r"\\", "", card)
    assert not (prepared / "work").exists()


def test_again_nothing_changes(collected, prepared):
    before = tree(prepared)
    result = run(config(collected, prepared, processes=1))
    assert result.seconds_by_step == {}
    assert tree(prepared) == before


def test_other_settings_are_refused_but_not_another_engine(collected, prepared):
    with pytest.raises(UsageError, match="near_duplicates was all, now none"):
        run(config(collected, prepared, near_duplicates="none"))


def test_no_steps_keep_everything(collected, tmp_path):
    nothing = {
        "preset": "none",
        "main_text": False,
        "repair": False,
        "languages": [],
        "exact_duplicates": "none",
        "near_duplicates": "none",
    }
    result = run(config(collected, tmp_path / "out", **nothing, personal_data="keep"))
    assert result.record["counts"]["kept"] == 60
    given = {row["id"]: row["text"] for row in rows()}
    assert documents(tmp_path / "out") == given


def test_what_does_not_read_like_the_examples_is_dropped(tmp_path, monkeypatch):
    monkeypatch.setattr(quality_training, "MAX_ITERATIONS", 40)

    def recipe(number: int) -> str:
        draw = random.Random(number)
        words = FOOD.split()
        return " ".join(draw.choice(words) for _ in range(150))

    given = [{"id": f"p{n}", "text": prose(n), "source": "s"} for n in range(150)]
    given += [{"id": f"r{n}", "text": recipe(n), "source": "s"} for n in range(15)]
    with DocumentWriter(tmp_path / "in", max_file_bytes=400_000) as writer:
        writer.add(documents_table(given))
    examples = tmp_path / "good.jsonl"
    examples.write_text("\n".join(json.dumps({"text": recipe(n)}) for n in range(100, 200)))
    changes = {"preset": "none", "languages": [], "near_duplicates": "none", "quality_examples": examples}
    result = run(config(tmp_path / "in", tmp_path / "out", **changes))
    kept = documents(tmp_path / "out")
    assert len(kept) >= 12 and all(name.startswith("r") for name in kept)
    dropped = {step["name"]: step["dropped"] for step in result.record["steps"]}
    assert dropped["quality"] == {"quality_below_threshold": 165 - len(kept)}
    examples.write_text(json.dumps({"text": "another"}))
    with pytest.raises(UsageError, match="quality_examples was good.jsonl"):
        run(config(tmp_path / "in", tmp_path / "out", **changes))


def test_documents_that_hold_test_rows_are_dropped_and_the_row_is_said(collected, tmp_path):
    held_out = " ".join(prose(20).split()[40:60])
    (tmp_path / "exam.jsonl").write_text(json.dumps({"question": held_out}) + "\n")
    out = tmp_path / "out"
    run(config(collected, out, decontaminate=[str(tmp_path / "exam.jsonl")]))
    [reject] = read_rejects(out, "contaminated_exam")
    assert reject.id == "d20"
    assert reject.detail is not None and "exam.jsonl:1" in reject.detail
    assert "exam.jsonl:1" in (out / "report.html").read_text()


def test_test_rows_too_short_to_be_looked_for_are_said_and_counted(collected, tmp_path, capsys):
    questions = [" ".join(prose(20).split()[40:60])] + [f"What is {number} and {number}?" for number in range(99)]
    (tmp_path / "exam.jsonl").write_text("".join(json.dumps({"question": each}) + "\n" for each in questions))
    out = tmp_path / "out"
    run(config(collected, out, decontaminate=[str(tmp_path / "exam.jsonl")]))
    assert "99 of 100 test texts of exam are too short to be looked for" in " ".join(capsys.readouterr().err.split())
    record = json.loads((out / "report.json").read_text())
    assert record["test_texts"] == {"exam": {"searched": 1, "unsearched": 99}}
    assert "| exam | 1 | 99 |" in (out / "README.md").read_text()


def test_other_answers_are_another_rule_where_they_are_looked_for(collected, tmp_path):
    folder, out = tmp_path / "task", tmp_path / "out"
    folder.mkdir()
    (folder / "task.yaml").write_text("scorer: exact\n")
    question = "Who carried the old lamp over the bridge before the winter came?"
    rows = [{"question": f"{question} {number}", "answer": "no one"} for number in range(9)]
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "test.jsonl").write_text(json.dumps({"question": question, "answer": "the youngest brother"}) + "\n")
    given = {"decontaminate": [str(folder)], "decontamination_rule": {"answers": True}}
    run(config(collected, out, **given))
    run(config(collected, out, **given))
    (folder / "test.jsonl").write_text(json.dumps({"question": question, "answer": "the eldest brother"}) + "\n")
    with pytest.raises(UsageError, match="decontaminate was"):
        run(config(collected, out, **given))


def test_duplicates_name_what_stays_in_their_place(prepared):
    [reject] = read_rejects(prepared, "exact_duplicate")
    assert {reject.id, reject.detail} == {"d5", "d6"}
    assert reject.detail in documents(prepared)


@pytest.mark.parametrize("scope", ["exact_duplicates", "near_duplicates"])
def test_of_a_source_are_the_pages_of_a_host(tmp_path, scope):
    sources = ["https://one.example/a", "https://one.example/b", "https://two.example/a", "books/a.txt"]
    with DocumentWriter(tmp_path / "pages") as writer:
        writer.add(documents_table({"id": each, "text": prose(1), "source": each} for each in sources))
    other = {"exact_duplicates": "none", "near_duplicates": "none", "personal_data": "keep"}
    run(config(tmp_path / "pages", tmp_path / "out", **other | {scope: "source"}))
    kept = documents(tmp_path / "out").keys()
    assert len(kept) == 3 and {"https://two.example/a", "books/a.txt"} < kept


def test_long_documents_are_cut_and_counted(collected, prepared, tmp_path):
    result = run(config(collected, tmp_path / "out", segment_characters=2000))
    whole, parts = documents(prepared), documents(tmp_path / "out")
    assert result.record["counts"] == {"given": 60, "kept": 55, "dropped": 5, "errors": 0, "written": len(parts)}
    assert len(parts) > 100 and max(map(len, parts.values())) <= 2000
    joined: dict[str, str] = {}
    for name, text in parts.items():
        document = name.partition("#")[0]
        joined[document] = joined.get(document, "") + text
    assert joined == whole


def test_a_prepared_folder_can_be_prepared(prepared, tmp_path):
    result = run(config(prepared, tmp_path / "again"))
    assert result.record["counts"]["kept"] == 55
    assert documents(tmp_path / "again") == documents(prepared)


def test_the_cut_into_shards_does_not_matter(collected, prepared, tmp_path):
    with DocumentWriter(tmp_path / "one") as writer:
        writer.add(documents_table(rows()))
    result = run(config(tmp_path / "one", tmp_path / "out"))
    assert documents(tmp_path / "out") == documents(prepared)
    other = json.loads((prepared / "report.json").read_text())
    assert json.loads(json.dumps(result.record)) == other


def test_what_only_seems_nearly_the_same_stays_where_it_is_verified(collected, tmp_path):
    run(config(collected, tmp_path / "out", duplicate_rules={"verification": {"least_similarity": 1.0}}))
    record = json.loads((tmp_path / "out" / "report.json").read_text())
    dropped = {step["name"]: step["dropped"] for step in record["steps"]}
    assert dropped["duplicates"] == {"exact_duplicate": 1}
    assert {"d7", "d8"} <= documents(tmp_path / "out").keys()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"preset": "none", "thresholds": {"gopher_quality": {"min_words": 5}}}, "preset. is none"),
        ({"languages": ["english"]}, "english"),
        ({"thresholds": {"gopher_qualty": {"min_words": 5}}}, "has no filter 'gopher_qualty'"),
        ({"thresholds": {"gopher_quality": {"min_wrds": 5}}}, "unknown key 'min_wrds'"),
        ({"quality_min_score": 0.7}, "give both"),
        ({"decontamination_rule": {"gram_words": 8}}, "give both"),
        ({"near_duplicates": "none", "duplicate_rules": {"near": {"keep": "latest"}}}, "are not looked for"),
        ({"near_duplicates": "none", "duplicate_rules": {"verification": {}}}, "are not looked for"),
        ({"duplicate_rules": {"near": {"keep": "latest"}}}, "each drop the other's survivor"),
        ({"duplicate_rules": {"near": {"kep": "latest"}}}, "unknown key 'kep'"),
        ({"engine": "spark"}, "no engine 'spark'"),
    ],
)
def test_settings_that_cannot_be_are_refused(collected, tmp_path, changes, said):
    values = config(collected, tmp_path / "out").model_dump() | changes
    with pytest.raises(UsageError, match=said):
        run(build(PrepareConfig, Layer(values)))
    assert not (tmp_path / "out" / "documents").exists()


def test_folders_within_each_other_are_refused(collected):
    for out in (collected, collected.parent, collected / "documents" / "out"):
        with pytest.raises(UsageError, match="among those"):
            run(config(collected, out))


def test_the_plan_is_of_these_documents(collected, tmp_path):
    found = plan(config(collected, tmp_path / "out"))
    assert (found.documents, found.shards) == (60, len(DocumentFolder.open(collected).files))
    assert found.steps == list(dict.fromkeys(found.steps)) and "gopher" in found.steps and "duplicates" in found.steps
    assert 0 < found.kept_share < 1
    assert min(found.seconds, found.memory_bytes, found.disk_bytes) > 0
    assert not (tmp_path / "out").exists()


def test_processes_and_memory_are_those_of_the_container(collected, tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "CGROUP", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(64)), raising=False)
    (tmp_path / "cpu.max").write_text("200000 100000")
    (tmp_path / "memory.max").write_text("300000000")
    settings = config(collected, tmp_path / "out", processes=None)
    assert num_processes(settings) == 2
    assert num_processes(settings.model_copy(update={"processes": 5})) == 5
    assert budget_for(1_000_000, None).memory_bytes < 150_000_000
    with pytest.raises(UsageError, match="of memory") as caught:
        budget_for(10_000_000, None)
    assert caught.value.hint is not None and "half of this machine's memory" in caught.value.hint


def command(collected: Path, out: Path, *more: str) -> list[str]:
    options = ["--preset", "gopher", "--languages", "en", "--processes", "2"]
    return [sys.executable, "-m", "sartor", "prepare", str(collected), "--out", str(out), *options, *more]


def test_killed_at_several_moments_the_same_command_ends_with_the_same_bytes(collected, prepared, tmp_path):
    out = tmp_path / "out"
    kills = 0
    for look_for in ("prepare.json", "journal/filter-*", "work/duplicates/*", "journal/finish-*", "documents.json"):
        process = subprocess.Popen(command(collected, out), cwd=REPOSITORY, stderr=subprocess.DEVNULL)
        until = time.monotonic() + SECONDS
        while process.poll() is None and time.monotonic() < until and not list(out.glob(look_for)):
            time.sleep(0.002)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.wait(SECONDS)
    assert kills >= 3
    assert subprocess.run(command(collected, out), cwd=REPOSITORY, timeout=SECONDS).returncode == 0
    assert tree(out) == tree(prepared)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed")
@pytest.mark.skipif(shutil.which("ray", path=Path(sys.executable).parent) is None, reason="no command `ray`")
def test_a_cluster_gives_the_same_bytes(collected, prepared, tmp_path_factory, tmp_path):
    """A real cluster of one machine with two cores, reached over the loopback interface only."""
    ray = str(Path(sys.executable).with_name("ray"))
    # Ray's sockets have names of at most 107 characters, and pytest's folders have long ones.
    scratch = Path("/tmp") / f"ray-{os.getpid()}"
    variables = os.environ | {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled"}
    port = free_port()
    start = [
        ray, "start", "--head", "--node-ip-address=127.0.0.1", f"--port={port}", "--num-cpus=2", "--block",
        "--include-dashboard=false", "--disable-usage-stats", f"--temp-dir={scratch}", "--object-store-memory=80000000",
    ]  # fmt: skip
    head = subprocess.Popen(start, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 30
        while time.monotonic() < until:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.2)
        out = tmp_path / "out"
        ran = subprocess.run(
            command(collected, out, "--engine", f"ray://127.0.0.1:{port}"),
            cwd=REPOSITORY, env=variables, timeout=SECONDS, capture_output=True, text=True,
        )  # fmt: skip
        assert ran.returncode == 0, ran.stderr
        assert tree(out) == tree(prepared)
    finally:
        head.send_signal(signal.SIGTERM)
        head.wait(30)
        shutil.rmtree(scratch, ignore_errors=True)
