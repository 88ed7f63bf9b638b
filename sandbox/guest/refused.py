"""Why the operations that a researcher might miss are refused, and what to use instead.

The list in allowed.py is what counts: whatever is not there is refused. This table gives the known dangerous
ones their reason, so that a candidate reads more than "not allowed". Each pattern is matched against the bare
name of an ATen operation, without namespace and overload; the first match speaks.
"""

import re
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True, slots=True)
class Refusal:
    """Operations that are refused for one reason."""

    pattern: str
    reason: str
    instead: str


_RAW = "use slicing, reshape, unfold, zeros or full instead"
_TENSORS = "keep the computation in tensors (torch.where instead of .item() and if)"
_DRAW = "a sealed model is a function of its tokens; draw random numbers in training only (if self.training:)"
_PLAIN = "rewrite the line with ordinary tensor operations"
_NORMS = "statistics over the batch couple its rows; use layer, group or RMS norm"

REFUSALS = (
    Refusal(r"as_strided.*|_reshape_alias.*|reinterpret.*",
            "it reads memory by strides of the caller: on a row of tokens it reached the next token and other rows",
            _RAW),
    Refusal(r"(new_)?empty.*|_empty.*|_efficientzerotensor", "it returns memory as somebody left it", _RAW),
    Refusal(r"set|set_.*|set_data|resize.*|_resize.*|swap.*",
            "it makes a tensor point at other memory", _RAW),
    Refusal(r"_unsafe.*|_index_put_impl.*|_masked_.*|_assert.*|_local_scalar_dense.*unchecked",
            "it is a half of another operation that leaves the checks out", "call the public operation"),
    Refusal(r"view|_view.*|view_copy", "it promises something about strides; it is sealed as reshape", "use reshape"),
    Refusal(r"from_file|_from_file.*|load.*|save.*|_pin_memory|pin_memory|is_pinned|_share.*|record_stream",
            "it reaches files or memory outside the model", "store what the model needs as a parameter or buffer"),
    Refusal(r"from_blob.*|data_ptr|storage.*|data|_version|_nested.*|_sparse.*|sparse.*|to_sparse.*|_to_sparse.*"
            r"|to_mkldnn.*|mkldnn.*|_mkldnn.*|_coalesce.*|coalesce|to_dense|_to_dense",
            "it works on other memory layouts, whose kernels trust their indices", "use dense tensors"),
    Refusal(r".*quant.*|q_.*|int_repr|_make_per.*|fake_.*|_choose_.*|_weight_int.*|_convert_weight.*|_dyn_.*|fbgemm.*",
            "quantised kernels trust packed weights and their scales", "store weights as floats and scale them"),
    Refusal(r"_local_scalar_dense|item|is_nonzero|equal|allclose|is_same_size",
            "it turns the value of a tensor into a Python number", _TENSORS),
    Refusal(r".*dropout.*", "dropout is active although the model is in eval mode",
            "write F.dropout(x, p, self.training)"),
    Refusal(r".*rand.*|.*bernoulli.*|multinomial|normal.*|.*gaussian.*|poisson|binomial|_sample.*|_standard_gamma.*"
            r"|rrelu.*|.*exponential.*|cauchy.*|geometric.*|log_normal.*|uniform.*|_fused_dropout|fractional_max.*",
            "it draws random numbers", _DRAW),
    Refusal(r".*batch_norm.*|.*instance_norm.*", "it computes statistics of the batch or is a half that trusts its "
            "sizes", _NORMS),
    Refusal(r"embedding_bag.*|_embedding_bag.*|embedding_renorm.*|embedding_.*",
            "it trusts offsets that it is given and reads beyond the table, or writes to it",
            "use embedding and a sum"),
    Refusal(r"put|put_.*|masked_scatter.*|index_reduce.*|segment_reduce.*|_segment.*",
            "its kernel takes counts or indices on trust", "use scatter, index_put or index_add"),
    Refusal(r"searchsorted.*|_histogram.*|histc|histogram.*|bincount|_unique.*|unique.*|_bincount.*|histogramdd.*",
            "it trusts that its sorter or edges lie within bounds, or sizes its result by the largest value",
            "use bucketize, or a comparison and a sum"),
    Refusal(r"median|nanmedian|kthvalue|mode", "which of several equal elements it points at differed between two runs",
            "use sort or topk"),
    Refusal(r"repeat_interleave", "with a tensor of counts it sizes its result by values it does not check",
            "use repeat_interleave with a number, or gather"),
    Refusal(r"native_group_norm.*|native_layer_norm.*|_fused_rms_norm.*|_weight_norm.*|_fft_.*|_cudnn.*|cudnn.*"
            r"|miopen.*|_thnn.*|thnn.*|_slow.*|slow_.*|_conv.*|_scaled_dot.*|_flash.*|_efficient.*|_fused_.*"
            r"|_transformer.*|_native_multi.*|_triton.*|_lstm.*|_trilinear|_cdist.*|_pdist.*|_ctc.*|_grid.*|grid_.*",
            "it is the native half of a composite operation and trusts sizes that the composite computes",
            "call the public operation (group_norm, layer_norm, fft_rfft, scaled_dot_product_attention …)"),
    Refusal(r"_foreach.*|_amp.*|_fused_adam.*|_fused_sgd.*|_fused_adagrad.*", "it works on lists in place",
            "train outside of forward"),
    Refusal(r"flex_attention.*|cond|while_loop|map_impl|scan|associative_scan|invoke_subgraph|wrap.*",
            "it carries code of its own, not data", "use F.scaled_dot_product_attention, or unroll the loop"),
    Refusal(r"(gru|lstm|rnn_tanh|rnn_relu)(_cell)?|quantized_.*cell|rnn.*",
            "this spelling of a recurrent layer has no guard for its weights", "use nn.GRU or nn.LSTM on (B, T, C)"),
    Refusal(r"max_unpool.*|max_pool.*_with_indices.*|adaptive_.*|_adaptive.*|upsample.*|_upsample.*|col2im.*|im2col.*"
            r"|pixel_.*|channel_shuffle|affine_grid.*|interpolate.*|roi_.*|nms.*",
            "it works on images, and was not examined", _PLAIN),
    Refusal(r"linalg_.*|_linalg.*|lu_.*|cholesky.*|qr|svd.*|geqrf|ormqr|orgqr|inverse|det|logdet|slogdet|lstsq|eig.*"
            r"|triangular_solve|pinverse|matrix_.*|symeig",
            "a decomposition runs in LAPACK, which trusts what it is given, NaN included",
            "use products, or linalg_solve_triangular"),
    Refusal(r".*backward.*", "it belongs to training", "compute gradients outside of forward"),
    Refusal(r"_to_cpu|_mps.*|_nccl.*|_cuda.*|to_here",
            "it reaches other devices or processes", "a sealed model has one device"),
    Refusal(r"_print|_debug.*|_autocast.*|_set_.*|_use_.*|_has_.*|_is_.*|is_.*|retain_grad|requires_grad.*",
            "it acts on torch and not on a tensor", "leave it out of forward"),
)  # fmt: skip

_WRITES = Refusal("", "it writes to a tensor that exists already", "assign to a new tensor instead of writing in place")
_DRAWS = Refusal("", "it draws random numbers", _DRAW)
_UNKNOWN = Refusal("", "it is not on the list of pure operations that were examined", _PLAIN)
_FOREIGN = Refusal("", "it is no operation of ATen", _PLAIN)

_COMPILED = tuple((re.compile(r.pattern), r) for r in REFUSALS)


def _overload(name: str) -> Any:
    """Look `aten.name.overload` up for its schema only; None where there is no such thing."""
    parts = name.split(".")
    if len(parts) != 3 or not all(re.fullmatch(r"[A-Za-z0-9_]{1,80}", p) and p[:2] != "__" for p in parts):
        return None
    found = getattr(getattr(torch.ops.aten, parts[1], None), parts[2], None)
    return found if isinstance(found, torch._ops.OpOverload) else None


def _by_facts(name: str) -> Refusal | None:
    overload = _overload(name)
    if overload is None:
        return None
    if any(a.alias_info is not None and a.alias_info.is_write for a in overload._schema.arguments):
        return _WRITES
    return _DRAWS if torch.Tag.nondeterministic_seeded in overload.tags else None


def refusal(name: str) -> Refusal:
    """Return why the operation `name`, which is not allowed, is refused."""
    if not name.startswith("aten."):
        # Symbolic arithmetic comes as sym.NAME; a higher-order operation under its own name.
        return _named(name) or _FOREIGN
    parts = name.split(".")
    if parts[-1] == "out" or (parts[1].endswith("_") and not parts[1].endswith("__")):
        return _by_facts(name) or _named(parts[1].rstrip("_")) or _WRITES
    return _named(parts[1]) or _by_facts(name) or _UNKNOWN


def _named(bare: str) -> Refusal | None:
    return next((r for pattern, r in _COMPILED if pattern.fullmatch(bare[:200])), None)


def why(name: str) -> str:
    """Return reason and remedy as the end of a sentence."""
    found = refusal(name)
    return f"{found.reason}; {found.instead}"
