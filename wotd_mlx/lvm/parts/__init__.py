"""What several predictors are built of: attention, convolutions, state spaces, diffusion."""
