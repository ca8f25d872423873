"""Options from the command line: what is wrong with a value is said in one line."""

from __future__ import annotations

import contextlib
import io
import itertools
import re
import sys
from collections.abc import Sequence
from typing import Any, TypeVar

import tyro

from bagreid.contracts import BagreidError

_Options = TypeVar("_Options")
_FRAME = re.compile(r"[╭╮╰╯│─]+|-{3,}")
"""The lines of tyro's boxes, which are of hyphens where the terminal knows no others."""
_WHAT_FAILED = re.compile(r"^Error parsing (?:[a-zA-Z][\w.]*: )?")
"""How a box begins; the name of an option stays, that of one of our classes or fields goes."""


def parse_options(
    form: type[_Options], argv: Sequence[str], *, prog: str, description: str, **settings: Any
) -> _Options:
    """Parses a verb's options.

    Args:
        form: The dataclass of the options.
        argv: The arguments behind the verb.
        prog: How the program is called in messages.
        description: What the verb does.
        **settings: Passed on to tyro.

    Returns:
        The options.

    Raises:
        BagreidError: A value is refused.
        SystemExit: An option is unknown (the nearest match is shown), or help was asked for.
    """
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            options: _Options = tyro.cli(
                form, prog=prog, description=description, args=list(argv), **settings
            )
    except ValueError as error:  # tyro lets pass what the form's own check raises
        raise BagreidError(str(error), remedy=f"See '{prog} --help'") from error
    except SystemExit:
        refused = _refused_value(said.getvalue())
        if refused is not None:
            raise BagreidError(refused, remedy=f"See '{prog} --help'") from None
        sys.stderr.write(said.getvalue())
        raise
    sys.stderr.write(said.getvalue())
    return options


def _refused_value(box: str) -> str | None:
    """The sentence in tyro's box about a refused value; None for its other boxes."""
    rows = [_FRAME.sub(" ", row).strip() for row in box.splitlines()]
    if not rows or rows[0] != "Value error":
        return None
    # the sentence stands between the title, with or without a line below it, and the next line
    said = itertools.dropwhile(lambda row: not row, rows[1:])
    sentence = " ".join(itertools.takewhile(bool, said))
    return _WHAT_FAILED.sub("", sentence)
