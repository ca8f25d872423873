"""What lies in a remote folder, and in those folders of it that belong to a released layout."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import unquote

from bagreid.catalog.layouts.levels import LEVELS
from bagreid.contracts import BagreidError
from bagreid.shards.pointer import without_secrets
from bagreid.shards.ranges import RefusedError, said

_INSIDE = LEVELS | {"train", "test", "meta"}
"""Folders looked into; those of extracted images, 28,310 of them, are not."""

_DEPTH = 4
_TAGS = ("ETag", "etag", "LastModified", "Last-Modified", "mtime", "created")

_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file as its server lists it.

    Attributes:
        name: Where it lies below the archive, with `/` between the parts.
        path: What its file system calls it.
        url: Its whole URL.
    """

    name: str
    path: str
    url: str


class RemoteFolder:
    """An archive's folder behind fsspec.

    Args:
        url: Its URL, of any scheme that fsspec knows.

    Raises:
        BagreidError: If the scheme is unknown or its package is not installed.
    """

    def __init__(self, url: str) -> None:
        import fsspec  # type: ignore[import-untyped]  # slow to import

        self.url = url
        self.name = without_secrets(url)
        self.web = url.lower().startswith(("http://", "https://"))
        try:
            self.system, self.path = fsspec.core.url_to_fs(url, skip_instance_cache=True)
        except ImportError as error:
            package = "bagreid[remote]" if self.web else "that package"
            raise BagreidError(
                f"{self.name} needs a package that is not installed ({error})",
                remedy=f"Install {package}",
            ) from error
        except Exception as error:  # every file system has errors of its own
            raise BagreidError(f"{self.name} cannot be opened ({said(error)})") from error

    def files(self) -> list[RemoteFile]:
        """Files of the archive's folder and of its folders of tars and lists, by name.

        Returns:
            The files.

        Raises:
            BagreidError: If the server does not list what it has.
        """
        found: list[RemoteFile] = []
        folders = [(self.path, "", 0)]
        for path, name, depth in folders:  # grows while it is walked through
            for entry in self._list(path, first=not depth):
                part = self._part(entry["name"], path)
                if part is None:
                    continue
                inside = part.lower() in _INSIDE
                if inside and (entry["type"] == "directory" or self.web):
                    if depth < _DEPTH:
                        folders.append((entry["name"].rstrip("/"), f"{name}{part}/", depth + 1))
                elif entry["type"] != "directory":
                    url = entry["name"] if self.web else self.system.unstrip_protocol(entry["name"])
                    found.append(RemoteFile(f"{name}{part}", entry["name"], url))
        return sorted(set(found), key=lambda file: file.name)

    def state(self, file: RemoteFile) -> tuple[int | None, str]:
        """What changes whenever a file does.

        Args:
            file: Which.

        Returns:
            Its size and its ETag or time of change, as far as the server tells them.
        """
        info = self.ask(file.name, lambda: self.system.info(file.path))
        told = (info.get(key) for key in _TAGS)
        return info.get("size"), str(next((value for value in told if value), ""))

    def ask(self, name: str, question: Callable[[], _Answer]) -> _Answer:
        """Asks the file system something.

        Args:
            name: What it is about.
            question: Asks it.

        Returns:
            Its answer.

        Raises:
            BagreidError: If there is none.
        """
        try:
            return question()
        except (BagreidError, RefusedError):
            raise
        except Exception as error:  # every file system has errors of its own
            what = said(error).replace(self.url, self.name)
            raise BagreidError(
                f"{self.name}/{name}: cannot be fetched ({what})",
                remedy="See that the server can be reached, then run the command again",
            ) from error

    def _list(self, path: str, *, first: bool) -> list[dict[str, Any]]:
        # Web servers list a folder under its name with a slash only, or send one there.
        asked = f"{path.rstrip('/')}/" if self.web else path
        try:
            entries: list[dict[str, Any]] = self.system.ls(asked, detail=True)
            why = "it shows no links to files"
        except Exception as error:  # every file system has errors of its own
            entries, why = [], said(error).replace(self.url, self.name)
        if first and not entries:
            raise BagreidError(
                f"{self.name}: the server does not list what lies there ({why})",
                remedy="Make a folder with the lists and, for each tar, a file that holds its URL "
                "in one line, such as train/sysu_train_set_all_part1.tar.url, and name that folder",
            )
        return entries

    def _part(self, name: str, folder: str) -> str | None:
        """The last part of a name, if it lies in the folder and can be a file's name here."""
        before, _, part = name.rstrip("/").rpartition("/")
        if before.rstrip("/") != folder.rstrip("/") or (self.web and set(part) & set("?#")):
            return None
        part = unquote(part) if self.web else part
        return None if part in {"", ".", ".."} or set(part) & set("/\\\0") else part
