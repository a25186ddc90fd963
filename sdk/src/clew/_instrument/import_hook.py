"""Being told when a library has been imported, without importing it.

An instrumentation has to import the library it changes. Doing that for every installed library would load seconds of
code the programme never uses, so clew waits for the programme's own import. The call comes when the outermost import
of any watched library is complete: a library that is imported in the middle of another one's import (langgraph
imports langchain_core) would otherwise be changed while half of it is there.
"""

from __future__ import annotations

import sys
import threading
from importlib.abc import Loader, MetaPathFinder
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType


class ImportWatch(MetaPathFinder):
    """Calls back once for each watched library, in the thread that imported it, after the import."""

    def __init__(self) -> None:
        self._waiting: dict[str, list[Callable[[], None]]] = {}
        self._watched: frozenset[str] = frozenset()
        self._due: list[Callable[[], None]] = []
        self._lock = threading.Lock()
        self._thread = threading.local()

    def when_imported(self, modules: tuple[str, ...], call: Callable[[], None]) -> None:
        """Calls `call` once `modules[0]` has been imported; at once where it has been already.

        Args:
            modules: Dotted names; while one of these or a module below is being imported, the call waits.
            call: Called with nothing; must not raise.
        """
        if modules[0] in sys.modules:
            call()
            return
        with self._lock:
            self._waiting.setdefault(modules[0], []).append(call)
            self._watched |= set(modules)
        if self not in sys.meta_path:
            sys.meta_path.insert(0, self)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec the other finders give for a watched module, its loader wrapped; None for any other module."""
        looking: set[str] = self._thread.__dict__.setdefault("looking", set())
        if fullname in looking or not self._is_watched(fullname):  # another finder of this kind asks all others, too
            return None
        looking.add(fullname)
        try:
            specs = (finder.find_spec(fullname, path, target) for finder in sys.meta_path if finder is not self)
            spec = next((spec for spec in specs if spec is not None), None)
        finally:
            looking.discard(fullname)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader, fullname, self)
        return spec

    def _is_watched(self, fullname: str) -> bool:
        name = fullname
        while name:
            if name in self._watched:
                return True
            name = name.rpartition(".")[0]
        return False

    def begun(self) -> None:
        """A watched module begins to run in this thread."""
        self._thread.depth = getattr(self._thread, "depth", 0) + 1

    def ended(self, fullname: str, *, imported: bool) -> None:
        """A watched module has run in this thread, to its end if `imported`."""
        self._thread.depth -= 1
        with self._lock:
            if imported:
                self._due.extend(self._waiting.pop(fullname, ()))
            if self._thread.depth:
                return
            due, self._due = self._due, []
        for call in due:
            call()


class _Loader(Loader):
    """The loader of a watched module until it runs; the module itself only ever sees its own loader."""

    def __init__(self, loader: Loader, fullname: str, watch: ImportWatch) -> None:
        self._loader = loader
        self._fullname = fullname
        self._watch = watch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)  # for those who ask a spec's loader for more, as `pkgutil` does

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        module.__loader__ = self._loader
        self._watch.begun()
        imported = False
        try:
            self._loader.exec_module(module)
            imported = True
        finally:
            self._watch.ended(self._fullname, imported=imported)
