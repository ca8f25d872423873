"""Identities and cameras out of file names.

Five data sets' spellings are known by name; any other is told by a regular expression.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from bagreid.contracts import DISTRACTOR_PID, BagreidError, printable
from bagreid.evaluation.inputs.columns import Column, Side


@dataclass(frozen=True, slots=True)
class NamePattern:
    """How a file name tells who was seen by which camera.

    Attributes:
        title: What the pattern is called.
        regex: With the groups ``pid`` and ``camid``.
        distractor: What identities of nobody asked for look like; None where there are none.
        whole: Search the whole path rather than match the beginning of the file's own name.
    """

    title: str
    regex: re.Pattern[str]
    distractor: re.Pattern[str] | None = None
    whole: bool = False


_PID_C_CAMID = re.compile(r"(?P<pid>-?[0-9]+|0+others)_c(?P<camid>[0-9]+)", re.ASCII)
_MSMT17 = re.compile(r"(?P<pid>[0-9]+)_[0-9]+_(?P<camid>[0-9]+)_", re.ASCII)
_ZEROS = re.compile("0+(others)?")
_OTHERS = re.compile("0+others")

PATTERNS = {
    "market1501": NamePattern("market1501", _PID_C_CAMID, _ZEROS),
    "dukemtmc": NamePattern("dukemtmc", _PID_C_CAMID, _OTHERS),
    "cuhk03-np": NamePattern("cuhk03-np", _PID_C_CAMID, _OTHERS),
    "sysu30k": NamePattern("sysu30k", _PID_C_CAMID, _OTHERS),
    "msmt17": NamePattern("msmt17", _MSMT17),
}
"""By the data set's name. ``0000`` is a distractor in Market-1501 only, and in MSMT17 somebody;
SYSU-30k's distractors are ``0000others``."""

DEFAULT = PATTERNS["market1501"]
"""Reads Market-1501, DukeMTMC, CUHK03-np and SYSU-30k alike:
the last three have no image of an identity 0."""


def pattern_of(text: str | None) -> NamePattern:
    r"""The pattern that is asked for.

    Args:
        text: The name of a data set, or a regular expression with the groups ``pid`` and
            ``camid``; None takes the default, ``PID_cCAMERA…``.

    Returns:
        The pattern.

    Raises:
        BagreidError: When it is neither.

    Example:
        >>> pattern_of(r"cam(?P<camid>\d+)/(?P<pid>\w+?)-").title
        'cam(?P<camid>\\d+)/(?P<pid>\\w+?)-'
    """
    if text is None:
        return DEFAULT
    if text in PATTERNS:
        return PATTERNS[text]
    try:
        regex = re.compile(text)
    except (re.error, RecursionError, OverflowError) as error:
        raise BagreidError(
            f"the name pattern {text!r} is no regular expression ({error})",
            remedy=f"Give one, or one of {', '.join(PATTERNS)}",
        ) from error
    lacking = [group for group in ("pid", "camid") if group not in regex.groupindex]
    if lacking:
        raise BagreidError(
            f"the name pattern {text!r} has no group {' and no group '.join(lacking)}",
            remedy=f"Mark them with (?P<pid>…) and (?P<camid>…), or give one of "
            f"{', '.join(PATTERNS)}",
        )
    return NamePattern(text, regex, whole=True)


def read_names(names: Column, pattern: NamePattern, side: Side) -> tuple[Column, Column]:
    """Reads the identity and the camera out of every name.

    Args:
        names: The names; of paths, `NamePattern.whole` decides what is looked at.
        pattern: How they are spelled.
        side: Whose names they are: no query can be a distractor.

    Returns:
        Identities and cameras, as text; a distractor is spelled −1000.

    Raises:
        BagreidError: When a name does not fit, or a query's identity is a distractor's.
    """
    pids: list[str] = []
    camids: list[str] = []
    unfit: list[int] = []
    for row, name in enumerate(names.values):
        text = str(name)
        base = text.replace("\\", "/").rpartition("/")[2]
        found = pattern.regex.search(text) if pattern.whole else pattern.regex.match(base)
        if found is None or found["pid"] is None or found["camid"] is None:
            unfit.append(row)
            continue
        pid = found["pid"]
        if pattern.distractor is not None and pattern.distractor.fullmatch(pid):
            if side == "query":
                raise _distracting(names, row, pattern)
            pid = str(DISTRACTOR_PID)
        pids.append(pid)
        camids.append(found["camid"])
    if unfit:
        raise _unfit(names, unfit, pattern)
    return replace(names, values=tuple(pids)), replace(names, values=tuple(camids))


def _distracting(names: Column, row: int, pattern: NamePattern) -> BagreidError:
    return BagreidError(
        f"the query {printable(str(names.values[row]))} would be a distractor, which nobody can "
        "search for",
        path=names.path,
        position=names.place(row),
        remedy=f"Pattern {pattern.title} takes identity 0 for distractors; where 0 is a person, "
        "use --name-pattern dukemtmc or msmt17, or a regular expression",
    )


def _unfit(names: Column, rows: list[int], pattern: NamePattern) -> BagreidError:
    shown = ", ".join(printable(str(names.values[row])) for row in rows[:3])
    return BagreidError(
        f"{len(rows):,} of {len(names):,} names do not fit the pattern {pattern.title}: {shown}"
        + (", …" if len(rows) > 3 else ""),
        path=names.path,
        position=names.place(rows[0]),
        remedy=f"Give --name-pattern: {', '.join(PATTERNS)}, or a regular expression with the "
        "groups pid and camid",
    )
