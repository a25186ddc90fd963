"""What stages remember, as parts of a file and back."""

from __future__ import annotations

import io
import pickle
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

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
LEAST_BYTES = 4096
"""Of an array that is a part of its own."""


def packed(state: object) -> list[bytes | memoryview]:
    """The state in parts: a pickle, and the memory of its larger arrays, not copied, so not to be changed meanwhile.

    Other threads run in between: it may be large.
    """
    out = _Yielding()
    arrays: list[memoryview] = []

    def is_small(buffer: pickle.PickleBuffer) -> bool:
        memory = buffer.raw()
        if memory.nbytes < LEAST_BYTES:
            return True
        arrays.append(memory)
        return False

    pickle.Pickler(out, protocol=5, buffer_callback=is_small).dump(state)
    return [out.getvalue(), *arrays]


def unpacked(parts: Sequence[bytes | memoryview]) -> Any:
    """What `packed` was given, in memory of its own: one part more or less must not keep a whole file in memory.

    Raises:
        ValueError: the parts are not of this version's state. They come from the data directory, with a checksum; still
            only classes that state is made of are made.
    """
    try:
        return _Unpickler(io.BytesIO(parts[0]), buffers=map(bytearray, parts[1:])).load()
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
