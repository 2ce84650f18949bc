"""SpeechBrain's run options, as a run takes them and its identity records them."""

from collections.abc import Mapping
from dataclasses import replace

import torch
from speechbrain.utils.distributed import infer_device
from speechbrain.utils.run_opts import RunOptions

from data_prep.errors import UserError
from xser_brain.numbers import number

# Those that decide on a result.
DECISIVE = (
    "precision",
    "eval_precision",
    "grad_accumulation_factor",
    "max_grad_norm",
    "debug",
)
PRECISIONS = ("fp32", "fp16", "bf16")
SPELLINGS = {"auto_mix_prec": "fp16", "bfloat16_mix_prec": "bf16"}
GO_ON = "a run ends at the first loss or gradient that is no number: leave it out"
INTERVAL = 15  # minutes between two checkpoints, unless others are asked for
REFUSED = {
    "nonfinite_patience": GO_ON,
    "skip_nonfinite_grads": GO_ON,
    "optimizer_step_limit": "the budget is --steps",
    "compile": "it would take all modules: use --compile_encoder=True",
}


def settle(given: RunOptions | Mapping) -> RunOptions:
    """Say each option in one way, and refuse what a run does not take.

    Arguments
    ---------
    given : RunOptions or mapping
        As SpeechBrain reads them.

    Returns
    -------
    RunOptions
        With ``precision`` in the spelling of ``--precision``, however it was given.

    Raises
    ------
    UserError
        If one is not taken, or a precision is unknown or not to be had.

    Example
    -------
    >>> settle({"bfloat16_mix_prec": True}).precision
    'bf16'
    """
    options = given
    if not isinstance(options, RunOptions):
        options = RunOptions.from_dictionary(dict(given))
    chosen = {*options.overridden_args}
    for name, reason in REFUSED.items():
        if name in chosen and options[name] != RunOptions()[name]:
            raise UserError(f"--{name}: {reason}")
    factor = "grad_accumulation_factor"
    number(f"--{factor}", options[factor], least=1, whole=True)
    changed = {}
    for name, precision in SPELLINGS.items():
        if options[name]:
            changed |= {name: False, "precision": precision}
    if "precision" in changed and options.precision not in (
        RunOptions.precision,
        changed["precision"],
    ):
        raise UserError(
            f"--precision={options.precision} and another precision are given: give one"
        )
    if not chosen & {"ckpt_interval_minutes", "ckpt_interval_steps"}:
        changed["ckpt_interval_minutes"] = INTERVAL
    if "distributed_backend" not in chosen and _device(options) == "cpu":
        changed["distributed_backend"] = "gloo"  # NCCL is for GPUs alone
    options = replace(options, **changed, overridden_args=chosen | {*changed})
    for name in ("precision", "eval_precision"):
        if options[name] not in PRECISIONS:
            raise UserError(
                f"--{name} is {options[name]}: use {' or '.join(PRECISIONS)}"
            )
        if options[name] == "fp16" and _device(options) == "cpu":
            raise UserError(f"--{name}=fp16 needs a GPU: on a CPU use bf16 or fp32")
    return options


def require_device(options: RunOptions) -> None:
    """Refuse a device that this machine lacks.

    Arguments
    ---------
    options : RunOptions
        From ``settle``.

    Raises
    ------
    UserError
        If it does, or there is none of that name.

    Example
    -------
    >>> require_device(settle({"device": "gpu"}))
    Traceback (most recent call last):
    data_prep.errors.UserError: --device=gpu: ...
    """
    name = _device(options)
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        there = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
        raise UserError(
            f"--device={name}: this machine has no such device: use "
            f"{' or '.join(['cpu', *there])}, or leave it out"
        ) from error


def _device(options: RunOptions) -> str:
    return options.device or infer_device()
