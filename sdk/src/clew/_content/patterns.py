"""Own patterns of what is replaced: regular expressions that cannot be slow, whatever the text.

Python's engine tries every way in which a pattern can match, at every character of a text. Two things keep that linear
in the text, and are read off the parsed pattern here: the pattern can match in few ways (`MAX_WAYS`), each of bounded
length (`MAX_WIDTH`), so that the work at one character is bounded; and a repetition without an end is allowed only as
the very last thing, where what it reads is what it replaces and never read again. What is refused is told with what to
write instead. docs/decisions/0013 says why not another engine.
"""

from __future__ import annotations

import re
import re._constants as sre  # type: ignore[import-not-found]
import re._parser as sre_parser  # type: ignore[import-not-found]
from typing import TYPE_CHECKING, Any

from clew._content.secrets import Rule

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MAX_WAYS = 256
"""In how many ways a pattern may match from one character on: the most steps that are tried in vain there."""
MAX_WIDTH = 2000
"""Characters that a pattern may read from one character on, the repetition at its end aside."""

_ONE_CHARACTER = (sre.LITERAL, sre.NOT_LITERAL, sre.ANY, sre.IN, sre.RANGE, sre.CATEGORY)
_REPEATS = (sre.MAX_REPEAT, sre.MIN_REPEAT, sre.POSSESSIVE_REPEAT)
_AHEAD = (sre.ASSERT, sre.ASSERT_NOT)


class PatternError(ValueError):
    """A pattern is refused; the message says why, and what to write instead."""


def own_rule(name: str, pattern: str) -> Rule:
    """The pattern as a rule of redaction.

    Raises:
        PatternError: It is no regular expression, matches nothing at all, or could be slow.
    """
    try:
        compiled = re.compile(pattern)
        tree = sre_parser.parse(pattern, compiled.flags & ~re.UNICODE)
    except (re.error, RecursionError, OverflowError) as error:
        raise PatternError(f"it is no regular expression of Python's `re` ({error})") from error
    if tree.getwidth()[0] == 0:
        raise PatternError("it matches where there is nothing; let it match one character at least")
    ways = _ways(list(tree), is_last=True)
    if ways > MAX_WAYS:
        raise PatternError(
            f"it can match in {ways:,} ways from one character on, allowed are {MAX_WAYS}: give its repetitions "
            "smaller bounds, or make them possessive (`{1,64}+`)"
        )
    if _width(list(tree), is_last=True) > MAX_WIDTH:
        raise PatternError(f"it can be longer than {MAX_WIDTH} characters: give its repetitions smaller bounds")
    literal = "" if compiled.flags & re.IGNORECASE else _needed(tree)
    return Rule(
        name, compiled, hints=(literal.lower(),) if literal else (), probe=None if literal else compiled, whole=True
    )


def _ways(parts: Sequence[tuple[Any, Any]], *, is_last: bool, ahead: bool = False) -> int:
    """In how many ways a sequence can match from one place on, at most."""
    ways = 1
    for number, (operation, argument) in enumerate(parts):
        last = is_last and number == len(parts) - 1
        ways *= min(_ways_of(operation, argument, is_last=last, ahead=ahead), 10**9)
    return ways


def _ways_of(operation: Any, argument: Any, *, is_last: bool, ahead: bool) -> int:
    if operation in _ONE_CHARACTER or operation is sre.AT:
        return 1
    if operation is sre.BRANCH:
        return sum(_ways(branch, is_last=is_last, ahead=ahead) for branch in argument[1])
    if operation is sre.SUBPATTERN:
        return _ways(argument[3], is_last=is_last, ahead=ahead)
    if operation is sre.ATOMIC_GROUP:
        return _ways(argument, is_last=is_last, ahead=ahead)
    if operation in _AHEAD:
        return _ways(argument[1], is_last=False, ahead=True)
    if operation in _REPEATS:
        least, most, body = argument
        inner = _ways(body, is_last=False, ahead=ahead)
        if most is sre.MAXREPEAT:
            if not is_last or ahead or operation is sre.MIN_REPEAT:
                raise PatternError(
                    "it repeats something without an end, which may only stand at its very end: write `{1,64}` for `+` "
                    "and `{0,64}` for `*`"
                )
            return int(inner ** min(least + 1, 32)) if inner > 1 else 1
        if operation is sre.POSSESSIVE_REPEAT and inner == 1:
            return 1
        if inner == 1:
            return int(most) - int(least) + 1
        return int(inner ** min(most, 32)) * (int(most) - int(least) + 1)
    raise PatternError(f"{str(operation).lower()} is not supported (a group referred to, or a condition)")


def _width(parts: Iterable[tuple[Any, Any]], *, is_last: bool) -> int:
    """Characters that a sequence can read, looking ahead and behind included."""
    width = 0
    items = list(parts)
    for number, (operation, argument) in enumerate(items):
        last = is_last and number == len(items) - 1
        if operation in _ONE_CHARACTER:
            width += 1
        elif operation is sre.BRANCH:
            width += max(_width(branch, is_last=last) for branch in argument[1])
        elif operation is sre.SUBPATTERN:
            width += _width(argument[3], is_last=last)
        elif operation is sre.ATOMIC_GROUP:
            width += _width(argument, is_last=last)
        elif operation in _AHEAD:
            width += _width(argument[1], is_last=False)
        elif operation in _REPEATS:
            least, most, body = argument
            width += _width(body, is_last=False) * int(least if most is sre.MAXREPEAT else most)
    return width


def _needed(parts: Iterable[tuple[Any, Any]]) -> str:
    """The longest text that every match has in it; a text without it need not be searched."""
    longest = run = ""
    for operation, argument in parts:
        if operation is sre.LITERAL:
            run += chr(argument)
            longest = max(longest, run, key=len)
        elif operation not in (sre.AT, *_AHEAD):
            run = ""
    return longest
