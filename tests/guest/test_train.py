"""train.py: its settings, its model, its optimiser, its loop, and short runs of the whole file.

Needs torch: `.venv-train/bin/python -m pytest tests/guest/test_train.py`.
"""

import ast
import importlib.util
import math
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

torch = pytest.importorskip("torch")

ROOT = Path(__file__).resolve().parents[2]
SOURCE = (ROOT / "train.py").read_text("utf-8")
PROFILES = ("cpu", "gpu")
TINY = {"DEPTH": 2, "WIDTH": 64, "HEAD_DIM": 32, "TOTAL_BATCH_SIZE": 1024, "DEVICE_BATCH_SIZE": 2}
VOCABULARY, LENGTH = 50, 32


def block(source: str, profile: str) -> str:
    begin = f"# --- hyperparameters ({profile} profile)\n"
    end = f"# --- end of hyperparameters ({profile} profile)\n"
    assert source.count(begin) == 1 and source.count(end) == 1
    return source.split(begin)[1].split(end)[0]


def settings(source: str, profile: str) -> list[tuple[str, Any, str]]:
    """Name, value and comment of every line; a line that is no assignment of a literal fails."""
    lines = [line for line in block(source, profile).splitlines() if line.strip()]
    found = [re.fullmatch(r" *([A-Z][A-Z0-9_]*) = ([^#]+?)  # (.+)", line) for line in lines]
    assert all(found), [line for line, match in zip(lines, found, strict=True) if not match]
    return [(match[1], ast.literal_eval(match[2]), match[3]) for match in found if match]


def rewrite(source: str, profile: str, values: dict[str, Any]) -> str:
    old = new = block(source, profile)
    for name, value in values.items():
        new, count = re.subn(rf"^( *{name} = )[^#]+?(  #)", rf"\g<1>{value!r}\g<2>", new, flags=re.M)
        assert count == 1, name
    return source.replace(old, new)


def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, profile: str, **values: Any) -> ModuleType:
    """Import train.py, with other literals, as it behaves under a profile."""
    monkeypatch.setenv("AUTORESEARCH_PROFILE", profile)
    monkeypatch.delenv("AUTORESEARCH_OUT", raising=False)
    monkeypatch.syspath_prepend(str(ROOT))
    monkeypatch.delitem(sys.modules, "prepare", raising=False)
    path = tmp_path / "train.py"
    path.write_text(rewrite(SOURCE, profile, values), "utf-8")
    spec = importlib.util.spec_from_file_location("train_under_test", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "train_under_test", module)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return load(tmp_path, monkeypatch, "cpu", **TINY | {"WINDOW_PATTERN": "SL", "TOTAL_BATCH_SIZE": 4 * LENGTH})


def random_model(train: ModuleType, seq_len: int = LENGTH, dtype: Any = torch.float32) -> Any:
    """A model whose every weight matters: fresh ones have zeros where they add to the stream."""
    torch.manual_seed(1)
    model = train.GPT(VOCABULARY, seq_len, dtype)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.3)
    return model


def random_tokens(rows: int, seed: int = 2) -> Any:
    return torch.randint(VOCABULARY, (rows, LENGTH), generator=torch.Generator().manual_seed(seed))


# ------------------------------------------------------------------------------------------------- settings


def allowed(value: Any, grammar: str) -> bool:
    kind, _, rest = grammar.partition(" ")
    if kind == "choice":
        choices = [ast.literal_eval(word) for word in rest.split()]
        return len(choices) > 1 and value in choices and all(type(choice) is type(value) for choice in choices)
    low, high = (float(bound) for bound in rest.split(".."))
    assert low < high and (kind != "log" or low > 0) and kind in ("log", "lin", "int")
    return low <= value <= high and isinstance(value, int if kind == "int" else float)


@pytest.mark.parametrize("profile", PROFILES)
def test_every_setting_names_a_range_that_holds_it(profile: str) -> None:
    for name, value, comment in settings(SOURCE, profile):
        grammar, _, words = comment.partition(";")
        assert allowed(value, grammar), name
        assert words.strip(), name


def test_both_profiles_have_the_same_settings() -> None:
    names = {profile: [name for name, _, _ in settings(SOURCE, profile)] for profile in PROFILES}
    assert names["cpu"] == names["gpu"]
    assert len(set(names["cpu"])) == len(names["cpu"])


def test_the_file_stays_readable_in_an_hour() -> None:
    assert len(SOURCE.splitlines()) <= 450


@pytest.mark.parametrize("profile", PROFILES)
def test_every_choice_of_sizes_makes_a_model(profile: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    grammars = {name: comment.partition(";")[0].split()[1:] for name, _, comment in settings(SOURCE, profile)}
    train = load(tmp_path, monkeypatch, profile)
    widths, heads = ([int(word) for word in grammars[name]] for name in ("WIDTH", "HEAD_DIM"))
    assert all(width % head == 0 and width >= train.GATE_CHANNELS for width in widths for head in heads)
    totals = [int(word) for word in grammars["TOTAL_BATCH_SIZE"]]
    for rows in map(int, grammars["DEVICE_BATCH_SIZE"]):
        fitting = [min(rows, max(1, total // train.prepare.MAX_SEQ_LEN)) for total in totals]
        sizes = [row * train.prepare.MAX_SEQ_LEN for row in fitting]
        assert all(total % size == 0 for total, size in zip(totals, sizes, strict=True))


# ---------------------------------------------------------------------------------------------------- model


@pytest.mark.parametrize(("profile", "vocabulary", "millions"), [("gpu", 8192, "50.3"), ("cpu", 2048, "1.2")])
def test_parameter_count(
    profile: str, vocabulary: int, millions: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = load(tmp_path, monkeypatch, profile)
    with torch.device("meta"):
        model = train.GPT(vocabulary, train.prepare.MAX_SEQ_LEN, torch.bfloat16)
    assert f"{sum(p.numel() for p in model.parameters()) / 1e6:.1f}" == millions


def test_published_windows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train = load(tmp_path, monkeypatch, "gpu")
    assert [train.window_of(layer, 2048) for layer in range(8)] == [1024, 1024, 1024, 2048] * 2


def test_last_layer_sees_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train = load(tmp_path, monkeypatch, "gpu", WINDOW_PATTERN="S")
    assert [train.window_of(layer, 2048) for layer in (0, 6, 7)] == [1024, 1024, 2048]


def test_window_hides_what_lies_before_it(tiny: ModuleType) -> None:
    model = random_model(tiny)
    attention = model.layers[0].attention
    assert attention.windowed and attention.window == LENGTH // 2
    x = torch.randn(2, LENGTH, tiny.WIDTH)
    other = x.clone()
    other[:, 0] += 1.0
    moved = (attention(x, None, model.cos, model.sin) != attention(other, None, model.cos, model.sin)).any(-1)
    assert moved[:, : LENGTH // 2].all()
    assert not moved[:, LENGTH // 2 :].any()


def test_flex_attention_agrees_with_the_mask(tiny: ModuleType) -> None:
    """On the CPU FlexAttention runs uncompiled; what is compared is our block mask."""
    attention = random_model(tiny, seq_len=256).layers[0].attention
    attention.use_flex_attention(256, torch.device("cpu"))
    q, k, v = torch.randn(3, 2, 2, 256, tiny.HEAD_DIM).unbind()
    flex = tiny.flex_attention(q, k, v, block_mask=attention.block_mask)
    torch.testing.assert_close(flex, attention.attend(q, k, v), rtol=1e-4, atol=1e-5)


def test_compiling_takes_the_flex_path_in_one_graph(tiny: ModuleType) -> None:
    """Traced only (backend eager): what CUDA would compile has no breaks and agrees with the masked program."""
    model = random_model(tiny, seq_len=256)
    for layer in model.layers:
        layer.attention.use_flex_attention(256, torch.device("cpu"))
    tokens = torch.randint(VOCABULARY, (2, 256), generator=torch.Generator().manual_seed(2))
    graphs: list[str] = []

    def backend(graph: Any, _inputs: Any) -> Any:
        graphs.append(graph.code)
        return graph.forward

    with torch.no_grad():
        compiled = torch.compile(model, dynamic=False, fullgraph=True, backend=backend)(tokens)
        torch.testing.assert_close(compiled, model(tokens), rtol=1e-3, atol=1e-3)
    assert len(graphs) == 1 and "flex_attention" in graphs[0]


def test_full_layers_need_no_block_mask(tiny: ModuleType) -> None:
    attention = random_model(tiny).layers[1].attention
    attention.use_flex_attention(LENGTH, torch.device("cpu"))
    assert not attention.windowed and attention.block_mask is None


@pytest.mark.parametrize("cut", [1, 15, 31])
def test_model_is_causal(tiny: ModuleType, cut: int) -> None:
    model = random_model(tiny).eval()
    tokens = random_tokens(3)
    other = tokens.clone()
    other[:, cut:] = random_tokens(3, seed=9)[:, cut:]
    before, after = model(tokens), model(other)
    assert torch.equal(before[:, :cut], after[:, :cut])
    assert not torch.equal(before[:, cut:], after[:, cut:])


def test_logits_are_float32_and_capped(tiny: ModuleType) -> None:
    model = tiny.GPT(VOCABULARY, LENGTH, torch.bfloat16)
    with torch.no_grad():
        model.head.weight.mul_(1e6)
    logits = model(random_tokens(2))
    assert logits.dtype == torch.float32 and logits.shape == (2, LENGTH, VOCABULARY)
    assert logits.abs().max() <= tiny.LOGIT_SOFTCAP


def test_a_fresh_model_predicts_the_uniform_distribution(tiny: ModuleType) -> None:
    loss = tiny.GPT(VOCABULARY, LENGTH, torch.float32)(random_tokens(4), random_tokens(4, seed=3))
    assert loss.item() == pytest.approx(math.log(VOCABULARY), abs=0.02)


def test_rope_makes_scores_depend_on_distance_only(tiny: ModuleType) -> None:
    cos, sin = tiny.rope_tables(LENGTH, torch.float32)
    q, k = torch.randn(2, 1, 1, 1, tiny.HEAD_DIM).expand(2, 1, LENGTH, 1, tiny.HEAD_DIM)
    q, k = tiny.rotate(q, cos, sin)[0, :, 0], tiny.rotate(k, cos, sin)[0, :, 0]
    scores = q @ k.T
    torch.testing.assert_close(scores[5, 2], scores[25, 22], rtol=1e-4, atol=1e-4)
    assert not torch.isclose(scores[5, 2], scores[5, 4])


# ------------------------------------------------------------------------------------------------ optimiser


@pytest.mark.parametrize("shape", [(3, 64, 64), (2, 32, 128), (2, 128, 32), (1, 2, 32)])
def test_orthogonalise_brings_singular_values_near_one(tiny: ModuleType, shape: tuple[int, int, int]) -> None:
    torch.manual_seed(0)
    u, values, vt = torch.linalg.svd(torch.randn(shape), full_matrices=False)
    values = torch.logspace(0, -2, values.size(-1)).expand_as(values)  # a condition number of 100
    result = torch.linalg.svdvals(tiny.orthogonalise(0.01 * (u * values.unsqueeze(-2)) @ vt))
    assert result.min() > 0.75 and result.max() < 1.25


def test_orthogonalise_keeps_directions(tiny: ModuleType) -> None:
    torch.manual_seed(0)
    matrix = torch.randn(1, 16, 48)
    u, _, vt = torch.linalg.svd(matrix, full_matrices=False)
    inner = (tiny.orthogonalise(matrix) * (u @ vt)).sum() / 16
    assert inner == pytest.approx(1.0, abs=0.15)


def test_orthogonalise_leaves_nothing_of_nothing(tiny: ModuleType) -> None:
    assert not tiny.orthogonalise(torch.zeros(2, 8, 8)).any()


def test_every_parameter_has_one_optimiser(tiny: ModuleType) -> None:
    model = random_model(tiny)
    optimiser = tiny.Optimiser(model)
    adam = [p for group in optimiser.adam.param_groups for p in group["params"]]
    muon = [p for stack in optimiser.stacks.values() for p in stack]
    assert sorted(map(id, adam + muon)) == sorted(map(id, model.parameters()))
    assert all(p.dim() == 2 for p in muon)


def test_schedule_is_level_then_falls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train = load(tmp_path, monkeypatch, "cpu", WARMUP_FRACTION=0.1, WARMDOWN_FRACTION=0.5, FINAL_LR_FRACTION=0.2)
    shares = [train.lr_multiplier(p) for p in (0.0, 0.05, 0.1, 0.5, 0.75, 1.0)]
    assert shares == pytest.approx([0.0, 0.5, 1.0, 1.0, 0.6, 0.2])


def test_one_step_moves_every_parameter_and_drops_gradients(tiny: ModuleType) -> None:
    model = random_model(tiny)
    before = [p.detach().clone() for p in model.parameters()]
    trainer = tiny.Trainer(model, torch.device("cpu"))
    batch = (random_tokens(trainer.rows), random_tokens(trainer.rows, seed=3))
    trainer.step(0.0, batch, iter([batch] * trainer.passes))
    assert all(not torch.equal(p, old) for p, old in zip(model.parameters(), before, strict=True))
    assert all(p.grad is None for p in model.parameters())


def test_accumulated_gradients_are_those_of_the_whole_batch(tiny: ModuleType) -> None:
    model = random_model(tiny)
    trainer = tiny.Trainer(model, torch.device("cpu"))
    assert (trainer.rows, trainer.passes) == (2, 2)
    inputs, targets = random_tokens(4), random_tokens(4, seed=3)
    whole = model(inputs, targets)
    expected = torch.autograd.grad(whole, model.head.weight)[0]
    seen: list[Any] = []
    trainer.optimiser.step = lambda _progress: seen.append(model.head.weight.grad.clone())
    halves = [(inputs[:2], targets[:2]), (inputs[2:], targets[2:])]
    loss, _ = trainer.step(0.0, halves[0], iter([halves[1], halves[0]]))
    assert loss == pytest.approx(whole.item(), rel=1e-5)
    torch.testing.assert_close(seen[0], expected, rtol=1e-4, atol=1e-6)


# ----------------------------------------------------------------------------------------------------- loop


def test_warm_up_leaves_no_trace(tiny: ModuleType) -> None:
    model = random_model(tiny)
    before = [p.detach().clone() for p in model.parameters()]
    trainer = tiny.Trainer(model, torch.device("cpu"))
    chance = torch.get_rng_state()
    assert trainer.warm_up() > 0
    assert all(torch.equal(p, old) for p, old in zip(model.parameters(), before, strict=True))
    assert not trainer.optimiser.adam.state and not trainer.optimiser.averages
    assert torch.equal(torch.get_rng_state(), chance)


def test_gpu_settings_train_on_the_cpu_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"DEPTH": 4, "WIDTH": 64, "HEAD_DIM": 32, "TOTAL_BATCH_SIZE": 4 * LENGTH, "DEVICE_BATCH_SIZE": 2}
    train = load(tmp_path, monkeypatch, "gpu", **values)
    trainer = train.Trainer(train.GPT(VOCABULARY, LENGTH, torch.float32), torch.device("cpu"))
    trainer.warm_up()
    batch = (random_tokens(2), random_tokens(2, seed=3))
    losses = [trainer.step(0.0, batch, iter([batch] * 2))[0] for _ in range(20)]
    assert losses[-1] < losses[0] - 1


class FakeClock:
    """A clock that only steps advance, standing in for time.monotonic and prepare.time_left."""

    def __init__(self, budget: float) -> None:
        self.now, self.budget = 100.0, budget
        self.begun = self.now

    def monotonic(self) -> float:
        return self.now

    def time_left(self) -> float:
        return self.budget - (self.now - self.begun)


def loop_of(train: ModuleType, monkeypatch: pytest.MonkeyPatch, clock: FakeClock, step: Any, max_steps: int = 0) -> Any:
    monkeypatch.setattr(train, "time", clock)
    monkeypatch.setattr(train.prepare, "time_left", clock.time_left)
    trainer = train.Trainer(random_model(train), torch.device("cpu"))
    monkeypatch.setattr(trainer, "step", step)
    return trainer.train(iter([(None, None)]), 0.3, max_steps)


def test_no_step_is_begun_that_would_overrun(tiny: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, progress = FakeClock(budget=10.0), []

    def step(share: float, batch: Any, batches: Any) -> tuple[float, Any]:
        progress.append(share)
        clock.now += 0.3 if len(progress) % 5 else 0.4
        return 1.0, batch

    steps, seconds = loop_of(tiny, monkeypatch, clock, step)
    assert steps == len(progress) and seconds <= 10.0
    assert clock.time_left() <= 0.4
    assert progress[0] == 0.0 and progress == sorted(progress) and progress[-1] > 0.9


def test_max_steps_ignores_the_clock(tiny: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, progress = FakeClock(budget=0.5), []

    def step(share: float, batch: Any, batches: Any) -> tuple[float, Any]:
        progress.append(share)
        clock.now += 1.0
        return 1.0, batch

    assert loop_of(tiny, monkeypatch, clock, step, max_steps=4)[0] == 4
    assert progress == [0.0, 0.25, 0.5, 0.75]


@pytest.mark.parametrize("loss", [math.nan, math.inf, 101.0])
def test_divergence_ends_the_run_at_once(
    tiny: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], loss: float
) -> None:
    with pytest.raises(SystemExit) as stopped:
        loop_of(tiny, monkeypatch, FakeClock(budget=9.0), lambda _share, batch, _batches: (loss, batch))
    assert stopped.value.code == 1
    assert "FAIL" in capsys.readouterr().out


def test_batch_sizes_that_do_not_divide_are_refused(tiny: ModuleType) -> None:
    tiny.TOTAL_BATCH_SIZE = 3 * LENGTH
    with pytest.raises(SystemExit, match="multiple of"):
        tiny.Trainer(random_model(tiny), torch.device("cpu"))


# ----------------------------------------------------------------------------------------- the sealed model


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_sealed_model_repeats_the_logits_bit_for_bit(tiny: ModuleType, tmp_path: Path, dtype: Any) -> None:
    from sandbox.guest import sealed

    model = random_model(tiny, dtype=dtype).eval()
    capture = sealed.capture(model, batch_size=3, seq_len=LENGTH, vocab_size=VOCABULARY)
    with torch.no_grad():  # weights are read when they are written, not when the graph was captured
        for parameter in model.parameters():
            parameter.mul_(1.1)
    (tmp_path / "out").mkdir()
    sealed.write(capture, tmp_path / "out")
    loaded = sealed.load(tmp_path / "out", seq_len=LENGTH, vocab_size=VOCABULARY)
    tokens = random_tokens(3)
    with torch.no_grad():
        assert torch.equal(loaded.run(tokens), model(tokens))


# ------------------------------------------------------------------------------------------- the whole file


def environment(**values: str) -> dict[str, str]:
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("AUTORESEARCH_")}
    fixed = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "PYTHONPATH": str(ROOT)}
    return inherited | fixed | values


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("data")
    command = [sys.executable, str(ROOT / "prepare.py"), "--sample"]
    run = environment(AUTORESEARCH_PROFILE="cpu", AUTORESEARCH_DATA=str(directory))
    subprocess.run(command, env=run, check=True, capture_output=True, timeout=300)
    return directory


def run_train(directory: Path, data: Path, values: dict[str, Any], **extra: str) -> subprocess.CompletedProcess[str]:
    path = directory / "train.py"
    path.write_text(rewrite(SOURCE, "cpu", values), "utf-8")
    run = environment(**{"AUTORESEARCH_PROFILE": "cpu", "AUTORESEARCH_DATA": str(data)} | extra)
    return subprocess.run([sys.executable, path], env=run, capture_output=True, text=True, timeout=300)


def report(finished: subprocess.CompletedProcess[str]) -> dict[str, str]:
    assert finished.returncode == 0, finished.stdout + finished.stderr
    lines = finished.stdout.rpartition("\n---\n")[2].splitlines()
    return dict(line.split(": ") for line in lines)


def test_a_run_reports_its_figures(tmp_path: Path, data: Path) -> None:
    figures = report(run_train(tmp_path, data, TINY, AUTORESEARCH_MAX_STEPS="8"))
    names = "val_bpb training_seconds total_seconds peak_vram_mb mfu_percent total_tokens_M num_steps num_params_M"
    assert list(figures) == [*names.split(), "depth", "seed"]
    assert 1.0 < float(figures["val_bpb"]) < 5.0
    assert (figures["num_steps"], figures["depth"], figures["seed"]) == ("8", "2", "1337")
    assert figures["total_tokens_M"] == "0.008" and figures["mfu_percent"] == "0.00"
    assert float(figures["training_seconds"]) < float(figures["total_seconds"])
    assert float(figures["peak_vram_mb"]) > 100


def test_the_seed_decides_everything(tmp_path: Path, data: Path) -> None:
    scores = [
        report(run_train(tmp_path, data, TINY, AUTORESEARCH_MAX_STEPS="6", AUTORESEARCH_SEED=seed))["val_bpb"]
        for seed in ("7", "7", "8")
    ]
    assert scores[0] == scores[1] != scores[2]


def test_a_run_ends_within_its_budget_and_learns(tmp_path: Path, data: Path) -> None:
    finished = run_train(tmp_path, data, TINY, AUTORESEARCH_TRAIN_SECONDS="4")
    figures = report(finished)
    assert 2.0 < float(figures["training_seconds"]) <= 4.2
    assert float(figures["val_bpb"]) < 3.0  # an untrained one has about 3.0 here: 11 bits over 3.7 bytes a token
    assert re.search(r"\nstep 0.*tok/s", finished.stdout)  # text mode reads the carriage return as a line end


def test_a_run_that_diverges_fails_fast(tmp_path: Path, data: Path) -> None:
    finished = run_train(tmp_path, data, TINY | {"MATRIX_LR": 1e38}, AUTORESEARCH_MAX_STEPS="50")
    assert finished.returncode == 1 and "FAIL" in finished.stdout


def test_gpu_profile_without_a_gpu_says_so() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    run = environment(AUTORESEARCH_PROFILE="gpu")
    finished = subprocess.run([sys.executable, ROOT / "train.py"], env=run, capture_output=True, text=True)
    assert finished.returncode == 2
    assert "AUTORESEARCH_PROFILE=cpu" in finished.stderr and "Traceback" not in finished.stderr
