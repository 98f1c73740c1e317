"""Articles as sentences in order, and their embeddings."""
