"""Privacy: random streams, exact noise for counts, composition, and the guarantee as values."""
