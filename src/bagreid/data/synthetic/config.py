"""What a synthetic archive is made of: its sizes, its purity, its seed."""

from __future__ import annotations

from dataclasses import dataclass

_MANY_PEOPLE = 1000


@dataclass(frozen=True, kw_only=True)
class SyntheticConfig:
    """Sizes and settings of a synthetic archive; the bytes follow from it alone."""

    people: int = 64
    """Train people; each has one folder, so this is the number of train folders too. At least 8."""

    images_per_folder: int = 32
    """Images in each train folder."""

    queries: int = 200
    """Test people, none of them in training: each has one query and one gallery image."""

    distractors: int = 2800
    """Gallery images of further people, whom no query asks for."""

    purity: float = 0.7
    """Share of a folder's images that show its own person; the others show folders within +-2."""

    seed: int = 0
    """Every picture follows from it."""

    shortest_edge: int = 64
    """Width of the images in pixels (their height is about twice that). The release: 144."""

    cameras: int = 24
    """Number of places, each with its background and colours, that train tracks are filmed at."""

    train_parts: int | None = None
    """Number of train tars; by default 2, from 1,000 people on the release's 10."""

    def __post_init__(self) -> None:
        """Checks the ranges."""
        for name, least in (
            ("people", 8),
            ("images_per_folder", 1),
            ("queries", 1),
            ("distractors", 0),
            ("seed", 0),
            ("shortest_edge", 16),
            ("cameras", 1),
        ):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, not {getattr(self, name)}")
        if not 0.0 < self.purity <= 1.0:
            raise ValueError(f"purity must lie in (0, 1], not {self.purity}")
        if self.train_parts is not None and not 1 <= self.train_parts <= self.people:
            raise ValueError(f"train_parts must lie in 1..{self.people}, not {self.train_parts}")

    @property
    def parts(self) -> int:
        """Number of train tars, the default filled in."""
        if self.train_parts is not None:
            return self.train_parts
        return 10 if self.people >= _MANY_PEOPLE else 2

    @property
    def images(self) -> int:
        """Images in all: train, query and gallery."""
        return self.people * self.images_per_folder + 2 * self.queries + self.distractors
