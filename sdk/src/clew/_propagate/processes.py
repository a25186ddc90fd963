"""Child processes join the run: `subprocess` through their environment, `multiprocessing` with what it sends anyway.

This process's own environment is never changed: what another thread starts at the same time would get it as well, and
so would everything that is started when the run is over. See decision 0016.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from opentelemetry.context import Context, attach, detach

from clew import _guard
from clew._propagate import carrier as _carrier
from clew._propagate.patches import patch
from clew._propagate.threads import in_context, is_in_a_run

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.process import BaseProcess

_VARIABLES = ("TRACEPARENT", "TRACESTATE", "BAGGAGE")
"""What W3C's headers are called in an environment (OpenTelemetry, "Environment variables as context carriers")."""
_POPEN_ENV = 10
"""Place of `env` among the arguments of `subprocess.Popen`."""
_HANDOVER = "_clew_handover"
_POOLS = ("concurrent.futures.process", "multiprocessing.pool")


def hook_subprocess() -> None:
    """Has `subprocess.Popen` add the run to the environment of what it starts; asyncio's subprocesses use it too."""
    import subprocess

    patch(subprocess.Popen, "__init__", _popen)


def hook_multiprocessing() -> None:
    """Has processes join the run they are started in."""
    from multiprocessing.process import BaseProcess

    patch(BaseProcess, "start", _start)
    patch(BaseProcess, "_bootstrap", _bootstrap)  # `run` is what users override


def hook_process_pools() -> None:
    """Has `ProcessPoolExecutor.submit` hand the caller's run to the worker with each call."""
    from concurrent.futures import ProcessPoolExecutor

    patch(ProcessPoolExecutor, "submit", _first_argument)


def hook_pools() -> None:
    """Has `multiprocessing.Pool` hand the caller's run to the worker with each call."""
    from multiprocessing.pool import Pool

    for method in ("apply_async", "_map_async", "imap", "imap_unordered"):  # all others use one of these
        patch(Pool, method, _first_argument)


def join_from_environment() -> None:
    """Joins the run this process was started in, if it was: its spans belong to that run, unless they know better."""
    from opentelemetry.trace import get_current_span

    handed = {name.lower(): os.environ.get(name) for name in _VARIABLES}
    if not any(handed.values()) or get_current_span().get_span_context().is_valid:
        return
    context = _carrier.incoming(handed)
    attach(context)  # for good: it holds for the whole process
    parent = get_current_span(context).get_span_context()
    if parent.is_valid and not parent.trace_flags.sampled:
        _guard.warn_once(
            "TRACEPARENT",
            "TRACEPARENT=%s says that the run this process was started in is not sampled: it is not recorded either. "
            "Unset it to record this process on its own.",
            handed["traceparent"],
        )


def _popen(init: Callable[..., None]) -> Callable[..., None]:
    def init_in_run(self: Any, *args: Any, **kwargs: Any) -> None:
        try:
            carrier = _carrier.outgoing()
            if carrier:
                args, kwargs = _with_environment(args, kwargs, carrier)
        except Exception as error:
            _guard.failed("handing a run on to a process", error)
        init(self, *args, **kwargs)

    return init_in_run


def _with_environment(
    args: tuple[Any, ...], kwargs: dict[str, Any], carrier: dict[str, str]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    by_place = len(args) > _POPEN_ENV
    given = args[_POPEN_ENV] if by_place else kwargs.get("env")
    if given is not None:
        theirs = given.get("TRACEPARENT")
        if theirs is not None and theirs != os.environ.get("TRACEPARENT"):  # said for this process, even if empty
            return args, kwargs
    env = {name: value for name, value in (os.environ if given is None else given).items() if name not in _VARIABLES}
    env |= {name.upper(): value for name, value in carrier.items()}
    if by_place:
        return (*args[:_POPEN_ENV], env, *args[_POPEN_ENV + 1 :]), kwargs
    return args, kwargs | {"env": env}


class _Handover:
    """What goes along with a process that `multiprocessing` starts; reading it there sets clew up as here.

    A process that is spawned imports the programme's main module, where clew is often set up only below
    `if __name__ == "__main__"`.
    """

    def __init__(self, carrier: dict[str, str], settings: Any) -> None:
        self.carrier = carrier
        self.settings = settings

    def __reduce__(self) -> tuple[Any, ...]:
        return _received, (self.carrier, self.settings)


def _received(carrier: dict[str, str], settings: Any) -> _Handover:
    try:
        from clew import _runtime

        _runtime.start_as(settings)
    except Exception as error:
        _guard.failed("setting itself up in a process", error)
    return _Handover(carrier, settings)


def _start(start: Callable[[BaseProcess], None]) -> Callable[[BaseProcess], None]:
    def start_in_run(self: BaseProcess) -> None:
        try:
            from clew import _runtime

            # A worker of a pool is started by whoever comes first, and works for all.
            serves_everybody = getattr(getattr(self, "_target", None), "__module__", None) in _POOLS
            carrier = {} if serves_everybody else _carrier.outgoing()
            self.__dict__[_HANDOVER] = _Handover(carrier, _runtime.settings_in_force())
        except Exception as error:
            _guard.failed("handing a run on to a process", error)
        try:
            start(self)
        finally:
            self.__dict__.pop(_HANDOVER, None)

    return start_in_run


def _bootstrap(bootstrap: Callable[..., int]) -> Callable[..., int]:
    def bootstrap_in_run(self: BaseProcess, *args: Any, **kwargs: Any) -> int:
        try:
            handover = self.__dict__.pop(_HANDOVER, None)
            if handover is not None:  # a fork has its parent's context, with spans that end there
                attach(_carrier.incoming(handover.carrier, Context()))
        except Exception as error:
            _guard.failed("joining the run that was handed over", error)
        return bootstrap(self, *args, **kwargs)

    return bootstrap_in_run


class _Call:
    """A function with the run its call belongs to, on its way to a worker process."""

    def __init__(self, function: Callable[..., Any], carrier: dict[str, str]) -> None:
        self._function = function
        self._carrier = carrier

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        token = attach(_carrier.incoming(self._carrier, Context()))
        try:
            return self._function(*args, **kwargs)
        finally:
            detach(token)


def _first_argument(submit: Callable[..., Any]) -> Callable[..., Any]:
    def submit_in_run(self: Any, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        return submit(self, _handed_on(self, function), *args, **kwargs)

    return submit_in_run


def _handed_on(pool: Any, function: Callable[..., Any]) -> Callable[..., Any]:
    from opentelemetry.context import get_current

    try:
        if not is_in_a_run(get_current()):
            return function
        if _is_of_threads(pool):
            return in_context(function, get_current())
        return _Call(function, _carrier.outgoing())
    except Exception as error:
        _guard.failed("handing a run on to a process", error)
        return function


def _is_of_threads(pool: Any) -> bool:
    return any(kind.__name__ == "ThreadPool" for kind in type(pool).__mro__)
