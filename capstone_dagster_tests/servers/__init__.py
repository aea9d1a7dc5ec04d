"""Real servers on loopback and real processes, and the platforms that tests build on them."""
