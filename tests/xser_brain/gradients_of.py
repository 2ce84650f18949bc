"""Train as train.py does, and write the gradients of each step: FILE, then its options."""

import sys

import torch
from torch.optim.optimizer import register_optimizer_step_pre_hook

from xser_brain import parallel
from xser_brain.cli.train import main

if __name__ == "__main__":
    torch.set_num_threads(1)
    steps: list[list[torch.Tensor]] = []

    def keep(optimizer, *_):
        steps.append(
            [p.grad.clone() for g in optimizer.param_groups for p in g["params"]]
        )

    register_optimizer_step_pre_hook(keep)
    status = main(sys.argv[2:])
    if parallel.rank() == 0:
        torch.save(steps, sys.argv[1])
    sys.exit(status)
