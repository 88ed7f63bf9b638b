"""The operations a sealed model may contain: a hand-written list of pure tensor functions.

The `core` tag of ATen is not such a list: `as_strided` on an input row reads the next token and other rows,
`empty` returns freed memory. An operation belongs here when it (1) writes to nothing that exists, (2) draws
no random number, (3) has every element of its result defined by its arguments, (4) checks its bounds itself.
Left out for a reason: `view` and `_unsafe_view` (sealed as `reshape`, which needs no luck with strides),
`_reshape_alias` and all of `as_strided*` (raw strides), `empty*`, `resize*`, `_unsafe_*`, everything random,
`item` (`_local_scalar_dense`), `instance_norm` (statistics of the batch). The native halves of composite
operations trust sizes that the composite computed (`native_group_norm`, `_native_batch_norm_legit_no_training`,
`_weight_norm_interface`, `_fft_c2r`): only the composites are allowed, since a graph could pass other sizes
and read foreign memory. For the same reason: no `embedding_bag`, `put`, `searchsorted`, `masked_scatter`,
`repeat_interleave.Tensor`. Operations whose own checks have gaps carry an extra one in guards.py.
"""

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_ALLOWED = {
    "pointwise": """
        abs add.Tensor add.Scalar sub.Tensor sub.Scalar rsub.Scalar rsub.Tensor mul.Tensor mul.Scalar
        div.Tensor div.Scalar div.Tensor_mode div.Scalar_mode true_divide.Tensor floor_divide
        floor_divide.Scalar remainder.Tensor remainder.Scalar fmod.Tensor fmod.Scalar neg reciprocal sqrt
        rsqrt square pow.Tensor_Scalar pow.Tensor_Tensor pow.Scalar exp exp2 expm1 log log2 log10 log1p sin
        cos tan asin acos atan atan2 sinh cosh tanh asinh acosh atanh sigmoid logit erf erfc erfinv lgamma
        digamma relu relu6 leaky_relu elu celu selu gelu silu mish softplus hardtanh hardsigmoid hardswish
        hardshrink softshrink threshold prelu log_sigmoid glu clamp clamp.Tensor clamp_min clamp_min.Tensor
        clamp_max clamp_max.Tensor clip maximum minimum fmax fmin round round.decimals floor ceil trunc frac
        sign sgn where where.self where.ScalarOther where.ScalarSelf where.Scalar masked_fill.Scalar
        masked_fill.Tensor eq.Tensor eq.Scalar ne.Tensor ne.Scalar lt.Tensor lt.Scalar le.Tensor le.Scalar
        gt.Tensor gt.Scalar ge.Tensor ge.Scalar logical_and logical_or logical_not logical_xor
        bitwise_and.Tensor bitwise_and.Scalar bitwise_or.Tensor bitwise_or.Scalar bitwise_xor.Tensor
        bitwise_xor.Scalar bitwise_not bitwise_left_shift.Tensor bitwise_left_shift.Tensor_Scalar
        bitwise_right_shift.Tensor bitwise_right_shift.Tensor_Scalar __and__.Tensor __and__.Scalar
        __or__.Tensor __or__.Scalar __xor__.Tensor __xor__.Scalar isnan isinf isfinite nan_to_num
        lerp.Tensor lerp.Scalar addcmul addcdiv copysign.Tensor hypot logaddexp logaddexp2 xlogy.Tensor
        special_xlog1py sinc i0 deg2rad positive real imag conj _conj _conj_physical conj_physical
        resolve_conj resolve_neg angle complex polar heaviside isclose isposinf isneginf signbit nextafter
        ldexp.Tensor""",
    "copy": """
        clone _to_copy contiguous alias detach type_as lift_fresh_copy copy to.dtype to.dtype_layout
        to.device to.other""",
    "shape": """
        reshape flatten.using_ints unflatten.int permute transpose.int t mT swapaxes movedim.int
        movedim.intlist expand expand_as view_as broadcast_to unsqueeze squeeze squeeze.dim squeeze.dims
        slice.Tensor select.int narrow split.Tensor split_with_sizes tensor_split.sections chunk unbind.int
        cat concat stack hstack vstack repeat tile repeat_interleave.self_int flip roll unfold diagonal diag
        diag_embed tril triu pad constant_pad_nd view_as_real view_as_complex slice_scatter select_scatter
        diagonal_scatter broadcast_tensors meshgrid meshgrid.indexing atleast_2d ravel rot90""",
    "creation": """
        arange arange.start arange.start_step full full_like zeros zeros_like ones ones_like new_zeros
        new_ones new_full eye eye.m linspace scalar_tensor tril_indices triu_indices one_hot""",
    "reduction": """
        sum sum.dim_IntList mean mean.dim prod prod.dim_int amax amin aminmax max max.dim min min.dim argmax
        argmin any any.dim any.dims all all.dim all.dims var.correction var.dim var std.correction std.dim
        std var_mean.correction logsumexp norm.ScalarOpt_dim norm.Scalar linalg_vector_norm softmax.int
        _softmax log_softmax.int _log_softmax count_nonzero count_nonzero.dim_IntList nansum median.dim
        kthvalue""",
    "matmul": """
        matmul mm bmm mv dot outer linear addmm baddbmm addbmm addmv einsum linalg_matmul tensordot kron
        linalg_solve_triangular linalg_vecdot inner""",
    "index": """
        embedding index.Tensor index_select gather take take_along_dim scatter.src scatter.value
        scatter.reduce scatter.value_reduce scatter_add scatter_reduce.two index_add index_copy
        index_fill.int_Scalar index_fill.int_Tensor index_put masked_select nonzero nonzero_numpy argsort
        argsort.stable sort sort.stable topk bucketize.Tensor argwhere""",
    "scan": "cumsum cumprod cummax cummin logcumsumexp diff gru.input lstm.input",
    "transform": "fft_fft fft_ifft fft_rfft fft_irfft",
    "attention": "scaled_dot_product_attention",
    "conv": """
        conv1d conv2d conv1d.padding conv2d.padding convolution conv_transpose1d avg_pool1d max_pool1d
        avg_pool2d""",
    "norm": "layer_norm rms_norm group_norm batch_norm cosine_similarity",
    "symbolic": "sym_size.int sym_numel",
}

# Results that are larger than their arguments: the sizes they are asked for are checked before they run.
GROWING = _words(
    """full zeros ones new_zeros new_ones new_full eye eye.m linspace arange arange.start arange.start_step one_hot
    tril_indices triu_indices expand broadcast_to repeat tile repeat_interleave.self_int pad constant_pad_nd
    fft_fft fft_ifft fft_rfft fft_irfft diag_embed unfold"""
)

# What the traced op is sealed as: the same function without a promise about strides.
RENAMED = {
    "aten.view.default": "aten.reshape.default",
    "aten._unsafe_view.default": "aten.reshape.default",
    "aten.view_copy.default": "aten.reshape.default",
}

ADVICE = {
    "random": "a sealed model is a function of its tokens; draw random numbers in training only (if self.training:)",
    "dropout": "dropout is active although the model is in eval mode; write F.dropout(x, p, self.training)",
    "raw memory": "use slicing, reshape, unfold, zeros or full instead",
    "writes": "assign to a new tensor instead of writing in place",
    "reads a value": "keep the computation in tensors (torch.where instead of .item() and if)",
    "statistics": "statistics over the batch couple its rows; use layer, group or RMS norm",
    "unknown": "rewrite the line with ordinary tensor operations",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Op:
    """One allowed operation: `kind` is its class, `schema` None for integer arithmetic."""

    name: str
    kind: str
    call: Callable[..., Any]
    schema: Any
    growing: bool


_INTEGER_LIMIT = 2**63


def _bounded(function: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap scalar arithmetic: a chain of squarings would otherwise grow an integer without end."""

    def call(*args: Any) -> Any:
        result = function(*args)
        if isinstance(result, (int, float)) and abs(result) < _INTEGER_LIMIT:
            return result
        raise ValueError("a symbolic size left the range of 64-bit integers")

    call.__name__ = function.__name__
    return call


SCALAR_FUNCTIONS: dict[str, Callable[..., Any]] = {
    f"sym.{function.__name__}": function
    for function in (
        operator.add, operator.sub, operator.mul, operator.floordiv, operator.truediv, operator.mod, operator.neg,
        operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge, operator.and_, operator.or_,
        math.ceil, math.floor, math.trunc, torch.sym_max, torch.sym_min, torch.sym_not, torch.sym_float, torch.sym_int,
    )
}  # fmt: skip


def _aten(short: str, kind: str) -> Op | None:
    """Look one of our own names up; None where this torch lacks it."""
    packet_name, _, overload = short.partition(".")
    packet = getattr(torch.ops.aten, packet_name, None)
    call = getattr(packet, overload or "default", None)
    if call is None:
        return None
    if any(a.alias_info is not None and a.alias_info.is_write for a in call._schema.arguments):
        raise AssertionError(f"{short} writes to its arguments and does not belong on the list")
    name = f"aten.{packet_name}.{overload or 'default'}"
    return Op(name=name, kind=kind, call=call, schema=call._schema, growing=short in GROWING)


@cache
def table() -> dict[str, Op]:
    """Every allowed operation by the name that stands in model.json."""
    found = {op.name: op for kind, names in _ALLOWED.items() for n in names.split() if (op := _aten(n, kind))}
    for name, function in SCALAR_FUNCTIONS.items():
        found[name] = Op(name=name, kind="symbolic", call=_bounded(function), schema=None, growing=False)
    found["getitem"] = Op(name="getitem", kind="symbolic", call=operator.getitem, schema=None, growing=False)
    return found


def advice(name: str, target: Any) -> str:
    """Say in a few words why the traced operation `name` is refused and what to do instead."""
    tags, schema = getattr(target, "tags", ()), getattr(target, "_schema", None)
    if "dropout" in name:
        return ADVICE["dropout"]
    if "batch_norm" in name or "instance_norm" in name:
        return ADVICE["statistics"]
    if torch.Tag.nondeterministic_seeded in tags or "rand" in name:
        return ADVICE["random"]
    if any(word in name for word in ("as_strided", "empty", "resize", "_unsafe", "_reshape_alias", "set_")):
        return ADVICE["raw memory"]
    if any(word in name for word in ("_local_scalar_dense", "item", "is_nonzero")):
        return ADVICE["reads a value"]
    if schema is not None and any(a.alias_info is not None and a.alias_info.is_write for a in schema.arguments):
        return ADVICE["writes"]
    return ADVICE["unknown"]
