"""Whether work failed for want of memory. torch has an error of its own for a GPU's; what the CPU refuses is a plain
RuntimeError that only its text tells apart."""

import torch

REFUSALS = (
    "DefaultCPUAllocator",  # torch's allocator on the CPU, in each of its wordings
    "Cannot allocate memory",  # the system, where a file of weights is mapped
    "CUDA error: out of memory",  # the driver, outside of torch's own allocator
)


def is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in REFUSALS)
