"""Market-1501 with the released recipe of MGN, bags of two people simulated from its labels."""

from bagreid.recipes import mgn_market1501

config = mgn_market1501()
