"""MSMT17 with the released recipe of MGN, bags of two people simulated from its labels."""

from bagreid.recipes import mgn_msmt17

config = mgn_msmt17()
