"""Teaching an encoder the dictionary: pairs that mean the same, a contrast among them, a low-rank delta."""
