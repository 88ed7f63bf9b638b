"""The command in a real terminal: a pty of 40, 80 or 120 columns, or none at all."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from nights import Night, a_night, arena_of
from typer.main import get_command
from typer.testing import CliRunner

import daemon.cli  # noqa: F401 - adds the verbs
from daemon.cli.common import app
from daemon.lab import Lab
from daemon.lifecycle import lab_lock
from daemon.live_log import LiveLog
from daemon.model import Decision
from daemon.observe import LogSeen

COMMAND = [sys.executable, "-c", "from daemon.cli import main; main()"]
PATIENCE_SECONDS = 20.0
HOSTILE = "[bold red]x[/] \x1b]0;title\x07\u202e \x1b[2J evil"
CLAIM = {"step": 42, "loss": 3.25, "tokens_per_second": 123456.0}
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """A program in a pseudo-terminal of a given size."""

    def __init__(self, *words: str | Path, columns: int = 80, rows: int = 30, **environment: str) -> None:
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        left_out = {"NO_COLOR", "COLUMNS", "LINES", "FORCE_COLOR", "TTY_COMPATIBLE"}
        base = {name: value for name, value in os.environ.items() if name not in left_out}
        self.process = subprocess.Popen(
            [*COMMAND, *map(str, words)], stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
            env={**base, "TERM": "xterm-256color", **environment},
        )  # fmt: skip
        os.close(slave)
        self._master, self.text = master, ""

    def until(self, wanted: str) -> str:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while wanted not in self.plain:
            assert time.monotonic() < deadline, f"{wanted!r} did not come:\n{self.text}"
            self._read(0.2)
        return self.plain

    def until_counted_down(self) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while len(left := [int(number) for number in re.findall(r"(\d+)/300 s left", self.plain)]) < 3:
            assert time.monotonic() < deadline, self.text
            self._read(0.2)
        assert left == sorted(left, reverse=True) and left[0] > left[-1] and left[0] <= 240

    def _read(self, seconds: float) -> None:
        if select.select([self._master], [], [], seconds)[0]:
            try:
                self.text += os.read(self._master, 65536).decode("utf-8", errors="replace")
            except OSError:  # the program has ended
                time.sleep(0.05)

    @property
    def plain(self) -> str:
        return ESCAPES.sub("", self.text)

    def interrupt(self) -> int:
        """As Ctrl-C does; returns the exit status."""
        os.killpg(self.process.pid, signal.SIGINT)
        for _ in range(100):
            self._read(0.1)
            if self.process.poll() is not None:
                break
        self._read(0.1)
        return self.process.wait(5)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._master)


@contextmanager
def terminal(*words: str | Path, columns: int = 80, **environment: str) -> Iterator[Terminal]:
    opened = Terminal(*words, columns=columns, **environment)
    try:
        yield opened
    finally:
        opened.close()


def piped(*words: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *map(str, words)], capture_output=True, text=True, timeout=60, env={**os.environ, **environment}
    )


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return a_night(tmp_path / "lab")


@pytest.fixture
def busy(lab: Lab) -> Iterator[Lab]:
    """The lab while an experiment trains."""
    with lab.ledger() as ledger, lab_lock(lab.state, "daemon"):
        tip = lab.workspace.tip()
        opened = ledger.open(arena=arena_of(lab), base_commit=tip, champion=6, program="p")
        LiveLog(lab.state).notify(LogSeen(number=opened.number, log=f"a first line\n{HOSTILE}\nstep 00042"))
        says(lab, phase="training")
        yield lab


def says(lab: Lab, **changes: object) -> None:
    live = {
        "number": 7, "phase": "training", "phase_since": time.time() - 60, "phase_seconds": 300.0,
        "hypothesis": HOSTILE, "paused": False, "waiting": None, "claimed": CLAIM, "updated": time.time(),
    }  # fmt: skip
    (lab.state / "live.json").write_text(json.dumps({**live, **changes}))


@pytest.mark.parametrize("columns", [40, 80, 120])
def test_the_watch_fits_its_terminal_and_ends_cleanly(busy: Lab, columns: int) -> None:
    with terminal("status", "--watch", "--lab", busy.directory, columns=columns) as screen:
        text = screen.until("6 keep")
        assert "#7 training" in text
        assert "champion #6" in text
        assert "━" in text, "how far it has come"
        assert "loss 3.250, 123,456 tok/s" in text
        assert re.search("[▁▂▃▄▅▆▇█]{3}", text)
        assert [line for line in re.split(r"[\r\n]+", text) if len(line) > columns] == []
        screen.until_counted_down()
        says(busy, phase="scoring", phase_seconds=30.0, phase_since=time.time())
        assert "#7 scoring" in screen.until("scoring"), "drawn anew"
        assert screen.interrupt() == 0
    assert screen.text.rfind("\x1b[?25h") > screen.text.rfind("\x1b[?25l"), "the cursor is shown again"
    assert "Traceback" not in screen.text
    assert "\x1b]" not in screen.text and "\x07" not in screen.text and "\u202e" not in screen.text
    assert "\x1b[2J" not in screen.text, "what it draws over is its own"


def test_no_color_is_no_colour(busy: Lab) -> None:
    with terminal("status", "--watch", "--lab", busy.directory, NO_COLOR="1") as screen:
        screen.until("6 keep")
        screen.interrupt()
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", screen.text)
    with terminal("status", "--watch", "--lab", busy.directory) as screen:
        screen.until("6 keep")
        screen.interrupt()
    assert re.search(r"\x1b\[[0-9;]*3[0-7]m", screen.text), "and otherwise there is some"


def test_a_lab_at_rest_says_so(lab: Lab) -> None:
    says(lab)  # left over from a process that was killed
    with terminal("status", "--watch", "--lab", lab.directory) as screen:
        assert "nothing runs here" in screen.until("6 keep")
        assert "training" not in screen.plain


class Lines:
    """A program without a terminal, read line by line."""

    def __init__(self, *words: str | Path) -> None:
        self.process = subprocess.Popen(
            [*COMMAND, *map(str, words)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        self.text = ""

    def until(self, holds: Callable[[str], bool]) -> str:
        assert self.process.stdout
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not holds(self.text):
            assert time.monotonic() < deadline, self.text
            if select.select([self.process.stdout], [], [], 0.2)[0]:
                self.text += os.read(self.process.stdout.fileno(), 65536).decode()
        return self.text

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        return self.process.wait(10)


def test_without_a_terminal_there_is_a_line_a_change_and_no_more(busy: Lab) -> None:
    watch = Lines("status", "--watch", "--lab", busy.directory)
    try:
        watch.until(lambda text: "#7 training" in text)
        time.sleep(2.2)
        says(busy, phase="scoring", phase_since=time.time())
        text = watch.until(lambda text: "#7 scoring" in text)
        assert [re.sub(r"^\d\d:\d\d:\d\d lab ", "", line)[:11] for line in text.splitlines()] == [
            "champion #6", "#7 training", "#7 scoring ",
        ]  # fmt: skip
        with busy.ledger() as ledger:
            night = Night(busy, ledger, arena_of(busy), champion=6)
            night.add(Decision.DISCARD, 1.85, hypothesis=HOSTILE)
        text = watch.until(lambda text: "discard" in text)
        assert "\x1b" not in text
        assert watch.end(signal.SIGTERM) == 0
    finally:
        watch.process.kill()


def test_several_labs_at_a_glance(busy: Lab, tmp_path: Path) -> None:
    other = a_night(tmp_path / "another lab with a long name")
    both = ("--lab", busy.directory, "--lab", other.directory)
    for columns in (40, 120):
        with terminal("top", *both, columns=columns) as screen:
            text = screen.until("nothing runs")
            assert "#7 training" in text
            assert [line for line in re.split(r"[\r\n]+", text) if len(line) > columns] == []
            assert screen.interrupt() == 0
    once = piped("top", "--once", *both).stdout.splitlines()
    assert [line.split()[0] for line in once] == ["lab", "lab", "another"]
    labs = json.loads(piped("top", "--json", *both).stdout)["labs"]
    assert [(entry["kept"], entry["val_bpb"]) for entry in labs] == [(3, 1.8), (3, 1.8)]
    assert (labs[0]["now"]["experiment"], labs[0]["now"]["claimed"]) == (7, CLAIM)
    assert labs[1]["now"] is None


# The log


def test_the_log_is_shown_and_harmless(busy: Lab) -> None:
    done = piped("log", "--lab", busy.directory)
    assert done.stdout == "a first line\n[bold red]x[/] \\x1b]0;title\\x07\\u202e \\x1b[2J evil\nstep 00042\n"
    assert json.loads(piped("log", "7", "--json", "--lab", busy.directory).stdout)["number"] == 7
    done = piped("log", "3", "--lab", busy.directory)
    assert (done.returncode, done.stderr) == (
        2, "autoresearch: experiment 3 has no log: it is closed, and printed nothing\n",
    )  # fmt: skip
    assert piped("log", "99", "--lab", busy.directory).returncode == 2


def test_the_log_is_followed_to_the_end(busy: Lab) -> None:
    log, following = LiveLog(busy.state), Lines("log", "-f", "--lab", busy.directory)
    try:
        following.until(lambda text: "step 00042" in text)
        log.notify(LogSeen(number=7, log=f"a first line\n{HOSTILE}\nstep 00044\ndone"))
        text = following.until(lambda text: "done" in text)
        log.notify(LogSeen(number=8, log="the next one"))
        text = following.until(lambda text: "the next one" in text)
        assert [line for line in text.splitlines() if line and "evil" not in line] == [
            "--- experiment 7", "a first line", "step 00042", "step 00044", "done", "--- experiment 8", "the next one",
        ]  # fmt: skip
        assert "\x1b" not in text
        assert following.end(signal.SIGINT) == 0
    finally:
        following.process.kill()


def test_following_ends_when_the_lab_is_at_rest(lab: Lab) -> None:
    done = piped("log", "-f", "--lab", lab.directory)
    assert done.returncode == 2
    assert "nothing runs in this lab" in done.stderr


# Every verb


def verbs(words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """All there are, from the command's own tree."""
    found = get_command(app)
    for word in words:
        found = found.commands[word]  # type: ignore[attr-defined]
    for name, command in found.commands.items():  # type: ignore[attr-defined]
        if hasattr(command, "commands"):
            yield from verbs((*words, name))
        else:
            yield (*words, name)


# They work rather than show, or print what has a form of its own.
WITHOUT_JSON = {("init",), ("prepare",), ("run",), ("daemon",), ("mcp",), ("allow",), ("image", "build"), ("page",)}


def test_every_verb_that_shows_something_has_json() -> None:
    every = set(verbs())
    assert len(every) > 25 and every >= WITHOUT_JSON
    for words in every:
        command = get_command(app)
        for word in words:
            command = command.commands[word]  # type: ignore[attr-defined]
        options = {option for parameter in command.params for option in parameter.opts}
        assert ("--json" in options) == (words not in WITHOUT_JSON), words


@pytest.mark.parametrize(
    "words",
    [("status",), ("show", "6"), ("diff", "6"), ("program", "show", "6"), ("report", "--since", "all"), ("plot",)],
)
def test_json_is_one_object(lab: Lab, words: tuple[str, ...]) -> None:
    done = CliRunner().invoke(app, [*words, "--json", "--lab", str(lab.directory)])
    assert isinstance(json.loads(done.stdout), dict), done


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shell_completes_verbs(shell: str) -> None:
    asked = {
        "bash": {"COMP_WORDS": "autoresearch st", "COMP_CWORD": "1"},
        "zsh": {"_TYPER_COMPLETE_ARGS": "autoresearch st"},
        "fish": {"_TYPER_COMPLETE_ARGS": "autoresearch st", "_TYPER_COMPLETE_FISH_ACTION": "get-args"},
    }[shell]
    program = "import sys; sys.argv[0] = 'autoresearch'; from daemon.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60,
        env={**os.environ, "_AUTORESEARCH_COMPLETE": f"complete_{shell}", **asked},
    )  # fmt: skip
    assert "status" in done.stdout and "stop" in done.stdout, done
    assert "export" not in done.stdout


def test_a_plain_status_loads_nothing_heavy(lab: Lab) -> None:
    program = (
        "import sys, atexit; atexit.register(lambda: print(sorted(sys.modules), file=sys.stderr)); "
        f"sys.argv[1:] = ['status', '--lab', {str(lab.directory)!r}]; from daemon.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    heavy = {"rich.live", "rich.syntax", "jinja2", "matplotlib", "numpy", "docker", "tensorboard", "daemon.watch"}
    assert {name for name in heavy if f"'{name}'" in done.stderr} == set()
