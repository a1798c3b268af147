"""
The national message format edXML (QCVN 102:2016/BTTTT): reading it leniently, writing it strictly.

Used by the hub and by the agency's side alike. Received bytes are read here and never changed; see docs/edxml-quirks.md.
"""
