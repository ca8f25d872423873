"""Files larger than the memory that is allowed are ranked all the same."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

ROWS, DIM = 40_000, 512
"""164 MB of float64."""

ALLOWED = 96 * 2**20
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
loaded = load_features(*map(Path, sys.argv[3:]), cache=Path(sys.argv[2]))
result = evaluate_features(*loaded, method="mine").result
print(result.counts.gallery, result.first_match_rank.tolist())
"""


def write(folder: Path, kind: str) -> list[Path]:
    rng = np.random.Generator(np.random.Philox(key=0))
    gallery = rng.normal(size=(ROWS, DIM))
    query = gallery[:4] + 0.1
    sides = {
        "query": (query, np.arange(4), np.ones(4, int)),
        "gallery": (gallery, np.arange(ROWS), np.full(ROWS, 2)),
    }
    if kind in ("npz", "compressed"):
        save = np.savez if kind == "npz" else np.savez_compressed
        keys = ("feature", "pid", "camid")
        named = {
            f"{side}_{key}": value
            for side, values in sides.items()
            for key, value in zip(keys, values, strict=True)
        }
        save(folder / "mine.npz", **named)
        return [folder / "mine.npz"]
    for side, (feature, pid, camid) in sides.items():
        if kind == "parquet":
            rows = pa.FixedSizeListArray.from_arrays(pa.array(feature.ravel()), DIM)
            sheet = pa.table({"feature": rows, "pid": pid, "camid": camid})
            pq.write_table(sheet, folder / f"{side}.parquet", row_group_size=ROWS)
            continue
        np.save(folder / f"{side}.npy", np.asfortranarray(feature) if kind == "F" else feature)
        np.save(folder / f"{side}_pid.npy", pid)
        np.save(folder / f"{side}_camid.npy", camid)
    return [folder]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="RLIMIT_DATA is Linux's")
@pytest.mark.parametrize("kind", ["npy", "F", "npz", "compressed", "parquet"])
def test_memory_is_bounded(kind: str, tmp_path: Path) -> None:
    paths = write(tmp_path, kind)
    command = [sys.executable, "-c", PROGRAM, str(ALLOWED), str(tmp_path / "cache")]
    done = subprocess.run([*command, *map(str, paths)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip() == f"{ROWS} [0, 0, 0, 0]"
    assert ALLOWED < ROWS * DIM * 8
