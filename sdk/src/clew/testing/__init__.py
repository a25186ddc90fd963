"""Tests of agents: spans recorded in memory with fixed ids and a clock that stands still, and asserted as trees.

```python
from clew.testing import record

with record() as spans:
    run("Where is order A-1042?")
spans.assert_tree('''
    invoke_agent support-desk
      step plan [decide look_up_order]
      execute_tool look_up_order
''')
```

With pytest, the fixture `clew_spans` is such a recording of the test. Nothing is sent anywhere, no processor is needed,
and nothing stays behind. Needs no pytest, and nothing else clew does not need itself.
"""

from clew.testing._clock import Clock
from clew.testing._record import record
from clew.testing._recording import Recording

__all__ = ["Clock", "Recording", "record"]
