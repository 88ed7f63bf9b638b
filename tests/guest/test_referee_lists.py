"""Every allowed operation has a reason, every refused one too."""

import re

import pytest
import torch

from sandbox.guest import allowed, ops, refused

NAMES = [(f, n) for f in allowed.FAMILIES for n in f.names.split()]


@pytest.mark.parametrize("family", allowed.FAMILIES, ids=lambda f: f.names.split()[0])
def test_a_family_is_small_and_says_why_it_is_safe(family):
    names = family.names.split()
    assert 1 <= len(names) <= 16
    assert len(family.reason) >= 40
    for name in names:
        op = ops.table()[f"aten.{name if '.' in name else name + '.default'}"]
        assert (op.kind, op.reason) == (family.kind, family.reason)
        assert not op.schema.is_mutable


def test_no_operation_is_listed_twice_and_no_reason_serves_two_families():
    assert len({n for _, n in NAMES}) == len(NAMES) > 350
    assert len({f.reason for f in allowed.FAMILIES}) == len(allowed.FAMILIES)
    assert {n for _, n in NAMES} >= allowed.GROWING


def test_the_symbolic_ones_have_reasons_too():
    rest = [op for op in ops.table().values() if op.schema is None]
    assert len(rest) == len(ops.SCALAR_FUNCTIONS) + 1
    assert all(len(op.reason) >= 40 for op in rest)


DANGEROUS = {
    "aten.as_strided.default": "strides", "aten.as_strided_scatter.default": "strides",
    "aten._reshape_alias.default": "strides", "aten.empty.memory_format": "as somebody left it",
    "aten.new_empty_strided.default": "as somebody left it", "aten.empty_like.default": "as somebody left it",
    "aten.set_.source_Tensor": "", "aten.resize_.default": "", "aten.resize.default": "other memory",
    "aten.from_file.default": "files", "aten._local_scalar_dense.default": "Python number",
    "aten.item.default": "Python number", "aten.rand_like.default": "random", "aten.randn.default": "random",
    "aten.randperm.default": "random", "aten.multinomial.default": "random", "aten.normal.Tensor_Tensor": "random",
    "aten.rrelu.default": "random", "aten.native_dropout.default": "dropout",
    "aten.embedding_bag.padding_idx": "offsets", "aten.put.default": "on trust",
    "aten.masked_scatter.default": "on trust", "aten.searchsorted.Tensor": "sorter",
    "aten.bincount.default": "largest value", "aten.repeat_interleave.Tensor": "counts",
    "aten.native_group_norm.default": "native half", "aten._weight_norm_interface.default": "native half",
    "aten._fft_c2r.default": "native half", "aten._native_batch_norm_legit_no_training.default": "statistics",
    "aten.instance_norm.default": "statistics", "aten._unsafe_index.Tensor": "leaves the checks out",
    "aten._sparse_coo_tensor_unsafe.default": "memory layouts", "aten.to_sparse.default": "memory layouts",
    "aten.quantize_per_tensor.default": "quantised", "aten.median.dim": "equal elements",
    "aten.linalg_svd.default": "LAPACK", "aten.add_.Tensor": "writes", "aten.add.out": "writes",
    "aten.index_put_.default": "writes", "aten.copy_.default": "writes", "aten.gru.data": "no guard",
    "aten._scaled_dot_product_flash_attention_for_cpu.default": "native half", "aten.grid_sampler_2d.default": "half",
    "prims.add.default": "no operation of ATen", "os.system": "no operation of ATen", "flex_attention": "code",
    "aten.nobody_knows_this.default": "not on the list", "aten..": "not on the list", "aten.": "not on the list",
    "aten": "no operation", "": "no operation", "aten.__class__.__init__": "not on the list",
}  # fmt: skip


@pytest.mark.parametrize("name", DANGEROUS)
def test_the_dangerous_ones_are_refused_for_their_reason(name):
    assert name not in ops.table()
    assert DANGEROUS[name] in refused.refusal(name).reason
    assert refused.refusal(name).instead


@pytest.mark.parametrize("refusal", refused.REFUSALS, ids=lambda r: r.pattern[:20])
def test_no_refusal_is_idle_and_none_says_what_another_says(refusal):
    """Each pattern names something that this torch has (or a higher-order operation); reasons are all different."""
    known = {n.split("::")[1].split(".")[0] for n in torch._C._dispatch_get_all_op_names() if n.startswith("aten::")}
    known |= {"flex_attention", "while_loop"}
    assert any(re.fullmatch(refusal.pattern, name) for name in known)
    assert sum(r.reason == refusal.reason for r in refused.REFUSALS) == 1


def test_every_other_operation_of_aten_is_refused_with_a_sentence():
    every = [n for n in torch._C._dispatch_get_all_op_names() if n.startswith("aten::")]
    assert len(every) > 2000
    for raw in every:
        packet, _, overload = raw.removeprefix("aten::").partition(".")
        name = f"aten.{packet}.{overload or 'default'}"
        if name not in ops.table():
            assert re.fullmatch(r"[^\n]{40,400}", refused.why(name)), name


def test_a_hostile_name_costs_nothing():
    for name in (
        "aten." + "a" * 10**6,
        "aten." + "(" * 10**5,
        ".".join("a" * 10**5),
        "aten.\x00.\ud800",
        "aten.a\nb.c",
    ):
        assert len(refused.why(name)) < 400
