"""Tensors on disk: equal after a round trip, errors as ours."""

import os
import resource
from pathlib import Path

import pytest
import torch

from sartor.base.durable import replace_folder
from sartor.base.errors import DataError, SartorError
from sartor.base.tensor_file import TensorFile, read_tensors


def test_tensors_come_back_with_values_and_types(tmp_path):
    tensors = {
        "half": torch.randn(3, 4).bfloat16(),
        "turned": torch.arange(6).reshape(2, 3).T,
        "with gradient": torch.nn.Parameter(torch.ones(2)),
        "empty": torch.zeros(0),
        "flags": torch.tensor([True, False]),
    }
    content = TensorFile(tensors)
    assert content.needed_bytes == 24 + 48 + 8 + 0 + 2
    content(tmp_path / "t.safetensors")
    read = read_tensors(tmp_path / "t.safetensors")
    assert read.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert read[name].dtype == tensor.dtype and torch.equal(read[name], tensor)


@pytest.mark.parametrize(
    "content", [b"", b"\xff" * 8, b"\x08" + b"\0" * 7 + b'{"a": 1}', b"\xff\xff\xff\xff\0\0\0\0{}"]
)
def test_a_damaged_file_is_a_data_error(tmp_path, content):
    path = tmp_path / "t.safetensors"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"t\.safetensors"):
        read_tensors(path)


def test_a_real_write_failure_is_reported_and_leaves_nothing(tmp_path):
    """A file size limit makes the kernel itself refuse the write; a child keeps the limit to itself."""
    content = TensorFile({"w": torch.zeros(100_000)})  # before the fork: a child must not use torch's threads
    child = os.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        try:
            replace_folder(tmp_path / "checkpoint", {"t.safetensors": content})
        except SartorError as error:
            os._exit(0 if "the disk is full: 400.0 kB needed" in error.what else 3)
        except BaseException:
            os._exit(4)
        os._exit(5)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert list(Path(tmp_path).iterdir()) == []
