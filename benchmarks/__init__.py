"""What the platform costs: `make bench`, or ``python -m benchmarks [SUBJECT] [--json FILE]``.

One module per subject, or a package, listed in ``__main__``. ``run_storage`` stands on ``recorded_runs`` (runs to copy)
and ``filled_storage`` (a run storage full of their copies). How anything is timed and shown is in ``timing``.
Machines differ and are busy: read the ratios to the baselines first. Nothing here is a test.
"""
