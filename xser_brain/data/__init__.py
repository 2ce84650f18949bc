"""What a training step sees: batches, and which utterances make them up."""
