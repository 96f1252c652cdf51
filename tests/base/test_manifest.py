"""Whatever happens to a file of a folder, its manifest tells."""

import random
import shutil

import pytest

from sartor.base import manifest


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "folder"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.bin").write_bytes(random.Random(0).randbytes(3000))
    (folder / "b.bin").write_bytes(random.Random(1).randbytes(3000))
    (folder / "sub" / "c.json").write_text('{"step": 3}')
    (folder / manifest.NAME).write_text(manifest.manifest_text(folder))
    return folder


def test_an_untouched_folder_has_no_problem(folder):
    assert manifest.problem_with(folder) is None
    (folder / "sub" / ".DS_Store").write_text("left by a file browser")
    assert manifest.problem_with(folder) is None


def damage(folder, generator):
    names = ["a.bin", "b.bin", "sub/c.json", manifest.NAME]
    path = folder / generator.choice(names)
    content = bytearray(path.read_bytes())
    kind = generator.choice(["flip", "truncate", "zero", "swap", "remove", "extend"])
    if kind == "flip":
        content[generator.randrange(len(content))] ^= 1 << generator.randrange(8)
    elif kind == "truncate":
        del content[generator.randrange(len(content)) :]
    elif kind == "zero":
        start = generator.randrange(len(content))
        content[start:] = bytes(len(content) - start)
    elif kind == "extend":
        content += b"\0"
    if kind == "swap":
        (folder / "a.bin").rename(folder / "t")
        (folder / "b.bin").rename(folder / "a.bin")
        (folder / "t").rename(folder / "b.bin")
    elif kind == "remove":
        path.unlink()
    else:
        path.write_bytes(content)
    return kind, path.name


def test_every_damage_is_found(folder, tmp_path):
    generator = random.Random(2)
    for number in range(150):
        copy = tmp_path / f"copy-{number}"
        shutil.copytree(folder, copy)
        what = damage(copy, generator)
        assert manifest.problem_with(copy), what
        shutil.rmtree(copy)


def test_the_problem_names_the_file(folder):
    (folder / "b.bin").unlink()
    assert manifest.problem_with(folder) == "b.bin is missing"
    (folder / "a.bin").write_bytes(b"short")
    assert manifest.problem_with(folder) == "a.bin has 5 bytes instead of 3000"
