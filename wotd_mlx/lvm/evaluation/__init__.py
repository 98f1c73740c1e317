"""What trained predictors reach, beside baselines that need no network."""
