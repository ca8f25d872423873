"""Every image is computed exactly once, in batches that do not depend on who computes them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bagreid.evaluation.pieces import Piece, plan_again, plan_pieces

counts = st.integers(1, 200)
batches = st.integers(1, 40)
processes = st.integers(1, 9)


def batches_of(pieces: list[Piece], batch: int, done: dict[int, int]) -> list[tuple[int, int]]:
    found = []
    for piece in pieces:
        start = piece.start + done.get(piece.start, 0)
        found += [(at, min(at + batch, piece.stop)) for at in range(start, piece.stop, batch)]
    return sorted(found)


def grid(count: int, batch: int) -> list[tuple[int, int]]:
    return [(at, min(at + batch, count)) for at in range(0, count, batch)]


@given(counts, batches, processes)
def test_a_plan_is_whole_batches_evenly_dealt(count: int, batch: int, world: int) -> None:
    pieces = plan_pieces(count, batch, world)
    assert batches_of(pieces, batch, {}) == grid(count, batch)
    assert [piece.rank for piece in pieces] == sorted({piece.rank for piece in pieces})
    loads = [0] * world
    for piece in pieces:
        loads[piece.rank] += -(-(piece.stop - piece.start) // batch)
    assert max(loads) - min(loads) <= 1


@given(counts, batches, st.lists(processes, min_size=1, max_size=4), st.data())
def test_whatever_was_done_is_kept_and_the_rest_keeps_its_batches(
    count: int, batch: int, worlds: list[int], data: st.DataObject
) -> None:
    pieces = plan_pieces(count, batch, worlds[0])
    computed: list[tuple[int, int]] = []
    done: dict[int, int] = {}
    for world in worlds:
        pieces = plan_again(pieces, done, batch, world)
        kept = [piece for piece in pieces if piece.start in done]
        assert all(piece.stop - piece.start == done[piece.start] for piece in kept)
        assert [piece.start for piece in pieces] == [0, *(piece.stop for piece in pieces[:-1])]
        assert pieces[-1].stop == count
        assert len({piece.start for piece in pieces}) == len(pieces)
        for piece in pieces:
            left = batches_of([piece], batch, done)
            some = left[: data.draw(st.integers(0, len(left)))]
            if some:
                computed += some
                done[piece.start] = some[-1][1] - piece.start
    computed += batches_of(pieces, batch, done)
    assert sorted(computed) == grid(count, batch)


@given(counts, batches, batches, processes, st.data())
def test_another_size_of_batch_goes_on_where_the_old_one_stopped(
    count: int, old: int, new: int, world: int, data: st.DataObject
) -> None:
    pieces = plan_pieces(count, old, 2)
    done = {}
    for piece in pieces:
        rows = data.draw(st.integers(0, -(-(piece.stop - piece.start) // old))) * old
        if rows:
            done[piece.start] = min(rows, piece.stop - piece.start)
    again = plan_again(pieces, done, new, world)
    todo = batches_of(again, new, done)
    assert all(stop - start <= new for start, stop in todo)
    covered = [(start, start + rows) for start, rows in done.items()]
    places = sorted(place for run in covered + todo for place in range(*run))
    assert places == list(range(count))
