"""Quarantine: the images of an archive known to be broken, found once and left out by every run.

The list is a file of JSON lines, ``quarantine.jsonl`` in the archive's cache folder beside its
catalogs, where it outlives them (the archive itself is only ever read). A line is one image::

    {"image":"sysu_train_set_all/0000000003/0000000003_c1_7.jpg","size":5120,"crc32":3735928559,
     "reason":"the JPEG is cut","found_by":"train","when":"2026-11-22T18:39:11+00:00","offset":1536}

* ``image``: its path as the list files spell it.
* ``size`` and ``crc32`` of its bytes (in bytes; as `zlib.crc32` gives it). Where the archive holds
  other bytes by now, or none, the line is stale: it is passed over, and counted.
* ``reason``: what was wrong with it.
* ``found_by`` and ``when``: the verb that found it (``verify``, ``train``, ``extract`` …), and the
  time (UTC).
* ``offset``: first byte of the image in its tar; only a help to find it fast, it may be left out or
  null.

The file is yours to read and to edit: delete a line and its image is used again, delete the file
and nothing is quarantined. A ``found_by`` that is no verb of bagreid marks a line as your own:
`replace` keeps it though the image decodes. Several processes may add at once: each takes a lock
(``quarantine.jsonl.lock``), merges, and writes beside before it renames, so that a reader, or
whoever comes after a kill, finds the old list or the new one.
"""

from bagreid.catalog.quarantine.entries import FINDERS, QuarantineEntry
from bagreid.catalog.quarantine.store import (
    FILE,
    Quarantine,
    add,
    chosen_path,
    load,
    quarantine_path,
    replace,
)

__all__ = [
    "FILE",
    "FINDERS",
    "Quarantine",
    "QuarantineEntry",
    "add",
    "chosen_path",
    "load",
    "quarantine_path",
    "replace",
]
