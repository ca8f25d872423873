"""A tiny archive as downloaded, and the files of runs on it, all made up."""

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bagreid.catalog import open_catalog
from bagreid.report.chart import Curve

PEOPLE = 5
PER_FOLDER = 8
QUERIES = 15
CMC_LENGTH = 20


def curve(*values: float, every: int = 10) -> Curve:
    """A curve with a value every so many steps."""
    steps = np.arange(len(values), dtype=np.int64) * every
    return Curve(steps, np.array(values, np.float64))


def jpeg(number: int, height: int = 96) -> bytes:
    """A picture of two plain garments."""
    pixels = np.zeros((height, height // 2, 3), np.uint8)
    pixels[: height // 2] = (37 * number % 256, 91 * number % 256, 53 * number % 256)
    pixels[height // 2 :] = (61 * number % 256, 17 * number % 256, 149 * number % 256)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG")
    return out.getvalue()


def make_archive(root: Path) -> Path:
    """Five folders of eight images, 15 queries, each with a match, and 10 distractors."""
    train = {
        f"sysu_train_set_all/{person:010d}/{image}.jpg": jpeg(person, 288 if image == 0 else 96)
        for person in range(1, PEOPLE + 1)
        for image in range(PER_FOLDER)
    }
    test = {}
    for number in range(QUERIES):
        pid = f"{100 + number:09d}"
        test[f"sysu_test_set_all/query/{pid}/{pid}_c2_1.jpg"] = jpeg(number)
        test[f"sysu_test_set_all/gallery/{pid}/{pid}_c1_1.jpg"] = jpeg(number)
    for number in range(10):
        name = f"sysu_test_set_all/gallery/0000others/0000others_c1_{number}.jpg"
        test[name] = jpeg(50 + number) if number else b"\xff\xd8 no picture"
    _pack(root / "train/sysu_train_set_all_part1.tar", train)
    _pack(root / "test/sysu_test_set_all.tar", test)
    (root / "train.txt").write_text("\n".join(train) + "\n")
    for split in ("query", "gallery"):
        names = [name for name in test if f"/{split}/" in name]
        (root / f"{split}.txt").write_text("\n".join(names) + "\n")
    (root / "bag_level_label.json").write_text(json.dumps(_bags()))
    truth = [f"{name},{int(name.split('/')[1])}" for name in train]
    (root / "truth.csv").write_text("\n".join(["image,person_id", *truth]) + "\n")
    return root


def _pack(path: Path, members: dict[str, bytes]) -> None:
    path.parent.mkdir(parents=True)
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))


def _bags() -> list[dict[str, Any]]:
    bags = []
    for centre in range(1, PEOPLE + 1):
        for reach in (0, 1, 2):
            near = sorted({min(max(centre + d, 1), PEOPLE) for d in range(-reach, reach + 1)})
            bags.append(
                {
                    "BagLabel": near,
                    "BagID": f"bag{len(bags) + 1:010d}",
                    "BagImages": [f"{folder:010d}/*" for folder in near],
                }
            )
    return bags


def evaluation(root: Path, *, method: str = "DGL", shift: int = 0) -> dict[str, Any]:
    """An ``evaluation.json`` whose query i has its match at rank ``1 + max(0, i + shift - 5)``."""
    catalog = open_catalog(root)
    gallery = list(catalog.split("gallery"))
    queries = []
    for number, row in enumerate(catalog.split("query")):
        rank = min(max(0, number + shift - 5), CMC_LENGTH)
        match = next(g for g in gallery if catalog.group[g] == catalog.group[row])
        order = [g for g in gallery[::-1] if g != match]
        order.insert(rank, match)
        top = [
            {
                "row": g,
                "name": catalog.name(g),
                "pid": int(catalog.group[g]),
                "camid": 1,
                "score": 0.9 - place / 20,
                "match": g == match,
            }
            for place, g in enumerate(order[:10])
        ]
        queries.append(
            {
                "row": row,
                "name": catalog.name(row),
                "pid": int(catalog.group[row]),
                "camid": 2,
                "first_match_rank": rank,
                "average_precision": 1 / (1 + rank),
                "match": {"row": match, "name": catalog.name(match), "score": 0.9 - rank / 20},
                "top": top,
            }
        )
    ranks = np.array([query["first_match_rank"] for query in queries])
    cmc = [float((ranks < k).mean()) for k in range(1, CMC_LENGTH + 1)]
    return {
        "schema": "bagreid.evaluation/1",
        "method": method,
        "root": str(root),
        "convention": "sysu30k",
        "counts": {
            "queries": QUERIES,
            "gallery": len(gallery),
            "matches": QUERIES,
            "distractors": 10,
            "junk": 0,
            "same_camera": 0,
            "queries_without_match": 0,
            "broken": 1,
        },
        "cmc": cmc,
        "mean_ap": float((1 / (1 + ranks)).mean()),
        "mean_inp": None,
        "rank1_interval": [max(0.0, cmc[0] - 0.21), min(1.0, cmc[0] + 0.23)],
        "queries": queries,
    }


def log_lines(steps: int = 40) -> list[dict[str, Any]]:
    """The lines of a ``log.jsonl``."""
    lines: list[dict[str, Any]] = []
    for step in range(0, steps * 10, 10):
        lines.append(
            {
                "kind": "step",
                "epoch": step // 100,
                "step": step,
                "loss": {"total": 3 / (1 + step), "unary": 2 / (1 + step), "pairwise": -0.01},
                "learning_rate": 1e-4,
                "images_per_second": 300.0,
                "pseudo_label_accuracy": 0.7 + step / 2000,
                "pseudo_label_change": None if step == 0 else 0.1,
                "time": 1_000.0 + step,
            }
        )
        if step % 100 == 90:
            part = {"epoch": step // 100, "step": step}
            lines.append({"kind": "validation", **part, "rank1": 0.3, "mean_ap": 0.2})
            lines.append(
                {"kind": "reliability", **part, "bags_of": {"1": 0.7, "3": 0.88, "5": 1.0}}
            )
    return lines


def pseudo_labels(root: Path) -> dict[str, Any]:
    """The arrays of a ``pseudo_labels.npz``: of each folder the third image is labelled wrong."""
    catalog = open_catalog(root)
    truth = catalog.truth()
    label = truth.copy()
    label[2::PER_FOLDER] = (label[2::PER_FOLDER] + 1) % PEOPLE
    return {
        "rows": np.arange(truth.size),
        "pseudo_label": label,
        "confidence": np.linspace(0.5, 1, truth.size).astype(np.float32),
        "truth": truth,
        "identities": catalog.identities,
        "root": np.array(str(root)),
    }


def make_run(path: Path, root: Path, *, method: str = "DGL", shift: int = 0) -> Path:
    """The folder of one finished run."""
    path.mkdir(parents=True)
    config = {"seed": 7, "model": {"backbone": "resnet10t", "parts": [1, 2]}, "method": method}
    (path / "config.json").write_text(json.dumps(config))
    lines = "".join(json.dumps(line) + "\n" for line in log_lines())
    (path / "log.jsonl").write_text(lines)
    (path / "evaluation.json").write_text(json.dumps(evaluation(root, method=method, shift=shift)))
    np.savez(path / "pseudo_labels.npz", **pseudo_labels(root))
    return path


def make_killed(path: Path, root: Path, *, on_gpu: bool = False) -> Path:
    """The folder of a run that was killed after all sorts of trouble, with a profile."""
    make_run(path, root)
    (path / "evaluation.json").unlink()
    (path / "checkpoints").mkdir()
    (path / "checkpoints" / "step-000000380.pt").write_bytes(b"weights")
    state = {"schema": "bagreid.state/1", "state": "running", "step": 390, "total_steps": 1000}
    state |= {"epoch": 3, "epochs": 10, "host": "another", "boot": "another", "beat": 1000.0}
    state |= {"seconds": 3700.0, "folder": "/home", "command": ["train", "configs/x.py"]}
    (path / "state.json").write_text(json.dumps(state))
    lines = log_lines()
    for line in lines:
        if line["kind"] == "step":
            line |= {"gradient_norm": 3 + 10 / (1 + line["step"]), "waited": 0.25}
            line |= {"skipped": 3, "replaced": 12}
    lines += [
        {"kind": "skipped", "step": step, "loss": None, "gradient_norm": None}
        for step in (31, 32, 207)
    ]
    lines.append({"kind": "worker_death", "step": 120, "count": 1, "why": "worker 2 was killed"})
    (path / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (path / "profile").mkdir()
    (path / "profile" / "profile.json").write_text(json.dumps(profile(on_gpu=on_gpu)))
    return path


def profile(*, on_gpu: bool) -> dict[str, Any]:
    """A ``profile.json``."""
    names = ("load", "copy", "augment", "forward", "backward", "update", "between phases")
    device = 0.02 if on_gpu else None
    phases = [
        {"name": name, "host_seconds": 0.01 * place, "device_seconds": device,
         "share": place / 21, "seconds_per_image": 1e-4}
        for place, name in enumerate(names)
    ]  # fmt: skip
    kernel = "void cutlass__5x_cudnn::Kernel<cutlass_tensorop_s1688fprop_optimized>(Params)"
    operators = [
        {"name": name, "calls": 53.0, "host_seconds": 0.118 / place, "device_seconds": device}
        for place, name in enumerate(["aten::convolution_backward", kernel, "aten::add_"], start=1)
    ]
    return {
        "schema": "bagreid.profile/1",
        "device": "NVIDIA Something" if on_gpu else "cpu",
        "steps": 10,
        "images_per_step": 180,
        "images_per_second": 1234.5,
        "step_seconds": {"mean": 0.21, "least": 0.2, "most": 1.25},
        "phases": phases,
        "verdict": {"bound": "loader", "said": "Bound by the loader.", "advice": "Raise workers."},
        "operators": operators,
    }


def make_demo(path: Path, root: Path) -> Path:
    """The folder of a demo: two trained methods and one that is not."""
    make_run(path / "dgl", root)
    make_run(path / "truth", root, method="Truth", shift=-2)
    (path / "histogram").mkdir()
    other = evaluation(root, method="Colour histogram", shift=8)
    (path / "histogram/evaluation.json").write_text(json.dumps(other))
    rows = [
        ("dgl", "DGL", "bag labels", "dgl", 0.875, 300.0),
        ("truth", "Truth", "image labels", "truth", None, 280.5),
        ("histogram", "Colour histogram", "none", None, None, 4.0),
    ]
    methods = [
        {
            "key": key,
            "name": name,
            "supervision": supervision,
            "work_dir": work_dir,
            "evaluation": f"{key}/evaluation.json",
            "pseudo_label_accuracy": accuracy,
            "seconds": seconds,
        }
        for key, name, supervision, work_dir, accuracy, seconds in rows
    ]
    comparison = {
        "schema": "bagreid.comparison/1",
        "root": str(root),
        "title": "A small demo",
        "methods": methods,
    }
    (path / "comparison.json").write_text(json.dumps(comparison))
    return path


def edit(path: Path, **changes: Any) -> None:
    """Changes the top level of a JSON file; ``...`` as a value removes the key."""
    data = json.loads(path.read_text()) | changes
    kept = {key: value for key, value in data.items() if value is not ...}
    path.write_text(json.dumps(kept))
