"""Checks that run before an operation does, where its own come too late or not at all.

Raises `Invalid`; they are cheap (shapes and sizes only) and run on every pass, because symbolic sizes may
differ from batch to batch.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from .errors import Invalid

Guard = Callable[[Sequence[Any], dict[str, Any]], None]

# Ten times the longest row that is in use.
MAX_WINDOW = 2**16

_WINDOWED = ("aten.conv1d.", "aten.conv2d.", "aten.convolution.", "aten.conv_transpose1d.", "aten.avg_pool1d.",
             "aten.avg_pool2d.", "aten.max_pool1d.")  # fmt: skip

_GATES = {"aten.gru.input": 3, "aten.lstm.input": 4}


def _argument(args: Sequence[Any], kwargs: dict[str, Any], position: int, name: str, default: Any) -> Any:
    return args[position] if len(args) > position else kwargs.get(name, default)


def _require(holds: bool, sentence: str) -> None:
    if not holds:
        raise Invalid(sentence)


def attention(args: Sequence[Any], kwargs: dict[str, Any]) -> None:
    """Refuse dropout and shapes that the fused kernels take on trust (they read keys up to the values' length)."""
    query, key, value = (_argument(args, kwargs, i, n, None) for i, n in enumerate(("query", "key", "value")))
    _require(
        all(isinstance(t, Tensor) and t.dim() >= 3 for t in (query, key, value))
        and query.dim() == key.dim() == value.dim(),
        "attention wants query, key and value of one rank, at least 3",
    )
    _require(_argument(args, kwargs, 4, "dropout_p", 0.0) == 0.0, "attention with dropout")
    _require(key.shape[-2] == value.shape[-2], "attention with keys and values of different lengths")
    _require(query.shape[-1] == key.shape[-1], "attention with queries and keys of different widths")
    grouped = kwargs.get("enable_gqa", False)
    lead = [t.shape[:-3] if grouped else t.shape[:-2] for t in (query, key, value)]
    _require(lead[0] == lead[1] == lead[2], "attention with different batch sizes")
    heads = [t.shape[-3] for t in (query, key, value)]
    _require(all(h > 0 and heads[0] % h == 0 for h in heads[1:]), "attention with unmatched heads")
    mask = _argument(args, kwargs, 3, "attn_mask", None)
    if mask is not None:
        _require(isinstance(mask, Tensor), "attention with a mask that is no tensor")
        want = (*query.shape[:-1], key.shape[-2])
        fits = all(m in (1, w) for m, w in zip(reversed(mask.shape), reversed(want), strict=False))
        _require(fits and 2 <= mask.dim() <= len(want), "attention with a mask of another shape")


def recurrent(name: str) -> Guard:
    """Check every weight of a GRU or LSTM against the width of the input: some kernels copy them blindly."""
    gates = _GATES[name]

    def check(args: Sequence[Any], kwargs: dict[str, Any]) -> None:
        _require(len(args) == 9 and not kwargs, "a recurrent layer wants nine arguments")
        tokens, state, weights, biased, layers, dropout, train, bidirectional, batch_first = args
        states = state if isinstance(state, (list, tuple)) else [state]
        _require(all(isinstance(t, Tensor) for t in (tokens, *states, *weights)) and len(states) > 0,
                 "a recurrent layer wants tensors")  # fmt: skip
        _require(not train or dropout == 0, "a recurrent layer with dropout")
        _require(tokens.dim() == 3, "a recurrent layer wants a batch of sequences")
        _require(all(t.dim() >= 2 for t in states), "a recurrent layer wants a state for each layer")
        hidden, directions = states[0].shape[-1], 2 if bidirectional else 1
        _require(0 < layers <= 64 and hidden > 0, "a recurrent layer of unusual size")
        want = (layers * directions, tokens.shape[0 if batch_first else 1], hidden)
        _require(
            [tuple(t.shape) for t in states] == [want] * (gates - 2), "a recurrent layer with states of other shapes"
        )
        shapes = []
        for layer in range(layers):
            width = tokens.shape[-1] if layer == 0 else hidden * directions
            one = [(gates * hidden, width), (gates * hidden, hidden)]
            shapes += (one + [(gates * hidden,)] * (2 if biased else 0)) * directions
        _require([tuple(w.shape) for w in weights] == shapes, "a recurrent layer with weights of other shapes")

    return check


def inference_only(position: int) -> Guard:
    """Refuse batch statistics: they couple the rows of a batch."""

    def check(args: Sequence[Any], kwargs: dict[str, Any]) -> None:
        training = _argument(args, kwargs, position, "training", True)
        _require(training is False, "batch normalisation in training mode")

    return check


def windows(args: Sequence[Any], kwargs: dict[str, Any]) -> None:
    """Refuse windows, strides and paddings that no row is long enough for.

    A pooling window of 2^32 + 1 passed the library's check of the output's size on a row of four, and ran on.
    """
    for value in (*args, *kwargs.values()):
        sizes = value if isinstance(value, (list, tuple)) else [value]
        numbers = [abs(v) for v in sizes if isinstance(v, int)]
        _require(max(numbers, default=0) <= MAX_WINDOW, f"a window, stride or padding beyond {MAX_WINDOW}")


def growth(name: str, limit: int) -> Guard:
    """Refuse an operation whose size arguments ask for more than `limit` elements, before it allocates.

    Integers and lists of integers are sizes; floats are fill values, except in `arange`. `repeat` and its kind
    multiply what they are given.
    """
    sized = (int, float) if name.startswith("aten.arange") else int
    by_sides = name.startswith(("aten.eye", "aten.tril_indices", "aten.triu_indices"))
    multiplies = name.startswith(("aten.repeat", "aten.tile"))

    def asked(value: Any) -> float:
        if isinstance(value, (list, tuple)):
            return math.prod(asked(v) for v in value)
        if isinstance(value, bool) or not isinstance(value, sized):
            return 1
        return max(1, abs(value))

    def check(args: Sequence[Any], kwargs: dict[str, Any]) -> None:
        asks = [asked(value) for value in (*args, *kwargs.values())]
        times = args[0].numel() if multiplies and isinstance(args[0], Tensor) else 1
        total = math.prod(asks) if by_sides else max(asks) * times
        _require(total <= limit, f"{name} asks for more than {limit} elements")

    return check


def for_op(name: str, growing: bool, limit: int) -> Guard | None:
    """Return the check that `name` needs, if any."""
    if name == "aten.scaled_dot_product_attention.default":
        return attention
    if name in _GATES:
        return recurrent(name)
    if name == "aten.batch_norm.default":
        return inference_only(5)
    if name.startswith(_WINDOWED):
        return windows
    return growth(name, limit) if growing else None
