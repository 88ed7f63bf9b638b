"""The parts of the page: differences, the picture, the doctor's words, the pulse, and the process that is kept."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from page_lab import facts, hostile
from specs import REPOSITORY

from daemon import live, settings
from daemon.lab import Lab, init
from daemon.ledger.looking import Point
from daemon.model import Decision, UserError
from daemon.observe import PhaseEntered
from daemon.sections import PageSettings
from daemon.steering import Steering
from daemon.web import chart, diffs, words
from daemon.web.child import Keeper, _environment, facts_of, kept, listening_at, shown
from daemon.web.doctor import read
from daemon.web.pulse import Pulse
from daemon.web.settings import Facts, to_json

LINES = st.lists(st.sampled_from(["a", "b", "", "def f():", "    return 1", '"""', "x = '<b>'"]), max_size=60)


@given(LINES, LINES)
def test_a_difference_counts_what_difflib_would(old: list[str], new: list[str]) -> None:
    found = diffs.compare("\n".join(old).encode(), "\n".join(new).encode())
    assert found.added - found.removed == len(trimmed(new)) - len(trimmed(old))
    for line in found.lines:
        assert "<b>" not in str(line.code)
        assert (line.old is None) == (line.kind in (diffs.ADDED, diffs.GAP))
    numbers = [line.new for line in found.lines if line.new is not None]
    assert numbers == sorted(set(numbers))


def trimmed(lines: list[str]) -> list[str]:
    text = "\n".join(lines)
    return text.split("\n")[:-1] if text.endswith("\n") or not text else text.split("\n")


def test_a_difference_is_coloured_and_escaped() -> None:
    found = diffs.compare(b"LR = 1  # one\n", b"LR = 2  # <two>\nimport os\n")
    added = [str(line.code) for line in found.lines if line.kind == diffs.ADDED]
    assert '<span class="mi">2</span>' in added[0]
    assert "&lt;two&gt;" in added[0]
    assert '<span class="kn">import</span>' in added[1]
    assert (found.added, found.removed) == (2, 1)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"a\n" * 30_000, b"b\n" * 30_000),
        (b"a\nb\n" * 15_000, b"b\na\n" * 15_001),
        (b"", b"x" * 65_536),
        (b"\xff\xfe\x00" * 20_000, b'"""' * 20_000),
        (b"(" * 60_000, b"[" * 60_000),
    ],
)
def test_what_is_dear_to_compare_is_shown_plainly(before: bytes, after: bytes) -> None:
    began = time.process_time()
    found = diffs.compare(before, after)
    assert time.process_time() - began < 5
    assert len(found.lines) <= diffs.MAX_SHOWN
    assert all(len(line.code) <= 60 * diffs.MAX_LINE for line in found.lines)


def many(count: int) -> list[Point]:
    endings = list(Decision)
    return [
        Point(n, endings[n % 6], 2.0 - n / count + (n % 7) / 100 if endings[n % 6] in ("keep", "discard") else None)
        for n in range(count)
    ]


def test_the_picture_does_not_grow_with_the_night() -> None:
    small, large = (chart.draw(many(count), {}) for count in (1_000, 40_000))
    assert len(large.spoken) < 100_000
    assert len(large.marks) < 700_000
    assert len(large.marks) < 20 * len(small.marks)
    assert large.spoken.count("<a ") <= chart.MAX_STEPS + chart.MAX_NEWEST


def test_the_endings_differ_by_shape_and_place() -> None:
    picture = chart.draw([Point(0, Decision.KEEP, 2.0), *(Point(n, d, None) for n, d in enumerate(Decision, 1))], {})
    paths = [part.split('d="')[1].split('"')[0].split("m", 1)[1] for part in str(picture.marks).split("<path ")[1:]]
    assert len(set(paths)) == len(paths) == 6
    assert len(set(chart.LANES.values())) == 4


@pytest.mark.parametrize(
    "points",
    [
        [],
        [Point(5, Decision.KEEP, 1.0)],
        [Point(0, Decision.CRASH, None)],
        [Point(0, Decision.KEEP, float("nan")), Point(1, Decision.DISCARD, float("inf"))],
        [Point(0, Decision.KEEP, 0.0), Point(1, Decision.KEEP, 0.0)],
        [Point(0, Decision.DISCARD, 1e300), Point(1, Decision.KEEP, 1e-300), Point(9, Decision.KEEP, -5.0)],
    ],
)
def test_odd_nights_have_a_picture(points: list[Point]) -> None:
    picture = chart.draw(points, {})
    assert "nan" not in picture.marks + picture.stairs + picture.grid
    assert "inf" not in picture.marks + picture.stairs


def test_words_for_people() -> None:
    assert [words.seconds(s) for s in (0.04, 9.0, 59.4, 61, 3700, 200_000, None, float("nan"), -1)] == [
        "0.0 s", "9.0 s", "59 s", "1 min 01 s", "1 h 01 min", "2 d 7 h", "–", "–", "–",
    ]  # fmt: skip
    assert [words.gain(g) for g in (0.1, -0.25, None)] == ["+0.100000", "−0.250000", "–"]
    assert words.when("nonsense") == "–"
    assert [words.number(n) for n in (True, "x", float("inf"), 1234567, 0.5)] == [
        "–",
        "–",
        "–",
        "1\u202f234\u202f567",
        "0.5",
    ]
    assert words.linked('<b> #12 and #12345678 "#3x" & #4') == (
        '&lt;b&gt; <a href="/experiments/12">#12</a> and #12345678 &#34;#3x&#34; &amp; <a href="/experiments/4">#4</a>'
    )


@pytest.mark.parametrize("answer", [b"", b"{", b"[]", b'{"checks": 7}', b'{"checks": [{}]}', b'{"checks": ["x"]}'])
def test_a_doctor_that_babbles_says_nothing(answer: bytes) -> None:
    assert read(answer) == []


def test_the_doctor_is_cleaned_and_keeps_no_word_of_keys() -> None:
    checks = [
        {"name": "disk", "level": "ok", "detail": "a \x1b[31m b"},
        {"name": "api key", "level": "ok", "detail": "none"},
        {"name": "x", "level": "<b>", "detail": ""},
    ]
    found = read(json.dumps({"checks": checks}).encode())
    assert [(look.name, look.level) for look in found] == [("disk", "ok"), ("x", "failure")]
    assert "\x1b" not in found[0].text


def test_the_pulse_tells_what_has_changed(tmp_path: Path) -> None:
    state = hostile(tmp_path / "lab")
    now: list[live.Live | None] = [None]

    async def listen() -> list[bytes]:
        pulse, heard = Pulse(state / "ledger.sqlite", lambda: now[0]), []
        async for event in pulse.events():
            heard.append(event)
            if len(heard) == 2:
                now[0] = live.Live(phase="training", phase_since=time.time(), number=3, hypothesis="a\nb")
            if len(heard) == 3:
                break
        return heard

    first, second, third = asyncio.run(asyncio.wait_for(listen(), 10))
    assert first.startswith(b"retry:")
    assert json.loads(second.split(b"data: ")[1])["running"] is False
    assert json.loads(third.split(b"data: ")[1])["hypothesis"] == "a\nb"
    assert third.count(b"\n") == 3  # no text can add a line of its own


def test_settings_of_the_page() -> None:
    written = settings.default_lab_toml("cpu", "x")
    assert '[page]\nlisten = "127.0.0.1:9465"' in written
    assert PageSettings().address == ("127.0.0.1", 9465)
    assert PageSettings(listen="").address is None
    assert PageSettings(listen="0.0.0.0:80", token_file="t").address == ("0.0.0.0", 80)
    for listen in ("0.0.0.0:80", "192.0.2.1:80", "lab.example:80", "[::]:80"):
        with pytest.raises(ValueError, match="token_file"):
            PageSettings(listen=listen)
    with pytest.raises(UserError, match="token_file"):
        listening_at(PageSettings(), "0.0.0.0:80")
    assert listening_at(PageSettings(), "[::1]:80").address == ("::1", 80)


def test_the_child_inherits_no_key() -> None:
    mine = {
        "PATH": "/bin",
        "ANTHROPIC_API_KEY": "sk",
        "ANTHROPIC_API_KEY_FILE": "f",
        "AWS_SECRET": "s",
        "HOME": "/root",
    }
    assert set(_environment(mine)) == {"PATH", "HOME", "MALLOC_ARENA_MAX", "PYTHONDONTWRITEBYTECODE"}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def wait_until(true: Callable[[], object], seconds: float = 20.0) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, "it did not come true"
        time.sleep(0.05)


def answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status in (200, 401)
    except OSError:
        return False
    finally:
        connection.close()


def is_there(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture
def place(tmp_path: Path) -> Facts:
    return facts(hostile(tmp_path / "lab"), port=free_port())


def test_a_page_that_dies_is_started_again_and_ends_with_the_run(place: Facts) -> None:
    keeper = Keeper(place, first_wait_seconds=0.05)
    keeper.start()
    try:
        wait_until(lambda: answers(place.port))
        first = keeper.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: keeper.pid not in (None, first) and answers(place.port))
    finally:
        last = keeper.pid
        keeper.stop()
    assert last is not None
    assert not is_there(last)


def test_a_taken_address_costs_the_page_and_not_the_run(place: Facts, caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", place.port)):
        keeper = Keeper(place)
        keeper.start()
        wait_until(lambda: "cannot be listened at" in caplog.text)
        keeper.stop()
    assert keeper.pid is None


def test_the_page_does_not_outlive_a_run_that_was_killed(place: Facts) -> None:
    program = (
        "import sys, time; from daemon.web.child import Keeper; from daemon.web.settings import from_json\n"
        "keeper = Keeper(from_json(sys.stdin.readline())); keeper.start()\n"
        "while keeper.pid is None: time.sleep(0.01)\n"
        "print(keeper.pid, flush=True); time.sleep(60)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=REPOSITORY, text=True
    )
    assert parent.stdin is not None
    assert parent.stdout is not None
    parent.stdin.write(to_json(place) + "\n")
    parent.stdin.flush()
    pid = int(parent.stdout.readline())
    wait_until(lambda: answers(place.port))
    parent.kill()
    parent.wait()
    wait_until(lambda: not is_there(pid))


def test_a_run_shows_itself_while_it_lasts(tmp_path: Path) -> None:
    init(tmp_path / "lab", "cpu", "shown")
    file, port = tmp_path / "lab" / "lab.toml", free_port()
    file.write_text(file.read_text().replace('listen = "127.0.0.1:9465"', f'listen = "127.0.0.1:{port}"'))
    lab = Lab(tmp_path / "lab")
    lab.state.mkdir(mode=0o700)
    steering = Steering()
    with shown(lab, steering) as observer:
        observer.notify(PhaseEntered(number=0, phase="training", seconds=20.0, hypothesis="the baseline"))
        wait_until(lambda: answers(port))
        wait_until(lambda: "the baseline" in body(port))
        steering.pause()
        wait_until(lambda: "pausing after it" in body(port))
    assert not answers(port)
    assert not (lab.state / live.FILE).exists()


def body(port: int) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request("GET", "/")
    text = connection.getresponse().read().decode()
    connection.close()
    return text


def test_no_address_is_no_page(tmp_path: Path) -> None:
    init(tmp_path / "lab", "cpu", "shown")
    file = tmp_path / "lab" / "lab.toml"
    file.write_text(file.read_text().replace('listen = "127.0.0.1:9465"', 'listen = ""'))
    lab = Lab(tmp_path / "lab")
    with kept(lab):
        pass
    with pytest.raises(UserError, match="there is no page"):
        facts_of(lab)


def test_the_verb_serves_a_lab_and_says_what_is_wrong(tmp_path: Path) -> None:
    init(tmp_path / "lab", "cpu", "shown")
    verb = ["page", "--lab", str(tmp_path / "lab"), "--listen"]
    command = [sys.executable, "-c", "from daemon.cli import main; main()", *verb]
    port = free_port()
    serving = subprocess.Popen([*command, f"127.0.0.1:{port}"], stdout=subprocess.PIPE, text=True, cwd=REPOSITORY)
    try:
        wait_until(lambda: answers(port))
        second = subprocess.run([*command, f"127.0.0.1:{port}"], capture_output=True, text=True, cwd=REPOSITORY)
        assert second.returncode == 2
        assert "cannot be listened at" in second.stderr
        assert "Traceback" not in second.stderr
    finally:
        serving.send_signal(signal.SIGINT)
        out, _ = serving.communicate(timeout=20)
    assert f"http://127.0.0.1:{port}/ shows" in out
    wrong = subprocess.run([*command, "0.0.0.0:1"], capture_output=True, text=True, cwd=REPOSITORY)
    assert wrong.returncode == 2
    assert "token_file" in wrong.stderr
