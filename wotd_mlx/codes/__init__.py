"""Embeddings to semantic IDs and back: quantisers, the autoencoder around them, their training and figures."""
