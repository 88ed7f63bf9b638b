"""Patches that are handed in: whole, in order, bounded, and each in its own file."""

from __future__ import annotations

from pathlib import Path

import pytest

from daemon import inbox as module
from daemon.inbox import Inbox
from daemon.model import UserError


@pytest.fixture
def inbox(tmp_path: Path) -> Inbox:
    return Inbox(tmp_path / "inbox")


def test_an_empty_one_needs_no_folder(inbox: Inbox, tmp_path: Path) -> None:
    assert list(inbox.waiting()) == []
    assert not (tmp_path / "inbox").exists()


def test_first_come_first_served(inbox: Inbox) -> None:
    tickets = [inbox.put(f"x = {n}\n".encode(), f"idea {n}") for n in range(20)]
    waiting = list(inbox.waiting())
    assert [slip.ticket for slip in waiting] == tickets
    assert [slip.train_py for slip in waiting] == [f"x = {n}\n".encode() for n in range(20)]
    inbox.discard(tickets[0])
    assert [slip.ticket for slip in inbox.waiting()] == tickets[1:]


def test_bytes_come_out_as_they_went_in(inbox: Inbox) -> None:
    content = bytes(range(256))
    inbox.put(content, "odd")
    assert next(inbox.waiting()).train_py == content


def test_it_is_for_the_owner_alone(inbox: Inbox, tmp_path: Path) -> None:
    inbox.put(b"x", "idea")
    assert (tmp_path / "inbox").stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "inbox").iterdir()} == {0o600}


@pytest.mark.parametrize(
    ("train_py", "hypothesis", "why"),
    [
        (b"", "idea", "0 bytes"),
        (b"x" * 65_537, "idea", "65537 bytes"),
        (b"x", "", "hypothesis"),
        (b"x", " \n", "hypothesis"),
    ],
)
def test_what_cannot_be_tried_is_refused(inbox: Inbox, train_py: bytes, hypothesis: str, why: str) -> None:
    with pytest.raises(UserError, match=why):
        inbox.put(train_py, hypothesis)
    assert list(inbox.waiting()) == []


def test_a_full_one_says_so(inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_WAITING", 2)
    inbox.put(b"x", "one")
    inbox.put(b"x", "two")
    with pytest.raises(UserError, match="2 patches are waiting"):
        inbox.put(b"x", "three")


def test_a_hypothesis_is_cleaned(inbox: Inbox) -> None:
    inbox.put(b"x", "good\x1b]0;title\x07\nidea")
    assert "\x1b" not in next(inbox.waiting()).hypothesis


@pytest.mark.parametrize(
    "content", [b"", b"{}", b'{"hypothesis": 1, "train_py": "eA==", "submitter": "me"}', b"\xff", b"[]"]
)
def test_what_is_no_slip_is_set_aside(inbox: Inbox, tmp_path: Path, content: bytes) -> None:
    ticket = inbox.put(b"x", "idea")
    (tmp_path / "inbox" / f"{ticket}.json").write_bytes(content)
    good = inbox.put(b"y", "another")
    assert [slip.ticket for slip in inbox.waiting()] == [good]
    assert (tmp_path / "inbox" / f"{ticket}.bad").exists()


@pytest.mark.parametrize("ticket", ["../../etc/passwd", "", "x", "0" * 20 + "-zzzzzzzz"])
def test_a_ticket_is_no_path(inbox: Inbox, tmp_path: Path, ticket: str) -> None:
    inbox.put(b"x", "idea")
    (tmp_path / "passwd.json").write_text("keep me")
    inbox.discard(ticket)
    assert (tmp_path / "passwd.json").exists()
    assert len(list(inbox.waiting())) == 1


def test_other_files_in_the_folder_are_nobodys_business(inbox: Inbox, tmp_path: Path) -> None:
    inbox.put(b"x", "idea")
    (tmp_path / "inbox" / "notes.json").write_text("{}")
    assert len(list(inbox.waiting())) == 1
