"""Any encoder that transformers knows, called as `PackedEncoder` is: for GPUs, and for what that does not compute."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModel
from transformers.utils import logging

PADDING = 0
"""Any id: the mask hides it."""


class PaddedEncoder:
    """transformers' model of a folder, in batches padded on the right."""

    def __init__(self, folder: Path, dtype: torch.dtype, device: torch.device):
        logging.disable_progress_bar()
        model = AutoModel.from_pretrained(folder, dtype=dtype, local_files_only=True, use_safetensors=True)
        self._model: Any = model.eval().to(device)
        self._device = device
        self.hidden_size = int(model.config.hidden_size)

    @torch.inference_mode()
    def hidden(self, rows: Sequence[Sequence[int]]) -> Tensor:
        """The last hidden states of all tokens [sum of lengths, hidden], row after row."""
        width = max(len(row) for row in rows)
        ids = torch.full((len(rows), width), PADDING)  # [rows, width]
        mask = torch.zeros_like(ids)
        for number, row in enumerate(rows):
            ids[number, : len(row)] = torch.tensor(row)
            mask[number, : len(row)] = 1
        ids, mask = ids.to(self._device), mask.to(self._device)
        states: Tensor = self._model(input_ids=ids, attention_mask=mask).last_hidden_state
        return states[mask.bool()]
