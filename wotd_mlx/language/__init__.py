"""Stage four: a small language model that reads a pattern of semantic IDs, ``[2,1,3,*]``, and writes words for it."""
