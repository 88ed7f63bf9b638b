"""The brief: what is accepted, what is refused, and every way in which an editor may save it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from daemon.model import UserError
from daemon.payload import payload
from daemon.program import MAX_BYTES, Knobs, Program, parse, read
from daemon.program_watch import Debounce, ProgramWatch

FRONT = b"""---
focus: [optimiser, "batch size"]
boldness: high
forbidden:
  - mixture of experts
stop_after: 40
---
"""


class TestReading:
    def test_a_brief_without_front_matter(self, tmp_path: Path) -> None:
        (tmp_path / "program.md").write_bytes(b"# Be bold\n")
        program = read(tmp_path / "program.md")
        assert (program.text, program.body, program.knobs) == ("# Be bold\n", "# Be bold\n", Knobs())
        assert len(program.sha256) == 64

    def test_front_matter_sets_knobs_and_is_not_in_the_body(self) -> None:
        program = parse(FRONT + b"\nBe bold.\n")
        assert program.knobs.focus == ("optimiser", "batch size")
        assert program.knobs.boldness == "high"
        assert program.knobs.forbidden == ("mixture of experts",)
        assert program.knobs.stop_after == 40
        assert program.body == "Be bold.\n"
        assert program.text.encode() == FRONT + b"\nBe bold.\n"

    def test_a_rule_further_down_is_only_a_rule(self) -> None:
        assert parse(b"Be bold.\n---\nboldness: high\n---\n").knobs == Knobs()

    @pytest.mark.parametrize(("boldness", "after"), [("low", 16), ("normal", 8), ("high", 4)])
    def test_boldness_moves_the_plateau(self, boldness: str, after: int) -> None:
        assert parse(f"---\nboldness: {boldness}\n---\nx\n".encode()).knobs.plateau_after(8) == after

    @pytest.mark.parametrize(
        ("content", "why"),
        [
            (b"", "empty"),
            (b" \n\t\n", "empty"),
            (FRONT, "empty"),
            (b"\xff\xfe", "UTF-8"),
            (b"be\0bold", "NUL"),
            (b"x" * (MAX_BYTES + 1), "more than"),
            (b"---\nboldness: high\nBe bold.\n", "does not end"),
            (b"---\nboldness: high\nboldness: low\n---\nx", "twice"),
            (b"---\nfocus: {a: 1, a: 2}\n---\nx", "twice"),
            (b"---\nfocus: &a [x]\nforbidden: *a\n---\nx", "aliases"),
            (b"---\n- boldness\n---\nx", "lines such as"),
            (b"---\nboldness: [\n---\nx", "not valid YAML"),
            (b"---\nboldness: !!python/object/apply:os.system [id]\n---\nx", "not valid YAML"),
            (b"---\nboldness: reckless\n---\nx", "boldness"),
            (b"---\nstop_after: '3'\n---\nx", "stop_after"),
            (b"---\nstop_after: true\n---\nx", "stop_after"),
            (b"---\nstop_after: 0\n---\nx", "stop_after"),
            (b"---\nfocus: speed\n---\nx", "focus"),
            (b"---\nfocus: [1]\n---\nx", "focus"),
            ('---\nfocus: ["a\u202eb"]\n---\nx'.encode(), "focus"),
            (b'---\nfocus: ["a\\nb"]\n---\nx', "focus"),
            (b"---\n# " + b"x" * 5000 + b"\n---\nx", "more than"),
            (b"---\n" + b"[" * 3000 + b"\n---\nx", "not valid YAML"),
        ],
    )
    def test_what_is_wrong_is_refused_in_one_sentence(self, content: bytes, why: str) -> None:
        with pytest.raises(UserError) as error:
            parse(content)
        assert why in str(error.value)
        assert "\n" not in str(error.value)
        assert len(str(error.value)) < 500

    @pytest.mark.parametrize(
        "key",
        [
            "budget",
            "train_seconds",
            "time",
            "image",
            "policy",
            "rules",
            "network",
            "sandbox",
            "max_usd",
            "min_gain_bpb",
        ],
    )
    def test_it_reaches_nothing_but_the_search(self, key: str) -> None:
        with pytest.raises(UserError, match=f"no key {key}"):
            parse(f"---\n{key}: 1\n---\nBe bold.\n".encode())
        assert set(Knobs.model_fields) == {"focus", "boldness", "forbidden", "stop_after"}

    def test_a_pipe_is_not_waited_for(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "program.md")
        with pytest.raises(UserError, match="not a regular file"):
            read(tmp_path / "program.md")

    def test_a_folder_and_nothing_at_all(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="cannot be read"):
            read(tmp_path / "program.md")
        with pytest.raises(UserError, match="cannot be read"):
            read(tmp_path)

    def test_the_shipped_brief_is_valid_and_short(self) -> None:
        program = parse(payload("program.md"))
        assert program.knobs == Knobs()
        assert program.text.count("\n") <= 120
        assert "val_bpb" in program.body


class TestDebounce:
    def test_waits_until_it_is_quiet(self) -> None:
        debounce = Debounce(0.5, 5.0)
        assert debounce.due_in(0.0) is None
        debounce.notice(10.0)
        debounce.notice(10.4)
        assert debounce.due_in(10.4) == pytest.approx(0.5)
        assert debounce.due_in(11.0) == 0

    def test_but_not_for_ever(self) -> None:
        debounce = Debounce(0.5, 5.0)
        for tenth in range(60):
            debounce.notice(tenth / 10)
        assert debounce.due_in(5.9) == 0

    def test_begins_anew_once_it_was_looked_at(self) -> None:
        debounce = Debounce(0.5, 5.0)
        debounce.notice(1.0)
        debounce.done()
        assert debounce.due_in(9.0) is None


class Heard:
    """What the watch told, and a way to wait for it."""

    def __init__(self) -> None:
        self.programs: list[Program] = []
        self.refusals: list[str] = []
        self._news = threading.Condition()

    def changed(self, program: Program) -> None:
        with self._news:
            self.programs.append(program)
            self._news.notify_all()

    def refused(self, why: str) -> None:
        with self._news:
            self.refusals.append(why)
            self._news.notify_all()

    def wait(self, holds: Callable[[], bool]) -> None:
        with self._news:
            assert self._news.wait_for(holds, timeout=20), (self.programs, self.refusals)

    def body(self) -> str:
        return self.programs[-1].body if self.programs else ""


class NoNotices:
    """An observer where the kernel gives no watches."""

    def start(self) -> None:
        raise OSError(28, "inotify watch limit reached")


@contextmanager
def watching(
    path: Path,
    *,
    poll_seconds: float = 3600.0,
    observer: Callable[[], object] | None = None,
    debounce: Debounce | None = None,
) -> Iterator[tuple[ProgramWatch, Heard]]:
    heard = Heard()
    settle = debounce or Debounce(0.15, 2.0)
    with ProgramWatch(
        path, heard.changed, heard.refused, debounce=settle, poll_seconds=poll_seconds, observer=observer
    ) as watch:
        yield watch, heard


def in_place(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def in_pieces(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        for at in range(len(content)):
            file.write(content[at : at + 1])
            file.flush()


def renamed_over(path: Path, content: bytes) -> None:
    beside = path.with_name(".program.md.tmp")
    beside.write_bytes(content)
    beside.replace(path)


def like_vim(path: Path, content: bytes) -> None:
    """A swap file, the test file 4913, a backup by renaming, a new file, then the backup goes."""
    swap = path.with_name(".program.md.swp")
    swap.write_bytes(b"b0VIM 9.1")
    path.with_name("4913").write_bytes(b"")
    path.with_name("4913").unlink()
    backup = path.with_name("program.md~")
    path.rename(backup)
    path.write_bytes(content)
    path.chmod(0o644)
    backup.unlink()
    swap.unlink()


def like_emacs(path: Path, content: bytes) -> None:
    """A lock that is a dangling symlink, an autosave, a backup copy, then the file itself written in place."""
    lock, autosave = path.with_name(".#program.md"), path.with_name("#program.md#")
    lock.symlink_to("someone@host.1:1")
    autosave.write_bytes(content)
    path.with_name("program.md~").write_bytes(path.read_bytes())
    path.write_bytes(content)
    autosave.unlink()
    lock.unlink()


def like_nano(path: Path, content: bytes) -> None:
    lock = path.with_name(".program.md.swp")
    lock.write_bytes(b"b0nano")
    with path.open("r+b") as file:
        file.truncate()
        file.write(content)
    lock.unlink()


def removed_and_written(path: Path, content: bytes) -> None:
    path.unlink()
    path.write_bytes(content)


SAVES = [in_place, in_pieces, renamed_over, like_vim, like_emacs, like_nano, removed_and_written]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab" / "program.md").write_bytes(b"first\n")
    return tmp_path / "lab" / "program.md"


class TestWatching:
    @pytest.mark.parametrize("save", SAVES)
    def test_every_way_to_save_is_noticed_once(self, path: Path, save: Callable[[Path, bytes], None]) -> None:
        with watching(path) as (watch, heard):
            assert watch.current().body == "first\n"
            save(path, b"second\n")
            heard.wait(lambda: heard.body() == "second\n")
            assert watch.current() is heard.programs[-1]
            save(path, b"third\n")
            heard.wait(lambda: heard.body() == "third\n")
        assert [program.body for program in heard.programs] == ["second\n", "third\n"]
        assert heard.refusals == []

    def test_a_save_of_the_same_text_is_no_news(self, path: Path) -> None:
        with watching(path) as (_, heard):
            renamed_over(path, b"first\n")
            time.sleep(0.5)
            renamed_over(path, b"second\n")
            heard.wait(lambda: heard.body() == "second\n")
        assert len(heard.programs) == 1

    @pytest.mark.parametrize("content", [b"\xff\xfe", b"", b"---\nimage: evil\n---\nx", b"x" * (MAX_BYTES + 1)])
    def test_the_last_good_one_stays(self, path: Path, content: bytes) -> None:
        with watching(path) as (watch, heard):
            in_place(path, content)
            heard.wait(lambda: len(heard.refusals) == 1)
            assert watch.current().body == "first\n"
            in_place(path, b"second\n")
            heard.wait(lambda: heard.body() == "second\n")
            assert watch.current().body == "second\n"

    def test_a_refusal_is_told_once_and_its_end_too(self, path: Path) -> None:
        with watching(path) as (watch, heard):
            path.unlink()
            heard.wait(lambda: len(heard.refusals) == 1)
            path.with_name("other").write_bytes(b"a notice that changes nothing")
            time.sleep(0.5)
            path.write_bytes(b"first\n")
            heard.wait(lambda: heard.body() == "first\n")
            assert watch.current().body == "first\n"
        assert len(heard.refusals) == len(heard.programs) == 1

    def test_permissions_count(self, path: Path) -> None:
        with watching(path) as (watch, heard):
            path.chmod(0o666)
            heard.wait(lambda: len(heard.refusals) == 1)
            assert "chmod o-w" in heard.refusals[0]
            path.chmod(0o644)
            heard.wait(lambda: heard.body() == "first\n")
            assert watch.current().body == "first\n"

    def test_a_file_that_cannot_be_read(self, path: Path) -> None:
        with watching(path) as (watch, heard):
            path.unlink()
            path.mkdir()
            heard.wait(lambda: len(heard.refusals) == 1 and "cannot be read" in heard.refusals[0])
            assert watch.current().body == "first\n"

    def test_a_symlink_that_is_turned_to_another_file(self, path: Path, tmp_path: Path) -> None:
        for name in ("one", "two"):
            (tmp_path / name).write_text(f"{name}\n")
        path.unlink()
        path.symlink_to(tmp_path / "one")
        with watching(path) as (_, heard):
            beside = path.with_name("next")
            beside.symlink_to(tmp_path / "two")
            beside.replace(path)
            heard.wait(lambda: heard.body() == "two\n")

    def test_a_symlink_whose_target_is_edited_elsewhere(self, path: Path, tmp_path: Path) -> None:
        (tmp_path / "shared").mkdir()
        target = tmp_path / "shared" / "brief.md"
        target.write_text("one\n")
        path.unlink()
        path.symlink_to(target)
        with watching(path) as (_, heard):
            renamed_over(target, b"two\n")
            heard.wait(lambda: heard.body() == "two\n")

    @pytest.mark.parametrize("save", SAVES)
    def test_without_notices_it_is_looked_at_now_and_then(
        self, path: Path, save: Callable[[Path, bytes], None]
    ) -> None:
        with watching(path, poll_seconds=0.1, observer=NoNotices) as (_, heard):
            save(path, b"second\n")
            heard.wait(lambda: heard.body() == "second\n")
        assert heard.refusals == []

    def test_without_notices_too_it_is_let_settle(self, path: Path) -> None:
        with watching(path, poll_seconds=0.02, observer=NoNotices, debounce=Debounce(1.0, 60.0)) as (_, heard):
            for length in range(1, 21):
                path.write_bytes(b"twenty letters long\n"[:length])
                time.sleep(0.02)
            heard.wait(lambda: len(heard.programs) > 0)
        assert [program.body for program in heard.programs] == ["twenty letters long\n"]

    def test_a_folder_that_cannot_be_watched_is_looked_at_too(self, path: Path) -> None:
        class Refuses:
            stopped = False

            def start(self) -> None:
                pass

            def schedule(self, handler: object, folder: str) -> None:
                raise OSError(28, "no space left")

            def stop(self) -> None:
                Refuses.stopped = True

        with watching(path, poll_seconds=0.1, observer=Refuses) as (_, heard):
            in_place(path, b"second\n")
            heard.wait(lambda: heard.body() == "second\n")
        assert Refuses.stopped

    def test_whoever_fails_on_being_told_does_not_end_the_watch(self, path: Path) -> None:
        heard = Heard()

        def fails(program: Program) -> None:
            heard.changed(program)
            raise RuntimeError("a listener")

        with ProgramWatch(path, fails, heard.refused, debounce=Debounce(0.1, 1.0)):
            in_place(path, b"second\n")
            heard.wait(lambda: heard.body() == "second\n")
            in_place(path, b"third\n")
            heard.wait(lambda: heard.body() == "third\n")

    def test_it_ends_at_once_and_leaves_no_thread(self, path: Path) -> None:
        before = threading.active_count()
        with watching(path):
            pass
        assert threading.active_count() == before

    def test_a_lab_without_a_usable_brief_does_not_start(self, path: Path) -> None:
        path.write_bytes(b"")
        with pytest.raises(UserError, match="empty"):
            ProgramWatch(path, lambda _: None)

    def test_reading_it_is_no_notice(self, path: Path) -> None:
        """Else every look would bring about the next."""
        with watching(path) as (watch, heard):
            looks = []
            look = watch.look
            watch.look = lambda: (looks.append(1), look())[1]  # type: ignore[method-assign]
            in_place(path, b"second\n")
            heard.wait(lambda: heard.body() == "second\n")
            time.sleep(0.8)
        assert len(looks) <= 2
