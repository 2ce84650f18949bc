"""What is computed once and kept on disk: features by the content of audio."""
