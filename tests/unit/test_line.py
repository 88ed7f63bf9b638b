"""Labs of one machine take turns: real processes of different users, killed and starved and lied to."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from daemon.line import Claim, Line, Place, boottime
from daemon.model import OurFault, UserError

UIDS = (64101, 64102, 64103)
WAITER = Path(__file__).with_name("waiters.py")


class Street:
    """A folder to wait in, the processes that do, and what they wrote."""

    def __init__(self, directory: Path) -> None:
        directory.chmod(0o1777)  # as /tmp is
        self.folder, self.log = directory / "queue", directory / "log"
        self.log.touch()
        self.processes: list[subprocess.Popen[bytes]] = []

    def send(self, name: str, **asked: object) -> subprocess.Popen[bytes]:
        words = json.dumps({"name": name, "folder": str(self.folder), "log": str(self.log), **asked})
        path = os.pathsep.join(str(p) for p in (Path(__file__).parent, Path(__file__).parents[2]))
        process = subprocess.Popen([sys.executable, str(WAITER), words], env={**os.environ, "PYTHONPATH": path})
        self.processes.append(process)
        return process

    def said(self, who: str | None = None) -> list[dict[str, str]]:
        lines = [json.loads(line) for line in self.log.read_text().splitlines()]
        return [line for line in lines if who in (None, line["who"])]

    def until(self, who: str, what: str) -> None:
        self.wait(lambda: any(line["what"] == what for line in self.said(who)), f"{who} never said {what}")

    def wait(self, so: Callable[[], bool], complaint: str, seconds: float = 60) -> None:
        until = time.monotonic() + seconds
        while not so():
            assert time.monotonic() < until, f"{complaint}: {self.said()}"
            time.sleep(0.01)

    def ended_well(self) -> None:
        assert [process.wait(90) for process in self.processes] == [0] * len(self.processes)


@pytest.fixture
def street() -> Iterator[Street]:
    with tempfile.TemporaryDirectory() as directory:  # pytest's own folders are shut to other users
        street = Street(Path(directory))
        yield street
        for process in street.processes:
            process.kill()
            process.wait()


def claim(name: str = "mine", **more: object) -> Claim:
    return Claim(lab=name, name=name, cores=(0,), **more)


def overlaps(said: list[dict[str, str]]) -> int:
    most, inside = 0, 0
    for line in said:
        inside += {"begin": 1, "end": -1}.get(line["what"], 0)
        most = max(most, inside)
    return most


def test_three_users_alternate_in_the_order_they_came_and_nobody_meets_another(street: Street) -> None:
    for uid in UIDS:
        street.send(f"lab{uid}", uid=uid, rounds=30)
    street.ended_well()
    said = street.said()
    assert overlaps(said) == 1
    taken = [line["place"] for line in said if line["what"] == "take"]
    assert len(taken) == 90
    assert taken == sorted(line["place"] for line in said if line["what"] == "enter"), "somebody was overtaken"
    assert os.listdir(street.folder) == []


def test_those_that_want_other_things_do_not_wait_for_each_other(street: Street) -> None:
    street.send("a", cores=[0, 1], gpu="GPU-1", seconds=60)
    street.until("a", "begin")
    street.send("b", cores=[2, 3], gpu="GPU-2")
    street.until("b", "end")
    street.send("c", cores=[2, 3], gpu="GPU-1")
    street.until("c", "SlotAwaited")
    street.send("d", cores=[3, 1], gpu="GPU-2")
    street.until("d", "SlotAwaited")
    told = {who: next(line["reason"] for line in street.said(who) if line["what"] == "SlotAwaited") for who in "cd"}
    assert told["c"].startswith("waiting for GPU-1, held by lab a (root) since ")
    assert told["c"].endswith("; 1st in line")
    assert told["d"].startswith("waiting for core 1, core 3, held by lab a (root) since "), told
    assert told["d"].endswith("; 2nd in line"), "c came first and wants one of its cores"


def test_memory_is_given_out_once(street: Street) -> None:
    street.send("a", cores=[0], memory=60, total=100, seconds=60)
    street.until("a", "begin")
    street.send("b", cores=[1], memory=40, total=100)
    street.until("b", "end")
    street.send("c", cores=[2], memory=41, total=100)
    street.until("c", "SlotAwaited")
    street.processes[0].kill()
    street.until("c", "end")


def test_one_that_wants_more_memory_than_there_is_goes_alone(tmp_path: Path) -> None:
    line = Line(tmp_path / "q", total_bytes=10)
    place = line.enter(claim(memory_bytes=11))
    assert place.before() == []
    place.leave()


@pytest.mark.parametrize("victim", ["holder", "waiter"])
def test_one_that_is_killed_is_stepped_over(street: Street, victim: str) -> None:
    killed = {}
    killed["holder"] = street.send("a", uid=UIDS[0], seconds=60)
    street.until("a", "begin")
    killed["waiter"] = street.send("b", uid=UIDS[1])
    street.until("b", "SlotAwaited")
    street.send("c", uid=UIDS[2])
    street.until("c", "SlotAwaited")
    killed[victim].send_signal(signal.SIGKILL)
    killed[victim].wait()
    if victim == "waiter":
        assert not any(line["what"] == "take" for line in street.said("c"))
        killed["holder"].kill()
        street.until("c", "end")
    else:
        street.until("c", "end")
        assert [line["who"] for line in street.said() if line["what"] == "take"] == ["a", "b", "c"]


def test_a_killed_holder_keeps_its_place_while_its_containers_may_run(street: Street) -> None:
    holder = street.send("a", seconds=60)
    street.until("a", "begin")
    holder.kill()
    holder.wait()
    orphans = [True]
    place = Line(street.folder, 1 << 40, lambda seen: orphans[0] and seen.name == "a").enter(claim())
    (before,) = place.before()
    assert (before.claim.name, before.alive) == ("a", False)
    orphans[0] = False  # the engine says that they are gone
    assert place.before() == []
    place.leave()


def stranded(line: Line, lingers_seconds: float, **more: object) -> None:
    place = line.enter(claim("dead", lingers_seconds=lingers_seconds, **more))
    place.take()
    place.strand()


def test_it_keeps_it_no_longer_than_they_can_run_nor_beyond_a_restart_of_the_machine(tmp_path: Path) -> None:
    line = Line(tmp_path / "q", 1 << 40)
    stranded(line, 1000.0)
    place = line.enter(claim())
    assert len(place.before()) == 1
    (tmp_path / "q").joinpath(place.before()[0].file).unlink()
    stranded(line, 0.0)
    time.sleep(0.01)
    assert place.before() == []
    other = Line(tmp_path / "q", 1 << 40)
    other._boot = "before the restart"
    stranded(other, 1000.0)
    late = line.enter(claim("late"))
    place.leave()
    assert late.before() == []
    late.leave()
    assert os.listdir(tmp_path / "q") == [], "what is over is cleared away"


def test_a_lab_that_comes_back_is_not_in_its_own_way(tmp_path: Path) -> None:
    line = Line(tmp_path / "q", 1 << 40)
    stranded(line, 1000.0)
    place = line.enter(claim("dead"))
    assert place.before() == []
    place.leave()
    assert os.listdir(tmp_path / "q") == []


def fill(folder: Path, secret: Path) -> None:
    """What somebody who may write there could leave, all of it named to be first."""
    folder.mkdir()
    folder.chmod(0o1777)
    number = iter(range(10))

    def name() -> Path:
        return folder / f"{next(number):020d}-{'0' * 16}.place"

    name().symlink_to(secret)
    name().symlink_to("/dev/zero")
    os.mkfifo(name())
    name().mkdir()
    name().write_bytes(b"\xff" * 100)
    name().write_text("{}")
    name().write_text(claim().model_dump_json()[:-1] + ', "evil": 1}')
    name().write_text("x" * 1_000_000)
    name().write_text(json.dumps({**json.loads(claim().model_dump_json()), "lingers_seconds": 1e300, "taken_at": 1.0}))
    (folder / "no place at all").write_text("")


def test_hostile_files_are_passed_by_and_nothing_is_written_through_them(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("keep")
    fill(tmp_path / "q", secret)
    outside = Line(tmp_path / "elsewhere", 1 << 40).enter(claim("outside"))
    (tmp_path / "q" / f"{0:020d}-{'1' * 16}.place").symlink_to(tmp_path / "elsewhere" / outside.name)
    was = sorted(os.listdir(tmp_path / "q"))
    place = Line(tmp_path / "q", 1 << 40).enter(claim())
    assert place.before() == []
    place.take()
    place.leave()
    assert sorted(os.listdir(tmp_path / "q")) == was
    assert secret.read_text() == "keep"
    outside.leave()


def test_another_user_cannot_remove_or_change_a_place(street: Street) -> None:
    street.send("a", uid=UIDS[0], seconds=60)
    street.until("a", "begin")
    (file,) = street.folder.iterdir()
    program = (
        "import os, sys; os.setresuid(64102, 64102, 64102)\n"
        "for act in (lambda: os.unlink(sys.argv[1]), lambda: open(sys.argv[1], 'r+'),\n"
        "            lambda: os.rename(sys.argv[1], sys.argv[1] + 'x')):\n"
        "    try: act()\n"
        "    except PermissionError: print('refused')"
    )
    done = subprocess.run([sys.executable, "-c", program, str(file)], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["refused"] * 3
    place = Line(street.folder, 1 << 40).enter(claim())
    assert len(place.before()) == 1
    place.leave()


def test_a_folder_that_is_none_or_lets_others_remove_places_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path)
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    for name, said in (("file", "cannot be opened"), ("link", "cannot be opened"), ("open", r"chmod \+t")):
        with pytest.raises(UserError, match=said):
            Line(tmp_path / name, 1).enter(claim())
    with pytest.raises(UserError, match="cannot be opened"):
        Line(tmp_path / "no" / "such", 1).enter(claim())


def test_a_user_who_may_not_use_the_folder_is_told_whose_it_is(street: Street) -> None:
    street.folder.mkdir(mode=0o700)
    process = street.send("a", uid=UIDS[0])
    assert process.wait(60) != 0
    assert os.listdir(street.folder) == []


@contextmanager
def held(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    yield
    os.close(descriptor)


def test_one_who_sits_on_the_folders_lock_is_an_outage_and_not_a_hang(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.line_folder.LOCK_SECONDS", 0.1)
    line = Line(tmp_path / "q", 1)
    line.enter(claim()).leave()
    with held(tmp_path / "q"), pytest.raises(OurFault, match="held the lock"):
        line.enter(claim())
    assert os.listdir(tmp_path / "q") == []


def test_a_place_that_somebody_removed_is_noticed(tmp_path: Path) -> None:
    line = Line(tmp_path / "q", 1)
    place = line.enter(claim())
    os.unlink(tmp_path / "q" / place.name)
    (tmp_path / "q" / place.name).touch()
    with pytest.raises(OurFault, match="removed this lab's place"):
        place.before()
    place.leave()


def test_a_crowd_is_an_outage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.line.MAX_FILES", 5)
    line = Line(tmp_path / "q", 1)
    place: Place = line.enter(claim())
    for number in range(5):
        (tmp_path / "q" / str(number)).touch()
    with pytest.raises(OurFault, match="somebody fills it"):
        place.before()
    place.leave()
    assert boottime() > 0
