"""The fuzz: odd lines and broken files, judged by Spark and by a model of the contract, which must agree.

    make fuzz N=200000 SEED=7

``line_model`` says what must become of lines, ``mutated_lines`` and ``corpus`` make them, ``files`` packs and breaks
files, and ``rounds`` compares. ``make test`` does a few thousand lines of the same (``spark_code/test_fuzz.py``).
"""
