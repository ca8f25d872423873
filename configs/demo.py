"""DGL on a synthetic archive, on two CPU cores: `bagreid synth data/synthetic` makes it."""

from bagreid.recipes import demo

config = demo()
