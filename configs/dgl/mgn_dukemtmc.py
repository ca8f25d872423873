"""DukeMTMC-reID with the released recipe of MGN, bags of two people simulated from its labels.

Its authors have withdrawn the set: do not use it for new work.
"""

from bagreid.recipes import mgn_dukemtmc

config = mgn_dukemtmc()
