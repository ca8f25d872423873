"""Files larger than the memory that is allowed are ranked all the same."""

import io
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

ROWS, DIM = 24_000, 512
"""98 MB of float64."""

ALLOWED = 64 * 2**20
"""Bytes of memory of its own that reading and ranking may take beside the loaded libraries."""

PROGRAM = """
import resource, sys
import numpy as np, pyarrow.parquet, torch
from pathlib import Path
from bagreid.evaluation import evaluate_features, load_features
from bagreid.evaluation.inputs import copies
torch.set_num_threads(1)
copies.IN_MEMORY = 2**20
warm = torch.ones(64, 64) @ torch.ones(64, 64)
status = Path("/proc/self/status").read_text().split()
own = int(status[status.index("VmData:") + 1]) * 1024
resource.setrlimit(resource.RLIMIT_DATA, (own + int(sys.argv[1]),) * 2)
for path in map(Path, sys.argv[3:]):
    loaded = load_features(path, cache=Path(sys.argv[2]))
    result = evaluate_features(*loaded, method="mine").result
    print(path.name, result.counts.gallery, result.first_match_rank.tolist())
    del loaded, result
try:
    np.ones(int(sys.argv[1]) // 8 + 2**20)
except MemoryError:
    print("limited")
"""


def sides() -> dict[str, dict[str, Any]]:
    rng = np.random.Generator(np.random.Philox(key=0))
    gallery = rng.integers(-8, 9, (ROWS, DIM)).astype(np.float64)
    query = gallery[:4] + 0.1
    return {
        "query": {"feature": query, "pid": np.arange(4), "camid": np.ones(4, int)},
        "gallery": {"feature": gallery, "pid": np.arange(ROWS), "camid": np.full(ROWS, 2)},
    }


def write_zip(path: Path, compression: int) -> Path:
    """Level 1 suffices here and takes a third of the time."""
    with zipfile.ZipFile(path, "w", compression, compresslevel=1) as zipped:
        for side, columns in sides().items():
            for key, values in columns.items():
                buffer = io.BytesIO()
                np.save(buffer, values)
                zipped.writestr(f"{side}_{key}.npy", buffer.getbuffer())
    return path


def write_folder(folder: Path, kind: str) -> Path:
    folder.mkdir()
    for side, columns in sides().items():
        feature = columns.pop("feature")
        if kind == "parquet":
            rows = pa.FixedSizeListArray.from_arrays(pa.array(feature.ravel()), DIM)
            sheet = pa.table({"feature": rows, **columns})
            pq.write_table(sheet, folder / f"{side}.parquet", row_group_size=ROWS)
            continue
        order = np.asfortranarray if kind == "fortran" else np.ascontiguousarray
        np.save(folder / f"{side}.npy", order(feature))
        for key, values in columns.items():
            np.save(folder / f"{side}_{key}.npy", values)
    return folder


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="RLIMIT_DATA is Linux's")
def test_memory_is_bounded(tmp_path: Path) -> None:
    """One process reads all kinds, since loading the libraries takes longest."""
    assert ALLOWED < ROWS * DIM * 8
    paths = [write_folder(tmp_path / kind, kind) for kind in ("rows", "fortran", "parquet")]
    paths.append(write_zip(tmp_path / "stored.npz", zipfile.ZIP_STORED))
    paths.append(write_zip(tmp_path / "compressed.npz", zipfile.ZIP_DEFLATED))
    command = [sys.executable, "-c", PROGRAM, str(ALLOWED), str(tmp_path / "cache")]
    done = subprocess.run([*command, *map(str, paths)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    wanted = [f"{path.name} {ROWS} [0, 0, 0, 0]" for path in paths]
    assert done.stdout.splitlines() == [*wanted, "limited"]
