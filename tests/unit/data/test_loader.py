from __future__ import annotations

import pickle
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from bagreid.catalog import Catalog
from bagreid.contracts import BagBatch, BagreidError
from bagreid.data import AugmentConfig, augment, loader
from bagreid.data.datasets import BagDataset
from bagreid.data.decode import decode_jpeg
from bagreid.data.draws import draw_views
from bagreid.plan import BatchPlan, PlanConfig, make_bag_plan

Maker = Callable[..., Catalog]

TENSORS = ("images", "rows", "groups", "bags", "views")
AUGMENT = AugmentConfig(height=32, width=16, pad=2, jitter=(0.1, 0.1, 0.1, 0.0), test_size=(24, 12))
# One image is cut, one is no JPEG, and folder 3 (rows 10 to 14) has a single whole image.
BROKEN = {2: b"nonsense", 7: None, 10: None, 11: None, 12: None, 14: b""}


def break_some(name: str, data: bytes) -> bytes:
    folder, number = name.split("/")[-2:]
    if not name.startswith("sysu_train"):
        return data[:90] if "_c1_3" in name else data
    row = (int(folder) - 1) * 5 + int(number[:3])
    return (BROKEN[row] or data[: len(data) // 2]) if row in BROKEN else data


def plan_of(catalog: Catalog, kind: str = "windows") -> BatchPlan:
    config = PlanConfig(kind=kind, groups=4, images_per_group=3)  # type: ignore[arg-type]
    bags = catalog.bags.folder_offset, catalog.bags.folder
    return make_bag_plan(catalog.folder_start, catalog.folder_stop, bags, config, seed=1)


def equal(one: BagBatch, other: BagBatch) -> bool:
    tensors = all(torch.equal(getattr(one, name), getattr(other, name)) for name in TENSORS)
    return tensors and one.replaced == other.replaced


def test_batches_are_the_plans_whatever_the_number_of_workers(make_catalog: Maker) -> None:
    catalog = make_catalog(break_some)
    plan = plan_of(catalog)
    made = {
        workers: list(
            loader.bag_loader(catalog, plan, AUGMENT, seed=1, epoch=2, workers=workers, epochs=2)
        )
        for workers in (0, 1, 2)
    }
    assert len(made[0]) == 2 * plan.steps_per_epoch
    for workers in (1, 2):
        assert all(equal(*pair) for pair in zip(made[0], made[workers], strict=True))
    for number, batch in enumerate(made[0]):
        epoch, step = divmod(number, plan.steps_per_epoch)
        planned = plan.batch(2 + epoch, step)
        assert batch.groups.tolist() == planned.groups.tolist()
        assert batch.bags.tolist() == planned.bags.tolist()
        for place, (row, key) in enumerate(
            zip(batch.rows.tolist(), planned.keys.tolist(), strict=True)
        ):
            image = decode_jpeg(catalog.read(row))
            resized = augment.resize(image, AUGMENT.canvas, AUGMENT)
            assert torch.equal(batch.images[place], resized)
            drawn = draw_views(AUGMENT, 1, 2 + epoch, np.array([key]))
            assert torch.equal(batch.views[place], drawn[0])


@pytest.mark.parametrize("kind", ["windows", "bag_file"])
def test_a_broken_image_is_replaced_by_the_next_of_its_bag(make_catalog: Maker, kind: str) -> None:
    catalog = make_catalog(break_some)
    plan = plan_of(catalog, kind)
    # Only folder 3 cannot always help itself: its one whole image is row 13.
    seen = set()
    for step, batch in enumerate(loader.bag_loader(catalog, plan, AUGMENT, seed=1, epoch=0)):
        planned = plan.batch(0, step)
        replaced = []
        for row, bag, shown in zip(
            planned.rows.tolist(), planned.bags.tolist(), batch.rows.tolist(), strict=True
        ):
            if row not in BROKEN:
                assert shown == row
                continue
            rows = plan.bag_rows(bag).tolist()
            here = rows.index(row)
            assert shown == next(r for r in rows[here:] + rows[:here] if r not in BROKEN)
            replaced.append(row)
        assert batch.replaced == tuple(replaced)
        seen |= set(replaced)
    assert seen == set(BROKEN)


def test_loading_resumes_at_any_step_and_shares_among_ranks(make_catalog: Maker) -> None:
    catalog = make_catalog()
    plan = plan_of(catalog)
    whole = list(loader.bag_loader(catalog, plan, AUGMENT, seed=1, epoch=0, epochs=2))
    for start in range(plan.steps_per_epoch):
        rest = loader.bag_loader(
            catalog, plan, AUGMENT, seed=1, epoch=0, start_step=start, epochs=2
        )
        assert all(equal(*pair) for pair in zip(whole[start:], rest, strict=True))
    for world_size in (2, 3, 4):
        ranks = [
            loader.bag_loader(
                catalog, plan, AUGMENT, seed=1, epoch=0, rank=rank, world_size=world_size
            )
            for rank in range(world_size)
        ]
        for batch, *shares in zip(whole, *ranks, strict=False):
            for name in TENSORS:
                together = torch.cat([getattr(share, name) for share in shares])
                assert torch.equal(together, getattr(batch, name))


@pytest.mark.parametrize("workers", [0, 2])
def test_parts_of_batches_follow_one_another(make_catalog: Maker, workers: int) -> None:
    catalog = make_catalog()
    plan = plan_of(catalog)
    whole = list(loader.bag_loader(catalog, plan, AUGMENT, seed=1, epoch=0, epochs=2))
    for parts in (3, 4):
        made = list(
            loader.bag_loader(
                catalog, plan, AUGMENT, seed=1, epoch=0, start_step=1, epochs=2,
                parts=parts, workers=workers,
            )
        )  # fmt: skip
        assert len(made) == parts * (len(whole) - 1)
        for step, batch in enumerate(whole[1:]):
            shares = made[parts * step : parts * (step + 1)]
            for name in TENSORS:
                together = torch.cat([getattr(share, name) for share in shares])
                assert torch.equal(together, getattr(batch, name))
    with pytest.raises(ValueError, match=r"4 groups .* 3 parts for 2 ranks"):
        next(loader.bag_loader(catalog, plan, AUGMENT, seed=1, epoch=0, world_size=2, parts=3))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_bag_without_a_whole_image_stops_with_one_sentence(
    make_catalog: Maker, workers: int
) -> None:
    catalog = make_catalog(lambda _, data: data[:100])
    batches = loader.bag_loader(
        catalog, plan_of(catalog), AUGMENT, seed=1, epoch=0, workers=workers
    )
    with pytest.raises(BagreidError, match="can be decoded") as caught:
        next(batches)
    assert str(caught.value).startswith(str(catalog.root / "train"))
    assert "\n" not in str(caught.value)


def test_quarantined_images_are_not_shown(make_catalog: Maker) -> None:
    catalog = make_catalog()
    plan = plan_of(catalog)
    quarantine = {0, 1, 2, 3, 22}
    replaced = set()
    for batch in loader.bag_loader(catalog, plan, AUGMENT, seed=1, epoch=0, quarantine=quarantine):
        assert not quarantine & set(batch.rows.tolist())
        replaced |= set(batch.replaced)
    assert replaced == quarantine


def test_batches_are_the_same_whenever_the_damage_was_found(make_catalog: Maker) -> None:
    """In the run itself, before it, or some before and some in it."""
    catalog = make_catalog(break_some)
    plan = plan_of(catalog)
    made = [
        list(loader.bag_loader(catalog, plan, AUGMENT, seed=1, epoch=0, quarantine=known))
        for known in ((), BROKEN, {2, 11, 14})
    ]
    for batches in zip(*made, strict=True):
        assert all(equal(batches[0], other) for other in batches[1:])


@pytest.mark.parametrize("workers", [0, 1])
def test_loading_leaves_the_global_generator_alone(make_catalog: Maker, workers: int) -> None:
    catalog = make_catalog()
    before = torch.get_rng_state()
    batches = loader.bag_loader(
        catalog, plan_of(catalog), AUGMENT, seed=1, epoch=0, workers=workers
    )
    next(batches)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_dataset_passes_to_another_process(make_catalog: Maker) -> None:
    catalog = make_catalog()
    dataset = BagDataset(catalog, plan_of(catalog), AUGMENT, seed=1)
    again = pickle.loads(pickle.dumps(dataset))  # noqa: S301
    assert equal(again[0, 1, 0], dataset[0, 1, 0])


def test_test_images_come_in_row_order(make_catalog: Maker) -> None:
    catalog = make_catalog(break_some)
    gallery = catalog.split("gallery")
    rows = np.array([*gallery, *catalog.split("query")])[::-1]
    damaged = [row for row in gallery if "_c1_3" in catalog.name(row)]
    assert len(damaged) == 1
    made = {
        workers: list(loader.test_loader(catalog, rows, AUGMENT, 3, workers))
        for workers in (0, 1, 2)
    }
    for batches in made.values():
        assert [len(batch.rows) for batch in batches] == [3, 3, 1]
        assert torch.cat([batch.rows for batch in batches]).tolist() == rows.tolist()
        assert [row for batch in batches for row in batch.broken] == damaged
        images = torch.cat([batch.images for batch in batches])
        assert torch.equal(images, torch.cat([batch.images for batch in made[0]]))
    for image, row in zip(images, rows.tolist(), strict=True):
        if row in damaged:
            assert not image.any()
        else:
            slow = augment.test_view(decode_jpeg(catalog.read(row)), AUGMENT)
            assert torch.equal(augment.normalise(image[None].float(), AUGMENT)[0], slow)


@pytest.mark.parametrize("workers", [0, 1])
def test_batches_that_are_let_go_make_room_for_the_next(make_catalog: Maker, workers: int) -> None:
    catalog = make_catalog()
    plan = plan_of(catalog)
    places: list[int] = []
    kept: torch.Tensor | None = None
    for batch in loader.bag_loader(
        catalog, plan, AUGMENT, seed=1, epoch=0, workers=workers, epochs=6
    ):
        if kept is None:
            kept, before = batch.images[3, 1], batch.images[3, 1].clone()
        else:
            places.append(batch.images.data_ptr())
    assert kept is not None
    assert len(places) > 4 >= len(set(places))
    assert kept.data_ptr() not in {place + kept.storage_offset() for place in places}
    assert torch.equal(kept, before)


def test_nothing_lies_in_dev_shm(make_catalog: Maker) -> None:
    catalog = make_catalog()
    shared = Path("/dev/shm")  # noqa: S108
    rows = np.asarray(catalog.split("gallery"))
    before = set(shared.iterdir())
    for _ in loader.test_loader(catalog, rows, AUGMENT, 2, workers=2):
        mapped = Path("/proc/self/maps").read_text()
        assert "/dev/shm/torch" not in mapped  # noqa: S108
        assert set(shared.iterdir()) <= before


def test_no_rows_are_no_batches(make_catalog: Maker) -> None:
    empty = np.zeros(0, dtype=np.int64)
    assert not list(islice(loader.test_loader(make_catalog(), empty, AUGMENT, 3, 0), 1))
