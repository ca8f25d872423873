"""What messages quote of a header."""

from __future__ import annotations

from bagreid.shards.header import quoted


def test_a_name_of_absurd_length_is_quoted_short() -> None:
    assert quoted("a/b.jpg") == "'a/b.jpg'"
    long = "x" * 1_000_000 + "end.jpg"
    assert len(quoted(long)) < 400
    assert quoted(long).endswith("end.jpg' (1,000,007 characters)")
