"""``xser serve``: a page to try a trained model on one's own speech."""
