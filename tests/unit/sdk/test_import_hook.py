"""The call comes when a library is wholly there, once, and only if the programme imports it."""

from __future__ import annotations

import importlib
import sys
import threading

import pytest

from clew._instrument.import_hook import ImportWatch


@pytest.fixture
def watch(tmp_path, monkeypatch):
    """A watch, and a folder of packages that import each other half-way through."""
    files = {
        "wholelib/__init__.py": "from wholelib import part\nready = True\n",
        "wholelib/part.py": "name = 'part'\n",
        "corelib/__init__.py": "",
        "graphlib2/__init__.py": "",
        "graphlib2/pregel.py": "import corelib\nclass Pregel: ...\n",
        "graphlib2/graph.py": "from graphlib2 import pregel\nafter = 1\n",
        "brokenlib/__init__.py": "raise ImportError('half of it is missing')\n",
        "data/__init__.py": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    watch = ImportWatch()
    yield watch
    if watch in sys.meta_path:
        sys.meta_path.remove(watch)
    for name in set(sys.modules) - before:
        if name.partition(".")[0] in {path.partition("/")[0] for path in files}:
            del sys.modules[name]


def test_library_that_is_not_imported_is_not_loaded(watch):
    calls = []
    watch.when_imported(("wholelib",), lambda: calls.append(1))
    assert "wholelib" not in sys.modules
    assert calls == []


def test_call_comes_after_the_whole_import_and_once(watch):
    calls = []
    watch.when_imported(("wholelib",), lambda: calls.append(sys.modules["wholelib"].ready))
    importlib.import_module("wholelib")
    importlib.import_module("wholelib.part")
    assert calls == [True]


def test_two_watches_of_one_library_both_call(watch):
    calls = []
    second = ImportWatch()
    watch.when_imported(("wholelib",), lambda: calls.append("first"))
    second.when_imported(("wholelib",), lambda: calls.append("second"))
    try:
        module = importlib.import_module("wholelib")
        importlib.import_module("wholelib.part")
    finally:
        sys.meta_path.remove(second)
    assert sorted(calls) == ["first", "second"]
    assert type(module.__spec__.loader).__module__ != "clew._instrument.import_hook"
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("wholelib.missing")


def test_call_comes_at_once_where_the_library_is_there(watch):
    importlib.import_module("wholelib")
    calls = []
    watch.when_imported(("wholelib",), lambda: calls.append(1))
    assert calls == [1]
    assert watch not in sys.meta_path


def test_library_imported_by_another_waits_for_the_other(watch):
    """langgraph imports langchain_core while langgraph itself is half there."""
    calls = []
    watch.when_imported(
        ("corelib", "graphlib2"), lambda: calls.append(hasattr(sys.modules["graphlib2.pregel"], "Pregel"))
    )
    importlib.import_module("graphlib2.graph")
    assert calls == [True]


def test_failed_import_is_the_programmes_and_calls_nobody(watch):
    calls = []
    watch.when_imported(("brokenlib",), lambda: calls.append(1))
    with pytest.raises(ImportError, match="half of it is missing"):
        importlib.import_module("brokenlib")
    assert calls == []


def test_modules_see_their_own_loader(watch):
    watch.when_imported(("wholelib",), lambda: None)
    module = importlib.import_module("wholelib")
    assert type(module.__spec__.loader).__module__ == "_frozen_importlib_external"
    assert module.__loader__ is module.__spec__.loader
    assert importlib.resources.files(module).joinpath("part.py").is_file()


def test_find_spec_does_not_count_as_an_import(watch):
    calls = []
    watch.when_imported(("wholelib",), lambda: calls.append(1))
    assert importlib.util.find_spec("wholelib") is not None
    assert calls == []
    importlib.import_module("wholelib")
    assert calls == [1]


def test_imports_in_two_threads_call_once(watch):
    calls = []
    watch.when_imported(("wholelib",), lambda: calls.append(1))
    threads = [threading.Thread(target=importlib.import_module, args=("wholelib",)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert calls == [1]


def test_two_watches_of_one_library_are_both_told(watch):
    calls = []
    other = ImportWatch()
    try:
        watch.when_imported(("wholelib",), lambda: calls.append("watch"))
        other.when_imported(("wholelib",), lambda: calls.append("other"))
        importlib.import_module("wholelib")
    finally:
        sys.meta_path.remove(other)
    assert sorted(calls) == ["other", "watch"]
