"""SYSU-30k with the released recipe of ResNet-50 (arXiv 1904.03845 and its code)."""

from bagreid.recipes import r50_sysu30k

config = r50_sysu30k()
