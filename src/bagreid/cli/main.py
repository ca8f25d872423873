"""``bagreid VERB …``: finds the verb, runs it, turns a typed error into a line and exit code 2."""

from __future__ import annotations

import difflib
import importlib
import sys
from collections.abc import Sequence

from bagreid import __version__
from bagreid.contracts import BagreidError

VERBS: dict[str, str] = {
    "demo": "train from bags, evaluate, compare and report, all in one go",
    "synth": "make a synthetic archive in the released layout",
    "catalog": "index an archive in place and print what it holds",
    "verify": "check that an archive is whole and agrees with itself",
    "stats": "count an archive and write its figures, tables and a page",
    "shrink": "write an archive again with smaller images, tar to tar",
    "train": "train a network from a configuration file",
    "runs": "list the runs of a folder, and how to go on with those that stopped",
    "extract": "write the features of an archive's test images",
    "evaluate": "rank the gallery for every query and print rank-k and mAP",
    "compare": "test methods on the same queries, and draw their curves",
    "report": "write one self-contained HTML page about a run",
}
"""Every verb, in the order a newcomer meets them, with its line in ``bagreid --help``."""


def usage() -> str:
    """The text of ``bagreid --help``."""
    width = max(map(len, VERBS))
    lines = [f"  {verb:<{width}}  {line}" for verb, line in VERBS.items()]
    return "\n".join(
        [
            "usage: bagreid VERB [options]",
            "",
            "Person re-identification learned from bag labels alone.",
            "",
            *lines,
            "",
            "'bagreid VERB --help' explains a verb; 'bagreid demo' shows the whole in minutes.",
        ]
    )


def main(argv: Sequence[str]) -> int:
    """Runs one verb.

    Args:
        argv: The arguments behind the program's name.

    Returns:
        The exit code: 0 done, 2 bad usage or bad input, 3 stopped and resumable, 130 interrupted.
    """
    if not argv or argv[0] in {"-h", "--help", "help"}:
        print(usage())
        return 0 if argv else 2
    if argv[0] in {"-V", "--version"}:
        print(f"bagreid {__version__}")
        return 0
    verb = argv[0]
    if verb not in VERBS:
        near = difflib.get_close_matches(verb, VERBS, n=1)
        hint = f"Did you mean '{near[0]}'?" if near else f"The verbs are {', '.join(VERBS)}."
        print(f"bagreid: there is no verb '{verb}'. {hint}", file=sys.stderr)
        return 2
    module = importlib.import_module(f"bagreid.cli.{verb}")
    try:
        code: int = module.main(argv[1:], prog=f"bagreid {verb}")
    except BagreidError as error:
        print(f"bagreid {verb}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"bagreid {verb}: interrupted", file=sys.stderr)
        return 130
    return code


def entry_point() -> None:
    """The console script."""
    sys.exit(main(sys.argv[1:]))


if __name__ == "__main__":
    entry_point()
