"""Reading what a hostile process left behind: plain files, bounded JSON, a checked safetensors container.

Everything here raises `Invalid` with one sentence; nothing trusts a length that it has not compared.
"""

import json
import math
import os
import re
import stat
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .errors import Invalid

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,199}\Z")
KEY = re.compile(r"[A-Za-z0-9_.\-]{1,400}\Z")

DTYPES: dict[str, torch.dtype] = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "I64": torch.int64,
    "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8, "BOOL": torch.bool,
    "C64": torch.complex64,
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Caps of a sealed model; the model of the published GPU run stays a factor of ten below each.

    Each refusal names its cap. `elements` holds for every tensor that a node declares or makes, `parameters` for
    the sum of all weights, `items` for one list of arguments or parts, `references` for the edges of the graph.
    """

    graph_bytes: int = 16 * 2**20
    weight_bytes: int = 8 * 2**30
    header_bytes: int = 4 * 2**20
    depth: int = 16
    nodes: int = 20_000
    references: int = 200_000
    items: int = 4096
    tensors: int = 20_000
    parameters: int = 2**32
    elements: int = 2**32
    rank: int = 12


def read_plain_file(path: Path, limit: int) -> bytearray:
    """Return the bytes of a regular, singly linked, fully allocated file of at most `limit` bytes.

    O_NONBLOCK keeps a FIFO from holding us, O_NOFOLLOW a link from leading elsewhere. Holes are asked of the
    file system (SEEK_HOLE), not inferred from block counts, which compressing file systems falsify.

    Raises:
        Invalid: the file is missing, of another kind, too large, sparse, or shorter than it said.
    """
    name = path.name
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise Invalid(f"{name} cannot be opened: {error.strerror}") from None
    try:
        return _read_plain(descriptor, limit, name)
    finally:
        os.close(descriptor)


def _read_plain(descriptor: int, limit: int, name: str) -> bytearray:
    facts = os.fstat(descriptor)
    if not stat.S_ISREG(facts.st_mode):
        raise Invalid(f"{name} is not a regular file")
    if facts.st_nlink != 1:
        raise Invalid(f"{name} has {facts.st_nlink} names (hard links)")
    if not 0 < facts.st_size <= limit:
        raise Invalid(f"{name} has {facts.st_size} bytes; allowed are 1 to {limit}")
    if os.lseek(descriptor, 0, os.SEEK_HOLE) < facts.st_size:
        raise Invalid(f"{name} is a sparse file")
    data = bytearray(facts.st_size)
    view, done = memoryview(data), 0
    while done < len(data):
        count = os.preadv(descriptor, [view[done : done + 2**30]], done)
        if count == 0:
            raise Invalid(f"{name} became shorter while it was read")
        done += count
    return data


def _refuse_constant(text: str) -> Any:
    raise Invalid(f"the number {text} is not allowed in JSON here")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise Invalid("a number in JSON is too large for a float")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Invalid("a JSON object names a key twice")
    return found


# Possessive, and a string that nobody closes ends with the text: no input is read twice.
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
_STEPS = np.zeros(256, dtype=np.int8)
_STEPS[list(b"[{")], _STEPS[list(b"]}")] = 1, -1


def nesting(data: bytes | bytearray) -> int:
    """How deep brackets stand in one another, strings left out; taken before anything recursive reads the text."""
    steps = _STEPS[np.frombuffer(_STRING.sub(b"", data), dtype=np.uint8)]
    return int(np.cumsum(steps, dtype=np.int32).max(initial=0))


def parse_json(data: bytes | bytearray, what: str, depth: int = Limits().depth) -> Any:
    """Parse JSON without NaN, infinities, repeated keys or nesting beyond `depth`.

    Raises:
        Invalid: the bytes are anything else.
    """
    if nesting(data) > depth:
        raise Invalid(f"{what} is nested too deeply: {nesting(data)} levels; allowed are {depth}")
    try:
        text = data.decode("utf-8")
        return json.loads(text, parse_constant=_refuse_constant, parse_float=_finite, object_pairs_hook=_unique)
    except Invalid as error:
        raise Invalid(f"{what}: {error}") from None
    except (ValueError, MemoryError):
        raise Invalid(f"{what} is not JSON") from None


def is_size(value: Any, limit: int = 2**40) -> bool:
    """Tell whether `value` is a plain non-negative integer below `limit` (True is no size)."""
    return type(value) is int and 0 <= value < limit


def check_shape(shape: list[Any], limits: Limits, what: str) -> None:
    """Compare a shape of sizes (None: unknown) with the caps.

    A size of 0 makes no tensor small: torch multiplies the others into strides, and they would overflow there.

    Raises:
        Invalid: too many dimensions or elements.
    """
    if len(shape) > limits.rank:
        raise Invalid(f"{what} has {len(shape)} dimensions; allowed are {limits.rank}")
    if math.prod(size or 1 for size in shape) > limits.elements:
        raise Invalid(f"{what} has more than {limits.elements} elements")


def _entry(key: str, entry: Any, limits: Limits) -> tuple[int, int, str, list[int], torch.dtype]:
    if not KEY.match(key) or not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise Invalid("the weights' header has an entry that is not a tensor")
    shape, offsets, kind = entry["shape"], entry["data_offsets"], entry["dtype"]
    dtype = DTYPES.get(kind) if isinstance(kind, str) else None
    if dtype is None:
        raise Invalid(f"tensor {key} has a dtype that is not allowed")
    if not isinstance(shape, list) or not all(is_size(s) for s in shape):
        raise Invalid(f"tensor {key} has an impossible shape")
    check_shape(shape, limits, f"tensor {key}")
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(is_size(o) for o in offsets):
        raise Invalid(f"tensor {key} has impossible offsets")
    start, end = offsets
    if end - start != math.prod(shape) * dtype.itemsize:
        raise Invalid(f"tensor {key} has offsets that do not fit its shape")
    return start, end, key, shape, dtype


def read_tensors(data: bytes | bytearray, limits: Limits) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file's bytes, each in memory of its own.

    The header is checked here and not left to the library: its length, dtypes, shapes, and that the tensors
    tile the data exactly, without overlap, gap or tail.

    Raises:
        Invalid: the file breaks one of these rules.
    """
    if len(data) < 8:
        raise Invalid("the weights are too short for a header")
    (length,) = struct.unpack_from("<Q", data)
    if length > min(limits.header_bytes, len(data) - 8):
        raise Invalid(f"the weights' header claims {length} bytes; allowed are {limits.header_bytes}, and the file's")
    header = parse_json(data[8 : 8 + length], "the weights' header", limits.depth)
    if not isinstance(header, dict):
        raise Invalid("the weights' header is not a table of tensors")
    header.pop("__metadata__", None)
    if len(header) > limits.tensors:
        raise Invalid(f"the weights' header has {len(header)} tensors; allowed are {limits.tensors}")
    entries = sorted((_entry(k, e, limits) for k, e in header.items()), key=lambda e: e[:2])
    if (parameters := sum(math.prod(shape) for *_, shape, _ in entries)) > limits.parameters:
        raise Invalid(f"the weights have {parameters} parameters; allowed are {limits.parameters}")
    position, found = 0, {}
    for start, end, key, shape, dtype in entries:
        if start != position:
            raise Invalid(f"tensor {key} overlaps another or leaves a gap")
        found[key] = _tensor(data, 8 + length + start, end - start, shape, dtype)
        position = end
    if position != len(data) - 8 - length:
        raise Invalid("the weights' data does not end where the header says")
    return found


def _tensor(data: bytes | bytearray, offset: int, size: int, shape: list[int], dtype: torch.dtype) -> Tensor:
    """Copy one tensor out (aligned, private); a boolean is 0 or 1 whatever its byte says."""
    if size == 0:
        return torch.zeros(shape, dtype=dtype)
    if offset + size > len(data):
        raise Invalid("a tensor ends behind the end of the file")
    raw = torch.frombuffer(data, dtype=torch.uint8, count=size, offset=offset).clone()
    return (raw != 0 if dtype is torch.bool else raw.view(dtype)).reshape(shape)
