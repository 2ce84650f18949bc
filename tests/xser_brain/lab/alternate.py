"""A sampler of one's own: batches of one language, in turn."""

import numpy as np

from xser_brain import Batches


class Alternate(Batches):
    """Batches of one language, in turn."""

    def __init__(self, rows, batch_size, **options):
        super().__init__(**options)
        languages = sorted({row.language for row in rows})
        self.groups = [
            [i for i, row in enumerate(rows) if row.language == language]
            for language in languages
        ]
        self.batch_size = batch_size

    def __iter__(self):
        rng = np.random.default_rng([self.seed, self.epoch])
        for number in range(self.batches):
            group = self.groups[number % len(self.groups)]
            yield rng.choice(group, self.batch_size).tolist()
