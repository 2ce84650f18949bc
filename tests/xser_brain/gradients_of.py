"""Train as train.py does, and write the gradients of each step: FILE, then its options.

With --follow=OTHER each step is then done with the gradients in OTHER, so that those of
all steps are taken at the same weights. DOUBLE=1 in the environment trains ECAPA in
float64: in single precision rounding shows where an activation is next to zero.
"""

import os
import sys

import torch
from torch.optim.optimizer import register_optimizer_step_pre_hook

from xser_brain.cli.train import main
from xser_brain.encoders.ecapa import ECAPAEncoder
from xser_brain.training import assemble


def in_double() -> None:
    """Let everything behind the filterbanks be float64."""
    log_mel = ECAPAEncoder._log_mel
    build_encoder, build_modules = assemble.build_encoder, assemble.build_modules

    def features(*args):
        values, counts = log_mel(*args)
        return values.double(), counts

    def encoder(*args):
        built = build_encoder(*args)
        built.network.double()
        return built

    def modules(*args):
        return {name: part.double() for name, part in build_modules(*args).items()}

    ECAPAEncoder._log_mel = features
    assemble.build_encoder, assemble.build_modules = encoder, modules


if __name__ == "__main__":
    if os.environ.get("DOUBLE"):
        in_double()
    torch.set_num_threads(1)
    file, *options = sys.argv[1:]
    others = []
    if options[0].startswith("--follow="):
        others = torch.load(options.pop(0).partition("=")[2], weights_only=True)
    steps: list[list[torch.Tensor]] = []

    def keep(optimizer, *_):
        trained = [p for group in optimizer.param_groups for p in group["params"]]
        if others:
            for parameter, other in zip(trained, others[len(steps)], strict=True):
                own = parameter.grad.clone()
                parameter.grad.copy_(other)
                other.copy_(own)
            steps.append(others[len(steps)])
        else:
            steps.append([parameter.grad.clone() for parameter in trained])

    register_optimizer_step_pre_hook(keep)
    status = main(options)
    if os.environ.get("RANK", "0") == "0":
        torch.save(steps, file)
    sys.exit(status)
