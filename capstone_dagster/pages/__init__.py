"""Published days as pages for people: one HTML file per trading day, and an index of all of them.

``sources`` reads one day's published versions; ``numbers`` and ``quality`` compute what its page says, ``charts`` and
``svg`` draw it (``picture`` small), ``page`` renders it, and ``publishing`` writes page and index into the lake.
``day_metadata`` says some of it in Dagster's UI. Rows come from ``readers``, never from Spark. Only ``addresses`` is
loaded before a page is made.
"""
