"""Running a net over many windows, on whatever device and memory there is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn

from fluxkernels.errors import DeviceError, OutOfMemory, SettingsError, ShapeError

Precision = Literal["fp32", "bf16"]


class Predictor:
    """A net made ready once, to be called for any number of windows.

    The net is taken over: put into evaluation mode and moved to the device.

    Parameters
    ----------
    net : Module
        Takes tensors whose first axis is the batch, gives a tensor or a tuple of them.
    batch : int
        Windows at a time. Where memory does not suffice it is halved, and stays so.
    device : str
        As PyTorch calls it: ``"cpu"``, ``"cuda"``, ``"cuda:1"``.
    precision : {"fp32", "bf16"}
        ``"bf16"`` lets convolutions and matrix products run in bfloat16; results stay float32.
    channels_last : bool
        Whether 2-D convolutions keep channels innermost in memory.
    compiled : bool
        Whether to compile the net at its first call, which takes minutes and a C++ compiler.

    Raises
    ------
    DeviceError
        Where the device is not there.
    SettingsError
        Where batch or precision is none.
    """

    def __init__(
        self,
        net: nn.Module,
        *,
        batch: int,
        device: str = "cpu",
        precision: Precision = "fp32",
        channels_last: bool = True,
        compiled: bool = False,
    ) -> None:
        if batch < 1 or precision not in ("fp32", "bf16"):
            raise SettingsError(
                f"a batch of {batch} windows in {precision!r}.",
                "Predictor",
                "Take one window or more, and 'fp32' or 'bf16'.",
            )
        self.batch = batch
        self.device = find_device(device)
        self.precision = precision
        net = net.eval().to(self.device)
        if channels_last:
            _channels_last(net)
        self._run: Callable[..., Any] = torch.compile(net) if compiled else net

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Run the net.

        Parameters
        ----------
        *inputs : Tensor, shape (N, ...)
            What the net takes, such as values and masks, in main memory or on the device.

        Returns
        -------
        tuple of float32 Tensor, shape (N, ...)
            What it gives, where the first input lies: one, or as many as the net's tuple has.

        Raises
        ------
        ShapeError
            Where the inputs are not of one length, or empty.
        OutOfMemory
            Where one window at a time is too much.
        """
        lengths = {len(tensor) for tensor in inputs}
        if len(lengths) != 1 or lengths == {0}:
            raise ShapeError(f"inputs hold {sorted(lengths)} windows.", "inputs")
        (windows,), done, parts = lengths, 0, []
        while done < windows:
            part = self._attempt([tensor[done : done + self.batch] for tensor in inputs])
            if part is None:
                self.batch = max(min(self.batch, windows - done) // 2, 1)
            else:
                parts.append(part)
                done += len(part[0])
        return tuple(torch.cat(pieces) for pieces in zip(*parts, strict=True))

    def _attempt(self, inputs: list[Tensor]) -> tuple[Tensor, ...] | None:
        """One batch, or None where it does not fit and a smaller one might."""
        try:
            return self._batch(inputs)
        except (MemoryError, RuntimeError) as error:
            if not exhausted(error):
                raise
            if len(inputs[0]) == 1:
                raise OutOfMemory(
                    f"one window alone does not fit in the memory of {self.device}: {error}",
                    "Predictor",
                    "Use a device with more memory, bf16, or a smaller net.",
                ) from error
        # Only here is the error gone, and with its traceback the tensors of the failed attempt.
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        return None

    def _batch(self, inputs: list[Tensor]) -> tuple[Tensor, ...]:
        lower = torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16")
        with torch.inference_mode(), lower:
            result = self._run(*(tensor.to(self.device) for tensor in inputs))
            results = (result,) if isinstance(result, Tensor) else tuple(result)
            return tuple(tensor.float().to(inputs[0].device) for tensor in results)


def find_device(name: str) -> torch.device:
    """The device of that name.

    Parameters
    ----------
    name : str
        As PyTorch calls it.

    Returns
    -------
    torch.device

    Raises
    ------
    DeviceError
        Where PyTorch knows none of that name, or this machine has none.
    """
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        # The first line says it; PyTorch adds lines on how it was compiled.
        reason = str(error).splitlines()[0]
        raise DeviceError(
            f"no device {name!r}: {reason}", "device", "Use 'cpu', or a machine that has it."
        ) from error
    return device


def exhausted(error: BaseException) -> bool:
    """Whether it says that memory is used up: on a host PyTorch says so in words only.

    Parameters
    ----------
    error : BaseException
    """
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return "DefaultCPUAllocator" in str(error) or "not enough memory" in str(error)


def _channels_last(net: nn.Module) -> None:
    """Keep the weights of 2-D convolutions with channels innermost; their results follow."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
