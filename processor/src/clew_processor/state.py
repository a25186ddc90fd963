"""What stages remember, as bytes and back."""

from __future__ import annotations

import io
import pickle
import time
from typing import Any

_PACKAGES = frozenset({"clew_processor", "numpy", "pyarrow"})
"""Classes of these are made when state is read."""
_BUILTINS = frozenset(
    {
        ("collections", "deque"),
        ("collections", "defaultdict"),
        ("collections", "OrderedDict"),
        ("builtins", "set"),
        ("builtins", "frozenset"),
        ("builtins", "slice"),
        ("builtins", "bytearray"),
        ("builtins", "complex"),
        ("builtins", "range"),
        ("_codecs", "encode"),
        ("copyreg", "__newobj__"),
    }
)


def packed(state: object) -> bytes:
    """The state as bytes. Other threads run in between: it may be large."""
    out = _Yielding()
    pickle.Pickler(out, protocol=5).dump(state)
    return out.getvalue()


def unpacked(data: bytes) -> Any:
    """What `packed` was given.

    Raises:
        ValueError: the bytes are not of this version's state. They come from the data directory, with a checksum; still
            only classes that state is made of are made.
    """
    try:
        return _Unpickler(io.BytesIO(data)).load()
    except Exception as error:
        raise ValueError(f"it is not readable by this version: {error!r}") from error


class _Yielding(io.BytesIO):
    def write(self, data: Any, /) -> int:
        time.sleep(0)
        return super().write(data)


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str, /) -> Any:
        """The class, if state may be made of it."""
        if (module, name) in _BUILTINS or module.partition(".")[0] in _PACKAGES:
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"{module}.{name} is not a part of state")
