"""Slots come back when the last tensor over them is gone, and not before."""

from __future__ import annotations

import gc
import os

import torch

from bagreid.data.slots import Slots


def test_what_another_process_writes_is_taken_here() -> None:
    slots = Slots(2, 8)
    slot = slots.lend()
    assert slot is not None
    child = os.fork()
    if child == 0:
        slots.write(slot)[:8] = torch.arange(8)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert slots.take(slot)[:8].tolist() == list(range(8))


def test_a_slot_is_free_when_no_tensor_uses_it() -> None:
    slots = Slots(1, 64)
    slot = slots.lend()
    assert slot == 0
    assert slots.lend() is None
    whole = slots.take(slot)
    part = whole.view(torch.float32)[2:4]
    del whole
    gc.collect()
    assert slots.lend() is None  # a tensor made from it is still there
    del part
    gc.collect()
    assert slots.lend() == 0


def test_slots_do_not_overlap() -> None:
    slots = Slots(3, 5)
    lent = [slots.lend() for _ in range(3)]
    for slot in lent:
        assert slot is not None
        slots.write(slot).fill_(slot + 1)
    for slot in lent:
        assert slot is not None
        assert set(slots.take(slot).tolist()) == {slot + 1}
