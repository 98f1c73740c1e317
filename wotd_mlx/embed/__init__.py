"""Texts to embeddings, by a BERT encoder in MLX, cached."""
