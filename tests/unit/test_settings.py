"""lab.toml: the documented defaults load, and a mistake is named."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from daemon import sections, settings
from daemon.model import UserError


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "lab.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("profile", ["cpu", "gpu"])
def test_a_fresh_lab_toml_loads_and_names_every_key(tmp_path: Path, profile: settings.Profile) -> None:
    text = settings.default_lab_toml(profile, "night")
    loaded = settings.load(written(tmp_path, text))
    assert (loaded.profile, loaded.tag) == (profile, "night")
    found = {
        name: field.annotation
        for name, field in settings.Settings.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, sections.Section)
    }
    for name, section in found.items():
        body = re.search(rf"^\[{name}\]\n(.*?)(?=^\[|\Z)", text + "\n", re.MULTILINE | re.DOTALL)
        assert body is not None, name
        documented = set(re.findall(r"^(?:# )?(\w+) = ", body[1], re.MULTILINE)) | (
            {"options"} if name == "proposer" else set()
        )
        assert documented == set(section.model_fields), name


def test_the_published_budget_is_the_gpu_default(tmp_path: Path) -> None:
    loaded = settings.load(written(tmp_path, settings.default_lab_toml("gpu", "night")))
    assert loaded.time.train_seconds == 300.0


def test_a_missing_file_says_how_to_make_a_lab(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="autoresearch init"):
        settings.load(tmp_path / "lab.toml")


def test_auto_leaves_a_core_to_the_host_where_there_is_more_than_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0, 1, 2, 3})
    assert settings._cores("auto") == (1, 2, 3)
    assert settings._cores("0,2-3") == (0, 2, 3)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {5})
    assert settings._cores("auto") == (5,)


def test_tags_cannot_leave_their_branch(tmp_path: Path) -> None:
    for tag in ("../main", "a b", "-x", ""):
        with pytest.raises(UserError, match="tag"):
            settings.load(written(tmp_path, settings.default_lab_toml("cpu", tag)))
