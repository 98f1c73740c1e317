"""Weights to and from PyTorch, and a reference implementation of each predictor, of third parties' PyTorch layers.

Each file bears its model's name and has ``Reference``, a ``torch.nn.Module`` x (B, L, D) -> (B, L, D), and
``rules(cfg)``, which name its weights on both sides. PyTorch loads only when one of them does.
"""
