"""What the platform survives, fault by fault: F1 to F17 of ``docs/reliability.md``, with real processes and servers.

The number in a file's name is that of its fault; the names of its tests are the criteria. Tests of one part that prove
a fault stay in the room of that part, with the marker ``faults("F6", sample=True)``. What belongs to no fault is in
``whole_platform``.
"""
