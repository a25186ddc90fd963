"""clew's processor. The packages are the data path: receiver, spool, decode, normalise, enrich, sample, write.

control says how it is doing, query answers questions about what was written, app wires it all together.
"""
