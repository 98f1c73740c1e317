"""The predictors' recipe for the trainer: windows, loss, history, files."""
