"""One resumable trainer: what a step, an evaluation and a checkpoint are, whatever is trained."""
