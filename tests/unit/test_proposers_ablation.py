"""Ablations: each element of the champion once, the least suspected first, in whatever form the champion is."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from proposer_conformance import ProposerConformance, after, context_of

from daemon.model import MAX_HYPOTHESIS_CHARACTERS, Patch, Proposal
from daemon.proposers import ablation
from daemon.proposers.interface import Context, NothingToPropose, Proposer
from daemon.proposers.literals import rewrite

BASE = b"""# --- hyperparameters (cpu profile)
DEPTH = 4  # int 1..8; layers
MATRIX_LR = 0.02  # log 0.002..0.5; Muon
HEAD_LR = 0.004  # log 0.0004..0.1
DECAY = 0.3  # lin 0..0.5
WARMUP = 0.0  # lin 0..0.5
# --- end


def model(x):
    return x


def loss(x):
    return x


def schedule(x):
    return x
"""
GATE = b"def model(x):\n    gate = x.sigmoid()\n    x = gate * x\n    return x\n"
SMOOTH = b"def schedule(x):\n    return x * 0.9\n"


def kept(context: Context, train_py: bytes, gain: float, proposer: str = "model") -> Context:
    before = context.champion.val_bpb
    assert before is not None
    patch = Patch(train_py=train_py, base_commit=context.base_commit)
    return after(context, Proposal(hypothesis="an idea", patch=patch, proposer=proposer), before - gain, keep=True)


def gated(train_py: bytes) -> bytes:
    return train_py.replace(b"def model(x):\n    return x\n", GATE)


def smoothed(train_py: bytes) -> bytes:
    return train_py.replace(b"def schedule(x):\n    return x\n", SMOOTH)


def champion() -> Context:
    """Three keeps: a rate for 0.05, a gate of two lines for 0.01, a schedule of no more lines for 0.02."""
    context = kept(context_of(BASE), rewrite(BASE, "cpu", {"MATRIX_LR": 0.04}), 0.05)
    context = kept(context, gated(context.train_py), 0.01)
    return kept(context, smoothed(context.train_py), 0.02)


def proposer() -> Proposer:
    return ablation.build({})


def all_of(context: Context) -> list[Proposal]:
    """Everything there is to take out of this champion, when nothing of it helps."""
    found = []
    with pytest.raises(NothingToPropose):
        for _ in range(20):
            found.append(proposer().propose(context))
            context = after(context, found[-1], 1.9)
    return found


class TestAblation(ProposerConformance):
    def proposer(self) -> Proposer:
        return proposer()

    def context(self) -> Context:
        return champion()


def test_each_element_once_the_largest_suspected_contribution_last() -> None:
    context = champion()
    full = context.train_py
    wanted = [
        full.replace(GATE, b"def model(x):\n    return x\n"),
        full.replace(SMOOTH, b"def schedule(x):\n    return x\n"),
        rewrite(full, "cpu", {"MATRIX_LR": 0.02}),
        rewrite(full, "cpu", {"DECAY": 0.0}),
    ]
    # The schedule was the last keep: without it the file is the champion before, which was tried.
    del wanted[1]
    assert [p.patch.train_py for p in all_of(context)] == wanted


def test_the_words_say_what_goes_and_what_it_was_kept_for() -> None:
    gate, rate, decay = (p.hypothesis for p in all_of(champion()))
    assert gate.startswith("without what experiment 2 brought (2 lines fewer): it was kept for a gain of 0.0100")
    assert gate.endswith("It was: an idea")
    assert rate == "MATRIX_LR 0.04 → 0.02, as in the baseline: was the change worth keeping?"
    assert decay == "DECAY 0.3 → 0.0, switched off: is it needed at all?"


def test_what_makes_the_file_shorter_counts_per_line() -> None:
    """0.03 for two lines goes before 0.02 for none."""
    context = kept(context_of(BASE), smoothed(BASE), 0.02)
    context = kept(context, gated(context.train_py), 0.03)
    context = kept(context, rewrite(context.train_py, "cpu", {"HEAD_LR": 0.008}), 0.5)
    assert [p.hypothesis[:31] for p in all_of(context)][:2] == [
        "without what experiment 2 broug",
        "without what experiment 1 broug",
    ]


def test_a_baseline_can_only_be_switched_off() -> None:
    assert [p.hypothesis.split(",")[0] for p in all_of(context_of(BASE))] == ["DECAY 0.3 → 0.0"]


def test_what_later_changes_built_on_stays() -> None:
    context = kept(context_of(BASE), gated(BASE), 0.01)
    context = kept(context, context.train_py.replace(b"x = gate * x", b"x = 2 * gate * x"), 0.01)
    assert not any(p.hypothesis.startswith("without what experiment 1") for p in all_of(context))


def test_what_was_taken_out_is_not_put_back() -> None:
    context = champion()
    proposal = proposer().propose(context)
    assert proposal.hypothesis.startswith("without what experiment 2")
    context = after(context, proposal, 1.42, keep=True)
    context = kept(context, rewrite(context.train_py, "cpu", {"HEAD_LR": 0.008}), 0.01)
    back = [p for p in all_of(context) if b"gate" in p.patch.train_py]
    assert back == []
    context = kept(context_of(BASE), rewrite(BASE, "cpu", {"DECAY": 0.0}), 0.01, proposer="ablation")
    context = kept(context, rewrite(context.train_py, "cpu", {"HEAD_LR": 0.008}), 0.01)
    assert not any("DECAY" in p.hypothesis for p in all_of(context))


def test_a_champion_without_a_block_loses_code_alone() -> None:
    context = champion()
    context = kept(context, context.train_py.replace(b"# --- hyper", b"# hyper"), 0.01)
    assert all(p.hypothesis.startswith("without what experiment") for p in all_of(context))


def test_odd_histories_are_borne() -> None:
    context = champion()
    bare = replace(context, history=[context.champion])
    assert [p.hypothesis.split(" ")[0] for p in all_of(bare)] == ["DECAY"]
    nameless = replace(context, history=[replace(e, proposal=None) for e in context.history])
    assert proposer().propose(nameless).patch.train_py
    unscored = replace(context, history=[replace(e, trials=()) for e in context.history])
    assert len(all_of(unscored)) >= 2
    loop = replace(context.champion, champion=context.champion.number)
    assert proposer().propose(replace(context, champion=loop)).hypothesis.startswith("DECAY")


def test_hypotheses_are_clean_and_bounded() -> None:
    context = kept(context_of(BASE), gated(BASE), 0.01)
    evil = replace(context.champion.proposal, hypothesis="\x1b[2J‮" + "x" * 5000) if context.champion.proposal else None
    done = replace(context.champion, proposal=evil)
    context = replace(context, history=[context.history[0], done], champion=done)
    context = kept(context, rewrite(context.train_py, "cpu", {"HEAD_LR": 0.008}), 0.5)
    hypothesis = proposer().propose(context).hypothesis
    assert hypothesis.isprintable()
    assert "\x1b" not in hypothesis
    assert len(hypothesis) <= MAX_HYPOTHESIS_CHARACTERS


def test_nothing_is_known_of_a_switch() -> None:
    ranks = [element.rank for element in ablation.elements(champion())]
    assert ranks.count(math.inf) == 1


def test_a_gain_is_shared_among_what_was_changed() -> None:
    both = rewrite(gated(BASE), "cpu", {"MATRIX_LR": 0.04, "HEAD_LR": 0.008})
    context = kept(kept(context_of(BASE), both, 0.06), rewrite(both, "cpu", {"MATRIX_LR": 0.08}), 0.01)
    found = {e.hypothesis.split(" ")[0]: e.suspected_bpb for e in ablation.elements(context)}
    assert found == {
        "without": pytest.approx(0.06),
        "MATRIX_LR": pytest.approx(0.03),
        "HEAD_LR": pytest.approx(0.02),
        "DECAY": math.inf,
    }
