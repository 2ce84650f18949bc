"""Train and score a recipe: python train.py hparams/X.yaml [--key=value ...]."""

import sys

from xser_brain.cli.train import main

if __name__ == "__main__":
    sys.exit(main())
