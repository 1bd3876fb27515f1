"""What an exception of a library says of the machine: memory that ran out, or a GPU that this process has lost.

A kernel that fails (an assertion on the device, an illegal access, an uncorrectable memory error) takes the process's
CUDA context with it: every later call fails too, whatever it is for. Which exceptions mean that is not a matter of
their texts, since a fault shows at some later call: the device is asked to add two numbers.
"""

import re

import torch

_MEMORY = re.compile(
    r"out of memory|(can't|cannot|unable to|failed to|could not) allocate|not enough memory|bad_alloc"
    r"|alloc(ation)?_failed|memory_?allocation:|insufficient_resources"
    r"|(cublas|cudnn|cusolver|cusparse)_status_not_initialized"  # their handles found no room
    r"|nvml_success == r",  # the allocator, asking how full a GPU is whose driver does not answer
    re.IGNORECASE,
)
"""How CUDA's libraries, their allocators and the host's say that memory ran out, beside torch's own exception."""


def out_of_memory(error: BaseException) -> bool:
    """Whether an exception, of a device that still answers, says that memory ran out."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or _MEMORY.search(str(error)) is not None


def lost(device: torch.device) -> str | None:
    """Why this process can no longer compute on a device; None where it can, and for a CPU.

    A device that has no memory left for a number is full, not lost.
    """
    if device.type == "cpu":
        return None
    try:
        total = float((torch.ones(1, device=device) + 1).item())
    except (RuntimeError, MemoryError) as error:
        return None if out_of_memory(error) else " ".join(str(error).split())[:300]
    return None if total == 2.0 else f"it adds 1 and 1 to {total}"
