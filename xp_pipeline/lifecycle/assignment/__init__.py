"""Who is in which arm since when: computed or logged, held against the design and the record."""
