"""Sealing: from a live module to model.json + model.safetensors, and the way back in for the referee.

The graph is captured once (seconds, before the clock), the weights are read from the live module when they are
written (milliseconds, at the end).
"""

import contextlib
import hashlib
import io
import json
import logging
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .errors import Invalid, SealError
from .files import KEY, Limits, parse_json, read_plain_file, read_tensors
from .graph import SealedModel
from .verify import FORMAT, VERSION, verify

__all__ = [
    "Capture", "Files", "Invalid", "Limits", "SealError", "SealedModel", "capture", "is_current", "load", "parse",
    "read", "write",
]  # fmt: skip

GRAPH_FILE, WEIGHTS_FILE = "model.json", "model.safetensors"


@dataclass(frozen=True, slots=True, kw_only=True)
class Capture:
    """A captured graph: the document without weights, and where in the live module the weights are.

    sources: graph name -> (path in the module, the tensor seen at capture).
    circumstances: what the graph has baked in besides weights; see `is_current`.
    """

    module: nn.Module
    document: dict[str, Any]
    sources: dict[str, tuple[str, Tensor]]
    circumstances: dict[str, Any]


def unwrap(model: nn.Module) -> nn.Module:
    """Return the module inside torch.compile's wrapper."""
    inner = getattr(model, "_orig_mod", None)
    return unwrap(inner) if isinstance(inner, nn.Module) else model


def _circumstances(module: nn.Module, batch_size: int) -> dict[str, Any]:
    """What becomes a constant of the graph: plain attributes of all submodules, and ambient autocast."""
    found: dict[str, Any] = {
        f"{path}.{name}": value
        for path, sub in module.named_modules()
        for name, value in vars(sub).items()
        if name != "training" and not name.startswith("_") and isinstance(value, (bool, int, float, str))
    }
    kind = _device(module).type
    found["autocast"] = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else None
    found["batch_size"] = batch_size
    return found


def is_current(capture: Capture, model: nn.Module, batch_size: int) -> bool:
    """Tell whether `capture` still describes `model`: same module, batch size, plain attributes, autocast.

    A graph bakes in Python numbers (a softcap, a window); a model that changed one since must be captured again.
    """
    module = unwrap(model)
    return capture.module is module and capture.circumstances == _circumstances(module, batch_size)


def _device(module: nn.Module) -> torch.device:
    for tensor in (*module.parameters(), *module.buffers()):
        return tensor.device
    return torch.device("cpu")


def _attributes(sub: nn.Module, *, copy: bool = True) -> list[dict[str, Any]]:
    """What a forward pass could assign to: plain attributes, parameters, buffers (not their contents)."""
    found = [sub._parameters, sub._buffers, vars(sub)]
    return [dict(d) for d in found] if copy else found


@contextlib.contextmanager
def _quiet_eval(module: nn.Module) -> Iterator[None]:
    """Eval mode, no gradients, private random state, silence; afterwards everything is as it was."""
    before = {sub: _attributes(sub) for sub in module.modules()}
    disabled = logging.root.manager.disable
    silence = io.StringIO()
    try:
        logging.disable(logging.CRITICAL)
        # On a failure torch.export prints the whole graph; the researcher gets one sentence instead.
        with contextlib.redirect_stdout(silence), contextlib.redirect_stderr(silence), warnings.catch_warnings(), \
                torch.random.fork_rng(), torch.no_grad():  # fmt: skip
            warnings.simplefilter("ignore")
            module.eval()
            yield
    finally:
        logging.disable(disabled)
        for sub, was in before.items():
            for now, then in zip(_attributes(sub, copy=False), was, strict=True):
                now.clear()
                now.update(then)


def capture(model: nn.Module, *, batch_size: int, seq_len: int, vocab_size: int) -> Capture:
    """Trace `model(tokens)` in eval mode for tokens (batch_size, seq_len) int64.

    Parameters, buffers, attributes, training flags and the random state are left as they were.

    Raises:
        SealError: the model cannot be sealed; the reason names the operation and the line.
    """
    from . import encode, plain  # imports torch.export and sympy: the referee does without

    module = unwrap(model)
    circumstances = _circumstances(module, batch_size)
    tokens = torch.zeros(batch_size, seq_len, dtype=torch.int64, device=_device(module))
    with _quiet_eval(module):
        try:
            program = torch.export.export(module, (tokens,), strict=False)
            program = program.run_decompositions(plain.table())
        except Exception as error:  # noqa: BLE001
            # torch.export raises many kinds for what a model may not do; each becomes one sentence.
            raise SealError(encode.explain(error)) from None
    sizes = {"batch_size": batch_size, "seq_len": seq_len, "vocab_size": vocab_size}
    body, sources = encode.encode(program)
    document = {"format": FORMAT, "version": VERSION, **sizes, "inputs": ["tokens"], **body}
    try:
        verify(json.loads(json.dumps(document)), set(document["tensors"].values()), Limits())
    except Invalid as error:
        raise SealError(f"the captured model breaks a rule of the referee: {error}") from None
    return Capture(module=module, document=document, sources=sources, circumstances=circumstances)


def _live(module: nn.Module, path: str, seen: Tensor) -> Tensor:
    """Return the tensor that stands at `path` now; a constant of the graph has no path and stays as seen."""
    value: Any = module
    for part in path.split("."):
        value = getattr(value, part, None)
    value = value if isinstance(value, Tensor) else seen
    if value.shape != seen.shape or value.dtype != seen.dtype:
        raise SealError(f"{path} changed its shape or dtype since preseal: call preseal again")
    return value.detach()


def _address(tensor: Tensor) -> tuple[Any, ...]:
    """Equal for tensors that are the same bytes seen the same way (tied weights)."""
    if tensor.numel() == 0:
        return (id(tensor),)
    return (tensor.device, tensor.data_ptr(), tensor.dtype, tuple(tensor.shape), tensor.stride())


def write(capture: Capture, directory: Path) -> None:
    """Write model.safetensors, then model.json, each by temporary file and rename; tied weights once.

    Raises:
        SealError: a weight changed its shape or dtype since the capture.
        OSError: the directory cannot be written.
    """
    from safetensors.torch import save_file

    weights: dict[str, Tensor] = {}
    tensors: dict[str, str] = {}
    stored: dict[tuple[Any, ...], str] = {}
    for name, (path, seen) in capture.sources.items():
        live = _live(capture.module, path, seen)
        fresh = path if KEY.match(path) and path not in weights else name
        key = tensors[name] = stored.setdefault(_address(live), fresh)
        if key not in weights:
            weights[key] = live.resolve_conj().to("cpu", copy=True, memory_format=torch.contiguous_format)
    directory = Path(directory)
    _replace(directory / WEIGHTS_FILE, lambda path: save_file(weights, path))
    text = json.dumps(capture.document | {"tensors": tensors}, allow_nan=False, separators=(",", ":"))
    _replace(directory / GRAPH_FILE, lambda path: path.write_text(text, encoding="ascii"))


def _replace(path: Path, write_to: Any) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        write_to(temporary)
        temporary.chmod(0o644)  # the referee runs under another uid, and safetensors writes for the owner alone
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """The bytes of a sealed model, read once: what is verified, scored and kept is these and no others."""

    graph: bytearray
    weights: bytearray

    @property
    def sha256(self) -> str:
        """Identity of the pair."""
        parts = [hashlib.sha256(part).digest() for part in (self.graph, self.weights)]
        return hashlib.sha256(b"".join(parts)).hexdigest()


def read(directory: Path, limits: Limits | None = None) -> Files:
    """Read both files of `directory` without looking into them.

    Raises:
        Invalid: one is no plain file, or too large.
    """
    limits = limits or Limits()
    return Files(
        graph=read_plain_file(Path(directory) / GRAPH_FILE, limits.graph_bytes),
        weights=read_plain_file(Path(directory) / WEIGHTS_FILE, limits.weight_bytes),
    )


def load(
    directory: Path, *, limits: Limits | None = None, seq_len: int | None = None, vocab_size: int | None = None
) -> SealedModel:
    """Read, verify and return the sealed model in `directory`; its weights are on the CPU.

    Raises:
        Invalid: anything at all is not as it must be.
    """
    return parse(read(directory, limits), limits=limits, seq_len=seq_len, vocab_size=vocab_size)


def parse(
    files: Files, *, limits: Limits | None = None, seq_len: int | None = None, vocab_size: int | None = None
) -> SealedModel:
    """Verify and return the sealed model that these bytes are.

    Raises:
        Invalid: anything at all is not as it must be.
    """
    limits = limits or Limits()
    document = parse_json(files.graph, GRAPH_FILE, limits.depth)
    tensors = read_tensors(files.weights, limits)
    graph = verify(document, set(tensors), limits)
    if seq_len is not None and graph.seq_len != seq_len:
        raise Invalid(f"the model is sealed for sequences of {graph.seq_len} tokens, not {seq_len}")
    if vocab_size is not None and graph.vocab_size != vocab_size:
        raise Invalid(f"the model is sealed for a vocabulary of {graph.vocab_size}, not {vocab_size}")
    used = set(graph.tensor_keys)
    return SealedModel(graph, {k: t for k, t in tensors.items() if k in used})
