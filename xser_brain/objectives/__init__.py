"""The objectives of the paper beside the cross-entropy."""
