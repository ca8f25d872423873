"""SYSU-30k with our inference on the released recipe's images and network."""

from bagreid.recipes import ours_sysu30k

config = ours_sysu30k()
