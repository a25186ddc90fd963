"""The demo's directory: what a demo made is emptied, what a user put there is not touched."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys

import pytest

from clew.demo.errors import DemoError
from clew.demo.place import MARKER, DemoPlace


def test_a_new_directory_is_made_and_nothing_is_emptied(tmp_path):
    place = DemoPlace(tmp_path / "deep" / "demo")
    assert (place.directory / MARKER).exists()
    assert not place.emptied
    place.close()


def test_what_an_earlier_demo_left_is_removed(tmp_path):
    first = DemoPlace(tmp_path / "demo")
    first.data.mkdir()
    (first.data / "part").write_text("old")
    first.processor_log.write_text("old")
    first.close()
    second = DemoPlace(tmp_path / "demo")
    assert second.emptied
    assert [entry.name for entry in second.directory.iterdir()] == [MARKER]
    second.close()


def test_a_link_in_the_directory_is_removed_and_not_followed(tmp_path):
    outside = tmp_path / "mine"
    outside.mkdir()
    (outside / "file").write_text("dear to me")
    first = DemoPlace(tmp_path / "demo")
    (first.directory / "link").symlink_to(outside)
    first.close()
    DemoPlace(tmp_path / "demo").close()
    assert (outside / "file").read_text() == "dear to me"


def test_a_directory_of_the_users_is_refused_untouched(tmp_path):
    (tmp_path / "file").write_text("dear to me")
    with pytest.raises(DemoError, match="was not made by `clew demo`, so nothing in it was touched"):
        DemoPlace(tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_a_directory_in_use_is_refused_untouched(tmp_path):
    first = DemoPlace(tmp_path)
    first.data.mkdir()
    with pytest.raises(DemoError, match="another `clew demo` is using"):
        DemoPlace(tmp_path)
    assert first.data.exists()
    first.close()


def test_a_processor_that_outlives_its_demo_keeps_the_directory(tmp_path):
    place = DemoPlace(tmp_path)
    orphan = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=(place.lock,))
    place.held_by(orphan.pid)
    place.close()
    try:
        with pytest.raises(DemoError, match=rf"another `clew demo` is using .*process {orphan.pid}\)"):
            DemoPlace(tmp_path)
    finally:
        orphan.communicate(b"\n")
    DemoPlace(tmp_path).close()


def test_the_lock_is_gone_with_its_holder(tmp_path):
    DemoPlace(tmp_path).close()
    marker = os.open(tmp_path / MARKER, os.O_RDWR)
    fcntl.flock(marker, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(marker)
