"""`import clew.auto`: sets clew up from the environment, once, as `clew.init()` does.

Put it first among the imports: libraries imported before it are recorded too, but not what they did until then. The
programme runs on whatever happens here: what goes wrong is logged.
"""

from clew import _guard
from clew._setup import init

try:
    init()
except Exception as error:
    _guard.failed("setting itself up", error)
