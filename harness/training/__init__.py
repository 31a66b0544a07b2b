"""From hyperparameters and a split to a trained, scored model; a trial."""
