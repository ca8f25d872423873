"""Two machines on one: network namespaces, joined by a cable that can be cut.

A namespace has its own interfaces, addresses and host name, and nothing but the cable leads to the
other one. Disks are shared, as a cluster's work dir is.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path


def why_no_nodes() -> str | None:
    """Why namespaces cannot be made here; None where they can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if shutil.which("ip") is None or shutil.which("unshare") is None:
        return "network namespaces need ip (iproute2) and unshare (util-linux)"
    name = f"bagreid-probe-{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", name], check=False, capture_output=True, text=True)
    if made.returncode:
        return f"network namespaces cannot be made here: {made.stderr.strip()}"
    _ip("netns", "del", name)
    return None


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@dataclass
class Node:
    """One machine.

    Attributes:
        name: Its host name, and that of its namespace.
        interface: Its end of the cable.
        address: Its address there.
        processes: What was started on it.
    """

    name: str
    interface: str
    address: str
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(
        self, command: Sequence[str], environment: Mapping[str, str], said: Path
    ) -> subprocess.Popen[bytes]:
        """Starts a command on this machine; what it says is added to a file."""
        inside = ["unshare", "--uts", "sh", "-c", f'hostname {self.name} && exec "$@"', "node"]
        with said.open("ab") as file:
            process = subprocess.Popen(
                ["ip", "netns", "exec", self.name, *inside, *command],
                env={**environment, "GLOO_SOCKET_IFNAME": self.interface},
                stdout=file, stderr=file, start_new_session=True,
            )  # fmt: skip
        self.processes.append(process)
        return process

    def pids(self) -> list[int]:
        """All processes on this machine."""
        listed = subprocess.run(
            ["ip", "netns", "pids", self.name], check=False, capture_output=True, text=True
        )
        return [int(pid) for pid in listed.stdout.split()]

    def plug(self, *, up: bool) -> None:
        """Cuts or mends the cable."""
        _ip("-n", self.name, "link", "set", self.interface, "up" if up else "down")

    def power_off(self) -> None:
        """Ends every process without a word; the other machine gets no packet of it."""
        with suppress(subprocess.CalledProcessError):
            self.plug(up=False)
        while pids := self.pids():
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, 9)
            time.sleep(0.05)
        for process in self.processes:
            process.wait()
        self.processes.clear()


@contextmanager
def two_nodes() -> Iterator[tuple[Node, Node]]:
    """Makes two machines and the cable between them; takes all down at the end.

    Yields:
        The machines. They know each other by name.
    """
    mark = os.getpid() % 10_000
    nodes = tuple(
        Node(f"bagreid{mark}-{number}", f"cable{mark}-{number}", f"10.87.{mark % 250}.{number + 1}")
        for number in range(2)
    )
    one, two = nodes
    hosts = "".join(f"{each.address} {each.name}\n" for each in nodes)
    try:
        for node in nodes:
            _ip("netns", "add", node.name)
            folder = Path("/etc/netns", node.name)
            folder.mkdir(parents=True)
            (folder / "hosts").write_text(f"127.0.0.1 localhost\n{hosts}")
        _ip("-n", one.name, "link", "add", one.interface, "type", "veth",
            "peer", "name", two.interface, "netns", two.name)  # fmt: skip
        for node in nodes:
            _ip("-n", node.name, "addr", "add", f"{node.address}/24", "dev", node.interface)
            _ip("-n", node.name, "link", "set", "lo", "up")
            node.plug(up=True)
        yield one, two
    finally:
        for node in nodes:
            node.power_off()
            subprocess.run(["ip", "netns", "del", node.name], check=False, capture_output=True)
            shutil.rmtree(Path("/etc/netns", node.name), ignore_errors=True)
