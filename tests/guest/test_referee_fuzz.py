"""A few hundred mutants of real sealed models: invalid with a reason, or ok with a true score. More: make fuzz."""

import contextlib
import json
import os
import random
from pathlib import Path

import fuzz_mutate
import fuzz_oracle
import fuzz_run
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

MUTANTS = 100


@pytest.fixture(scope="session")
def models():
    kinds = ("gpt", "masked", "plain")
    return fuzz_run.seal_all(kinds)


@pytest.fixture(scope="session")
def arena(tmp_path_factory):
    """Pinned to one core: the referee takes all it may, and they are shared."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    torch.set_num_threads(1)
    fuzz_run.load_everything()
    yield fuzz_run.Arena(tmp_path_factory.mktemp("fuzz"))
    os.sched_setaffinity(0, cores)


def test_the_models_themselves_pass(arena, models):
    for text, weights in models.values():
        assert fuzz_run.check(arena, text, weights) == ("ok", "")


@settings(max_examples=MUTANTS, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None)
@given(rng=st.randoms(use_true_random=False))
def test_mutants(arena, models, rng):
    what, text, weights = fuzz_mutate.mutant(rng, models)
    kind, detail = fuzz_run.check(arena, text, weights)
    assert kind in ("invalid", "ok"), (what, detail)


def test_verdicts_stay_with_their_mutants(arena, models, monkeypatch):
    """A breach in a child of the judge, a crash of the judge, and what comes after each."""
    kinds = ["ok", "breach", "crash", "ok"]
    real, parent = fuzz_run.referee.judge, os.getpid()

    def judge(options):
        kind = kinds[int((arena.out / "model.json").read_bytes()[:1])]
        assert os.getpid() != parent
        if kind == "breach":
            with contextlib.suppress(fuzz_run.Invalid):
                fuzz_run.score.in_child(lambda: Path("/etc/passwd").read_bytes(), "x", 10**6)
        if kind == "crash":
            os.kill(os.getpid(), 11)
        return {"status": "ok", "reason": kind}, 0

    monkeypatch.setattr(fuzz_run.referee, "judge", judge)
    got = list(arena.judge([(str(i).encode(), b"x") for i in range(4)]))
    assert [g["status"] for g in got] == kinds
    assert real is not judge


def test_a_seed_names_a_mutant(models):
    one, two = (fuzz_mutate.mutant(random.Random("7:3"), models) for _ in range(2))
    assert one == two != fuzz_mutate.mutant(random.Random("7:4"), models)


def broken(arena, models, monkeypatch, what):
    """Judge the honest model by a referee in which `what` was broken."""
    text, weights = models["gpt"]
    if what == "leak":  # no audit: a graph that looks ahead scores
        document = json.loads(text)
        fuzz_mutate.look(random.Random(0), document, [])
        at = next(i for i, n in enumerate(document["nodes"]) if n[1] == "aten.embedding.default")
        shape = document["nodes"][at][4]
        document = json.loads(text)
        document["nodes"].insert(at + 1, ["zz", "aten.roll.default", [{"ref": document["nodes"][at][0]}, [-1], [1]], {},
                                          shape])  # fmt: skip
        fuzz_mutate.rewire(document, document["nodes"][at][0], "zz", at + 2)
        text = json.dumps(document).encode()
        monkeypatch.setattr(fuzz_run.score.audit, "verdict", lambda found, allowed: None)
    harm = {
        "file": lambda *a: Path("/etc/passwd").read_bytes(),
        "native file": lambda *a: torch.from_file(fuzz_mutate.CANARY, size=8, dtype=torch.uint8),
        "import": lambda *a: __import__("wave"),
        "code": lambda *a: eval("1 + 1"),
        "process": lambda *a: os.system("true"),
        "crash": lambda *a: os.kill(os.getpid(), 11),
        "fault": lambda *a: 1 / 0,
    }.get(what)
    if harm:
        monkeypatch.setattr(fuzz_run.score, "_judge", harm)
    return fuzz_run.check(arena, text, weights)


@pytest.mark.parametrize(("what", "kind"), [
    ("file", "breach"), ("native file", "breach"), ("import", "breach"), ("code", "breach"), ("process", "breach"),
    ("crash", "crash"), ("fault", "fault"),
])  # fmt: skip
def test_the_fuzzer_sees_what_it_is_there_for(arena, models, monkeypatch, what, kind):
    assert broken(arena, models, monkeypatch, what)[0] == kind


def test_the_oracle_sees_a_score_that_looked(arena, models, monkeypatch):
    """Without the audit's verdict a look ahead is scored as it stands; the oracle differs from it."""
    assert broken(arena, models, monkeypatch, "leak")[0] in ("forgery", "worse")


def test_the_oracle_agrees_with_the_model(models):
    text, weights = models["plain"]
    document, tensors = fuzz_oracle.load(text, weights)
    tokens = torch.randint(0, fuzz_run.VOCAB, (fuzz_run.BATCH, fuzz_run.SEQ))
    wanted = fuzz_run.sealed.parse(fuzz_run.sealed.Files(graph=bytearray(text), weights=bytearray(weights))).run(tokens)
    assert torch.equal(fuzz_oracle.logits(document, tensors, tokens), wanted)
