"""CUHK03 (new protocol) with the released recipe of MGN, on bags simulated from its labels.

Name one kind of boxes where both lie there: --data.root data/cuhk03/labeled (or detected).
"""

from bagreid.recipes import mgn_cuhk03

config = mgn_cuhk03()
