"""Environment variables that a train.py may set: switches of torch and its libraries, never a path or a program."""

from __future__ import annotations

import re

_SWITCHES = re.compile(
    r"(CUBLAS|CUDA|CUDNN|HF_HUB_DISABLE|KMP|MKL|NCCL|NVIDIA_TF32|OMP|OPENBLAS|PYTORCH|TOKENIZERS|TORCH|TORCHDYNAMO|"
    r"TORCHINDUCTOR|TRITON)_[A-Z0-9_]{1,60}"
)
_PLACES = re.compile(
    r"CACHE|DIR|PATH|FILE|HOME|LIB|LOG|DUMP|CXX|CC\b|COMPILER|DEBUG|TRACE|HOOK|PRELOAD|PLUGIN|OVERRIDE"
)
_DEVICES = re.compile(r"CUDA_VISIBLE_DEVICES|CUDA_INJECTION")


def is_plain_setting(name: object) -> bool:
    """Is this the name of a switch that changes how torch computes, and nothing else?"""
    if not isinstance(name, str) or not _SWITCHES.fullmatch(name):
        return False
    return not _PLACES.search(name) and not _DEVICES.match(name)
