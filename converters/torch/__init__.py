"""Weights to and from PyTorch, and a PyTorch twin of each predictor built from third parties' layers.

A twin's file bears its model's name and has ``Twin``, a ``torch.nn.Module`` x (B, L, D) -> (B, L, D), and
``rules(cfg)``, which name its weights on both sides. PyTorch loads only when a twin does.
"""
