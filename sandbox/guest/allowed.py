"""Which operations a sealed model may contain, and why each of them is safe.

An operation belongs here when it (1) writes to nothing that exists, (2) draws no random number, (3) has every
element of its result defined by its arguments, (4) checks its bounds itself or by a guard (guards.py). A family
holds operations that are safe for the same reason; refused.py says why the known dangerous ones are not here.
Looking ahead is no reason to leave an operation out (`roll`, `flip` and `cumsum` have honest uses): the audit
judges what a graph does with it.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Family:
    """Operations that are allowed for one reason."""

    kind: str
    names: str
    reason: str


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_ELEMENT = "each element of the result is computed from the elements at the same place, after broadcasting, "

FAMILIES = (
    Family("pointwise", "add.Tensor add.Scalar sub.Tensor sub.Scalar rsub.Scalar rsub.Tensor mul.Tensor mul.Scalar neg",
           _ELEMENT + "by one addition or product; integers wrap, floats follow IEEE"),
    Family("pointwise", "div.Tensor div.Scalar div.Tensor_mode div.Scalar_mode true_divide.Tensor floor_divide "
           "floor_divide.Scalar remainder.Tensor remainder.Scalar fmod.Tensor fmod.Scalar reciprocal",
           _ELEMENT + "by one division; an integer division by zero raises, or ends the child that runs it"),
    Family("pointwise", "sqrt rsqrt square pow.Tensor_Scalar pow.Tensor_Tensor pow.Scalar hypot",
           _ELEMENT + "by one power; what has no value is NaN, which no score survives"),
    Family("pointwise", "exp exp2 expm1 log log2 log10 log1p logaddexp logaddexp2 xlogy.Tensor special_xlog1py",
           _ELEMENT + "by an exponential or logarithm; overflow is infinite, which no score survives"),
    Family("pointwise", "sin cos tan asin acos atan atan2 sinh cosh tanh asinh acosh atanh sinc deg2rad",
           _ELEMENT + "by a trigonometric or hyperbolic function"),
    Family("pointwise", "sigmoid logit erf erfc erfinv lgamma digamma i0",
           _ELEMENT + "by a special function without tables of the caller's"),
    Family("pointwise", "relu relu6 leaky_relu elu celu selu gelu silu mish softplus hardtanh hardsigmoid",
           _ELEMENT + "by an activation; no state, no noise (rrelu, which draws, is not here)"),
    Family("pointwise", "hardswish hardshrink softshrink threshold prelu log_sigmoid glu",
           _ELEMENT + "by an activation; weights and halves are checked against the input's channels"),
    Family("pointwise", "clamp clamp.Tensor clamp_min clamp_min.Tensor clamp_max clamp_max.Tensor clip maximum minimum "
           "fmax fmin heaviside",
           _ELEMENT + "by comparing with a bound; NaN goes through, or gives way, as documented"),
    Family("pointwise", "round round.decimals floor ceil trunc frac sign sgn copysign.Tensor nextafter ldexp.Tensor "
           "nan_to_num",
           _ELEMENT + "by rounding or a change of sign or exponent"),
    Family("pointwise", "abs positive real imag conj _conj _conj_physical conj_physical resolve_conj resolve_neg angle "
           "complex polar",
           _ELEMENT + "or is a part of a complex number; lazy conjugation is a flag that later operations honour"),
    Family("pointwise", "where where.self where.ScalarOther where.ScalarSelf where.Scalar masked_fill.Scalar "
           "masked_fill.Tensor lerp.Tensor lerp.Scalar addcmul addcdiv",
           _ELEMENT + "by choosing or blending; a mask that does not broadcast raises"),
    Family("pointwise", "eq.Tensor eq.Scalar ne.Tensor ne.Scalar lt.Tensor lt.Scalar le.Tensor le.Scalar gt.Tensor "
           "gt.Scalar ge.Tensor ge.Scalar isclose",
           _ELEMENT + "by a comparison; the answer is a tensor, never a Python value"),
    Family("pointwise", "logical_and logical_or logical_not logical_xor isnan isinf isfinite isposinf isneginf signbit",
           _ELEMENT + "and is a truth value"),
    Family("pointwise", "bitwise_and.Tensor bitwise_and.Scalar bitwise_or.Tensor bitwise_or.Scalar bitwise_xor.Tensor "
           "bitwise_xor.Scalar bitwise_not __and__.Tensor __and__.Scalar __or__.Tensor __or__.Scalar",
           _ELEMENT + "by bits; the in-place spelling of the operators is another operation, and not here"),
    Family("pointwise", "__xor__.Tensor __xor__.Scalar bitwise_left_shift.Tensor bitwise_left_shift.Tensor_Scalar "
           "bitwise_right_shift.Tensor bitwise_right_shift.Tensor_Scalar",
           _ELEMENT + "by bits; a shift beyond the width gives 0 or the sign, whatever the processor would do"),
    Family("copy", "clone _to_copy contiguous alias detach type_as lift_fresh_copy copy",
           "the same numbers again, copied or seen through an alias that nothing here can write through"),
    Family("copy", "to.dtype to.dtype_layout to.device to.other",
           "a conversion; the only device is the referee's own and the dtypes are those of our table"),
    Family("shape", "reshape flatten.using_ints unflatten.int ravel view_as atleast_2d",
           "the same elements in another shape; the count must agree, and strides stay torch's business"),
    Family("shape", "permute transpose.int t mT swapaxes movedim.int movedim.intlist",
           "the same elements with dimensions in another order; dimension numbers are checked"),
    Family("shape", "expand expand_as broadcast_to broadcast_tensors unsqueeze squeeze squeeze.dim squeeze.dims",
           "dimensions of size one appear, vanish or repeat; nothing can be written into the repeated element"),
    Family("shape", "slice.Tensor select.int narrow split.Tensor split_with_sizes tensor_split.sections chunk "
           "unbind.int",
           "a part along one dimension; starts and lengths are clamped or checked against the size"),
    Family("shape", "diagonal unfold", "a view whose strides torch computes from checked sizes, not the caller"),
    Family("shape", "cat concat stack hstack vstack meshgrid meshgrid.indexing",
           "existing elements beside each other; other sizes must agree, and every element has a source"),
    Family("shape", "repeat tile repeat_interleave.self_int",
           "existing elements again; the size asked for is compared with the cap before memory is taken"),
    Family("shape", "flip roll rot90", "existing elements in another order, by indices that torch computes"),
    Family("shape", "diag diag_embed tril triu", "existing elements, and zeros for the rest"),
    Family("shape", "pad constant_pad_nd",
           "existing elements and a border of constants or reflections; border sizes are checked against the input"),
    Family("shape", "view_as_real view_as_complex",
           "pairs of floats seen as complex numbers; strides and the last size are checked"),
    Family("shape", "slice_scatter select_scatter diagonal_scatter",
           "a copy of the first tensor with a part replaced; the shape of the part must fit exactly"),
    Family("creation", "arange arange.start arange.start_step linspace tril_indices triu_indices eye eye.m",
           "a sequence or pattern written from its bounds; the size asked for is compared with the cap first"),
    Family("creation", "full full_like zeros zeros_like ones ones_like new_zeros new_ones new_full scalar_tensor",
           "memory that is filled before anybody sees it; the size asked for is compared with the cap first"),
    Family("creation", "one_hot", "zeros and ones from classes that are checked to lie below their number"),
    Family("reduction", "sum sum.dim_IntList mean mean.dim prod prod.dim_int nansum count_nonzero "
           "count_nonzero.dim_IntList",
           "sums, products and counts along dimensions; over nothing they have a defined neutral value"),
    Family("reduction", "amax amin aminmax max max.dim min min.dim argmax argmin",
           "an extreme element and its place; over nothing, or beyond the size, they raise"),
    Family("reduction", "any any.dim any.dims all all.dim all.dims",
           "a truth value along dimensions; over nothing it is defined"),
    Family("reduction", "var.correction var.dim var std.correction std.dim std var_mean.correction",
           "moments along dimensions the graph names; if these are batch or later positions the audit sees it"),
    Family("reduction", "logsumexp norm.ScalarOpt_dim norm.Scalar linalg_vector_norm",
           "a norm or log-sum along dimensions the graph names, computed from all of them"),
    Family("reduction", "softmax.int _softmax log_softmax.int _log_softmax",
           "normalisation along one checked dimension; the referee normalises again, whatever the graph did"),
    Family("matmul", "matmul mm bmm mv dot outer linear inner linalg_matmul linalg_vecdot",
           "products of matrices whose inner sizes are compared by the library before it runs"),
    Family("matmul", "addmm baddbmm addbmm addmv",
           "a product and a term that must broadcast to it; with beta 0 the term is not read at all"),
    Family("matmul", "einsum tensordot kron",
           "sums of products, built on bmm; the equation is matched against a pattern of our own"),
    Family("matmul", "linalg_solve_triangular", "substitution with a square matrix; shapes are compared first"),
    Family("index", "embedding index_select gather take take_along_dim",
           "elements picked by index; an index outside raises on the CPU and ends the child on a GPU"),
    Family("index", "index.Tensor index_put masked_select",
           "elements picked or replaced by index or mask; indices are checked, and index_put works on a copy"),
    Family("index", "scatter.src scatter.value scatter.reduce scatter.value_reduce scatter_add scatter_reduce.two",
           "a copy with elements added or replaced by checked indices; sums run in a fixed order (deterministic mode)"),
    Family("index", "index_add index_copy index_fill.int_Scalar index_fill.int_Tensor",
           "a copy with slices added or replaced by checked indices; sums run in a fixed order (deterministic mode)"),
    Family("index", "nonzero nonzero_numpy argwhere",
           "the places of what is not zero; the size depends on the data and is known when it has run"),
    Family("index", "argsort argsort.stable sort sort.stable topk",
           "order along one checked dimension; ties are broken alike for the same numbers"),
    Family("index", "bucketize.Tensor",
           "a binary search that stays within the boundaries even when they are not sorted"),
    Family("scan", "cumsum cumprod cummax cummin logcumsumexp diff",
           "running values along one checked dimension; backwards in time they look ahead, which the audit sees"),
    Family("scan", "gru.input lstm.input",
           "the recurrent layers of torch, without dropout; a guard compares every weight with the width of the input"),
    Family("transform", "fft_fft fft_ifft fft_rfft fft_irfft",
           "one-dimensional transforms that compute their own sizes (the native _fft_* trust the caller's)"),
    Family("attention", "scaled_dot_product_attention",
           "fused attention, without dropout; a guard checks the shapes that its kernels take on trust"),
    Family("conv", "conv1d conv2d conv1d.padding conv2d.padding convolution conv_transpose1d",
           "convolutions; channels, groups, strides and paddings are checked before a kernel is chosen"),
    Family("conv", "avg_pool1d max_pool1d avg_pool2d",
           "means and maxima over windows; windows, strides and paddings are checked"),
    Family("norm", "layer_norm rms_norm group_norm cosine_similarity",
           "normalisation within a row; the composite checks weights against the shape before its native half runs"),
    Family("norm", "batch_norm", "normalisation by stored statistics only; a guard refuses those of the batch"),
    Family("symbolic", "sym_size.int sym_numel", "a size as an integer, for shapes that depend on the data"),
)  # fmt: skip

# Results that are larger than their arguments: the sizes they are asked for are checked before they run.
GROWING = _words(
    """full zeros ones new_zeros new_ones new_full eye eye.m linspace arange arange.start arange.start_step one_hot
    tril_indices triu_indices expand broadcast_to repeat tile repeat_interleave.self_int pad constant_pad_nd
    fft_fft fft_ifft fft_rfft fft_irfft diag_embed unfold"""
)

SYMBOLIC_REASON = "arithmetic on sizes, in Python integers and floats, kept within 64 bits"
GETITEM_REASON = "one part of a result that has several; the part must exist in what the node declares"
