"""A progress line of a hostile program: its numbers or nothing, in bounded time, and never in the way of the trial."""

from __future__ import annotations

import io
import math
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from specs import REPOSITORY, a_spec
from test_loop import Bench, file_scoring, score_in
from test_metrics import Seen

from daemon import claimed
from daemon.claimed import MAX_LOSS_NATS, MAX_STEP, MAX_TOKENS_PER_SECOND, Claim, claim, following, told
from daemon.journal import JournalObserver
from daemon.observe import Claimed, Event, LogSeen, Observers, PhaseEntered
from daemon.trial import Listener, run_trial
from sandbox.fake import FakeRun, FakeSandbox
from sandbox.log import KEPT_BYTES, BoundedLog

LINE = "step 00012 (  3.1%) | loss 5.1234 | 12,345 tok/s | 83 ms/step"
FOUND = Claim(step=12, loss=5.1234, tokens_per_second=12345.0)


def test_the_line_of_train_py_is_read_as_the_log_keeps_it() -> None:
    log = BoundedLog()
    for text in ("cpu profile\n", f"\r{LINE.replace('12', '11', 1):<80}", f"\r{LINE:<80}"):
        log.feed(text.encode())
    assert claim(log.text()) == FOUND
    log.feed(b"\nUserWarning: something\n")
    assert claim(log.text()) == FOUND, "a line after it does not hide it"


def test_the_form_is_that_of_train_py() -> None:
    """Its own source, with its own format strings."""
    source = (REPOSITORY / "train.py").read_text()
    speed = re.search(r'speed = f"(.*)"', source)
    state = re.search(r'state = f"(.*)"', source)
    assert speed and state
    names = {"TOTAL_BATCH_SIZE": 32768, "recent": [0.5], "steps": 7, "progress": 0.071, "average": 0.9, "loss": 3.0}
    line = eval(f"f'{state[1]}'", {**names, "speed": eval(f"f'{speed[1]}'", names)})
    found = claim(f"{line:<80}")
    assert found is not None
    assert (found.step, found.tokens_per_second) == (7, 65536)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "step",
        "step 1",
        "step 1 | loss 5",
        "step 1 | 5 tok/s",
        "step -1 | loss 5.0 | 5 tok/s",
        "step 1 | loss nan | 5 tok/s",
        "step 1 | loss inf | 5 tok/s",
        "step 1 | loss 1e3 | 5 tok/s",
        "step 1 | loss 5.0 | loss 4.0 | 5 tok/s",
        "step 1 | loss 5.0 | 5 tok/s | 6 tok/s",
        "step 1 | loss 5000.0 | 5 tok/s",
        "step 9999999999 | loss 5.0 | 5 tok/s",
        "step 1 | loss 5.0 | 999,999,999,999 tok/s",
        "step 1 | loss 5.0 | ,5 tok/s",
        "step ١ | loss 5.0 | 5 tok/s",  # a digit, by Unicode
        "step 1 | loss ５.0 | 5 tok/s",
        " step 1 | loss 5.0 | 5 tok/s",
        "step 1\x00 | loss 5.0 | 5 tok/s",
        "step 1 | loss 5.0 | 5 tok/s |" + "x" * 200,
    ],
)
def test_anything_else_is_no_claim(line: str) -> None:
    assert claim(line) is None


def test_the_last_line_that_can_be_counts() -> None:
    assert claim(f"{LINE}\nstep 13 | loss nan | 5 tok/s") == FOUND


@given(
    st.one_of(
        st.text(max_size=400),
        st.lists(st.sampled_from(["step ", "0", "9" * 12, " | ", "loss ", ".", ",", " tok/s", "(", "%)", "\n"])).map(
            "".join
        ),
    )
)
def test_whatever_is_found_is_finite_and_within_bounds(text: str) -> None:
    found = claim(text)
    if found is not None:
        assert 0 <= found.step <= MAX_STEP
        assert 0 <= found.loss <= MAX_LOSS_NATS
        assert 0 <= found.tokens_per_second <= MAX_TOKENS_PER_SECOND
        assert all(math.isfinite(value) for value in (found.loss, found.tokens_per_second))


@given(
    st.integers(0, MAX_STEP),
    st.floats(0, MAX_LOSS_NATS).map(lambda loss: round(loss, 4)),
    st.integers(0, int(MAX_TOKENS_PER_SECOND)),
    st.text("abc \t(%|", max_size=30),
)
def test_an_honest_line_is_always_read(step: int, loss: float, speed: int, rest: str) -> None:
    found = claim(f"noise\nstep {step:05d} ( 12.0%) | loss {loss:.4f} | {speed:,} tok/s | {rest}")
    assert found == Claim(step=step, loss=float(f"{loss:.4f}"), tokens_per_second=float(speed))


@pytest.mark.parametrize(
    "piece", ["step 1 | ", "step " + "0" * 180 + "\n", "|" * 199 + "\n", "step 1 | loss 0.0 | ", "9,", "\n"]
)
def test_the_time_a_hostile_log_costs_is_bounded(piece: str) -> None:
    text = piece * (KEPT_BYTES // len(piece))
    begun = time.thread_time()
    for _ in range(20):
        claim(text)
    assert (time.thread_time() - begun) / 20 < 0.2, "a fifth of the second in which it is done once"


@dataclass
class Growing:
    """A log that is another one whenever it is asked for."""

    asked: int = 0
    error: Exception | None = None

    def log_so_far(self) -> str:
        self.asked += 1
        if self.error:
            raise self.error
        return f"{'x' * self.asked}\n{LINE}"


@contextmanager
def every(seconds: float, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patched:
        patched.setattr(claimed, "EVERY_SECONDS", seconds)
        yield


def test_it_is_told_at_most_once_a_second() -> None:
    seen: list[str] = []
    with following(Growing(), seen.append):
        time.sleep(1.6)
    assert 1 <= len(seen) <= 2


def test_a_log_that_stands_still_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    with (
        every(0.01, monkeypatch),
        following(FakeSandbox(lambda _: FakeRun(log=LINE)).session(a_spec()).__enter__(), seen.append),
    ):
        time.sleep(0.1)
    assert seen == [LINE]


def test_a_listener_that_hangs_keeps_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claimed, "LEAVE_SECONDS", 0.05)
    hangs = threading.Event()
    begun = time.monotonic()
    with following(Growing(), lambda _text: hangs.wait(10) and None):
        pass
    assert time.monotonic() - begun < 2
    hangs.set()


@pytest.mark.parametrize("broken", [OSError("gone"), ValueError("what")])
def test_a_log_that_cannot_be_read_does_not_touch_the_trial(
    broken: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    with following(Growing(error=broken), lambda _text: None):
        time.sleep(0.05)
    assert "could not be followed" in caplog.text


def test_a_trial_is_followed_while_it_trains() -> None:
    seen: list[str] = []
    told_once = threading.Event()

    def on_log(text: str) -> None:
        seen.append(text)
        told_once.set()

    run = FakeRun(val_bpb=1.0, log=LINE, while_training=lambda: told_once.wait(5))
    result = run_trial(FakeSandbox(lambda _: run), a_spec(), Listener(on_log=on_log))
    assert seen == [LINE]
    assert result.val_bpb == 1.0


class Events:
    def __init__(self) -> None:
        self.seen: list[Event] = []

    def notify(self, event: Event) -> None:
        self.seen.append(event)


def test_what_is_told_are_the_log_and_the_claim() -> None:
    events = Events()
    told(Observers([events]), 3, f"a\n{LINE}")
    told(Observers([events]), 3, "nothing")
    assert events.seen == [
        LogSeen(number=3, log=f"a\n{LINE}"),
        Claimed(number=3, step=12, loss=5.1234, tokens_per_second=12345.0),
        LogSeen(number=3, log="nothing"),
    ]


def test_the_journal_is_not_flooded() -> None:
    stream = io.StringIO()
    told(Observers([JournalObserver(stream)]), 3, LINE)
    assert stream.getvalue() == ""


LIVE = ("claimed_live_tokens_per_second", "claimed_live_loss_nats", "claimed_live_step")


def test_the_metrics_show_it_while_it_trains_and_no_longer(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "lab")
    with bench.ledger() as ledger:
        seen = Seen(bench, ledger)
        during: list[list[float]] = []

        def look(within: Callable[[], bool]) -> None:
            until = time.monotonic() + 5
            while time.monotonic() < until and not within():
                time.sleep(0.01)
            during.append([seen[name] for name in LIVE])

        def training() -> None:
            look(lambda: not math.isnan(seen[LIVE[2]]))

        loop = bench.loop(
            ledger,
            [file_scoring(1.5)],
            lambda spec: replace(score_in(spec), log=LINE, while_training=training),
            observers=Observers([seen]),
        )
        loop.run(1)
        assert during == [[12345.0, 5.1234, 12.0]] * 2
        assert all(math.isnan(seen[name]) for name in LIVE)
        seen.notify(Claimed(number=1, step=1, loss=1.0, tokens_per_second=1.0))
        assert all(math.isnan(seen[name]) for name in LIVE), "a word that comes too late"
        seen.notify(PhaseEntered(number=2, phase="training", seconds=1.0))
        seen.notify(Claimed(number=1, step=1, loss=1.0, tokens_per_second=1.0))
        assert all(math.isnan(seen[name]) for name in LIVE), "the next trial has said nothing yet"
