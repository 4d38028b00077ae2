"""A fake GPU: tensors report the device ``fakegpu:0``, the CPU does the work, and mixing both devices is an error.

A GPU raises an error if its tensors are combined with CPU tensors; a machine without a GPU cannot test that. Under
:func:`fake_device`, tensors on ``fakegpu:0`` hold real numbers, so that whole models can be trained, unlearned and
evaluated. The results equal those of the CPU, except for the order of additions in a backward pass. Operations that a
GPU would reject raise :class:`Mixed`.

The fake device does not imitate cuDNN or cuSPARSE kernels, determinism or rounding; ``is_cuda`` is False. PyTorch's
functions for registering a device from Python are private: tests that need them are skipped if they are missing.
"""

import contextlib
from unittest import mock

import pytest
import torch
import torch.utils.backend_registration as registration
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map_only, tree_unflatten

DEVICE = "fakegpu:0"

_REGISTER = getattr(registration, "_setup_privateuseone_for_python_backend", None)
if _REGISTER is not None and not hasattr(torch, "fakegpu"):
    _REGISTER("fakegpu")  # must precede the first backward pass of the process, which counts the devices
    torch.fakegpu.get_amp_supported_dtype = lambda: [torch.bfloat16]  # autocast calls this, even if it is off

_BETWEEN = {"aten::_to_copy", "aten::copy_", "aten::_pack_padded_sequence", "aten::_pack_padded_sequence_backward"}
"""Operators that accept tensors of both devices: copies, and packing of sequences, which needs lengths on the CPU."""


class Mixed(AssertionError):
    """Raised if an operator gets tensors of both devices."""


class OnDevice(torch.Tensor):
    """A tensor that reports the fake device; ``inner`` is a CPU tensor with its values."""

    @staticmethod
    def __new__(cls, inner):
        strided = inner.layout is torch.strided
        about = {"strides": inner.stride(), "storage_offset": inner.storage_offset()} if strided else {}
        own = torch.Tensor._make_wrapper_subclass(cls, inner.shape, dtype=inner.dtype, device=DEVICE, **about)
        own.inner = inner
        return own

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        return _run(function, args, kwargs or {})

    def data_ptr(self):
        return self.inner.data_ptr()

    # functions of sparse tensors that PyTorch calls before it dispatches to a subclass

    @property
    def is_sparse(self):
        return self.inner.is_sparse

    def coalesce(self):
        return OnDevice(self.inner.coalesce())

    def indices(self):
        return OnDevice(self.inner.indices())

    def values(self):
        return OnDevice(self.inner.values())

    def dense_dim(self):
        return self.inner.dense_dim()

    def new_tensor(self, data, *, dtype=None, **_):
        return torch.tensor(data, dtype=dtype or self.dtype, device=DEVICE)

    def tolist(self):
        return self.cpu().tolist()

    def numpy(self, *, force=False):
        if not force:
            raise Mixed("numpy() of a tensor on the device: cpu() comes first")
        return self.cpu().numpy()

    def __reduce_ex__(self, protocol):
        return self.cpu().__reduce_ex__(protocol)  # torch.load maps to the CPU

    def __repr__(self):
        return f"OnDevice({self.inner!r})"


class _Everything(TorchDispatchMode):
    """A mode that also intercepts functions that create tensors."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        return _run(function, args, kwargs or {})


def _run(function, args, kwargs):
    """Run an operator on the CPU; its result is on the fake device if an argument, or ``device``, is."""
    name = function._schema.name
    flat, shape = tree_flatten((args, kwargs))
    tensors = [value for value in flat if isinstance(value, torch.Tensor)]
    here = [t for t in tensors if isinstance(t, OnDevice)]
    if here and name not in _BETWEEN:
        _refuse_mixed(name, [t for t in tensors if not isinstance(t, OnDevice)])
    told = kwargs.get("device")
    on_device = bool(here) if told is None else torch.device(told).type == "fakegpu"
    if name == "aten::_fused_sdp_choice":
        return 0  # selects the math kernel
    plain = tree_unflatten([_plain(value) for value in flat], shape)
    result = function(*plain[0], **plain[1])
    if name == "aten::copy_" or function._schema.is_mutable:
        return _as_given(result, plain, (args, kwargs))
    if name == "aten::_pack_padded_sequence":
        return OnDevice(result[0]) if on_device else result[0], result[1]
    return tree_map_only(torch.Tensor, OnDevice, result) if on_device else result


def _plain(value):
    if isinstance(value, OnDevice):
        return value.inner
    if isinstance(value, torch.device) and value.type == "fakegpu":
        return torch.device("cpu")
    return value


def _refuse_mixed(name, others):
    """Raise :class:`Mixed` if a CPU tensor has dimensions; like a GPU, allow only zero-dimensional CPU tensors."""
    wrong = [tuple(t.shape) for t in others if t.dim()]
    if wrong:
        raise Mixed(f"{name} was given tensors on the device and tensors of shape {wrong} on the CPU")


def _as_given(result, plain, given):
    """Return the arguments themselves for operators that write into them, instead of new tensors."""
    mine = {id(inner): own for inner, own in zip(tree_flatten(plain)[0], tree_flatten(given)[0], strict=True)}
    wrap = any(isinstance(own, OnDevice) for own in mine.values())
    return tree_map_only(torch.Tensor, lambda t: mine.get(id(t), OnDevice(t) if wrap else t), result)


def _gru(inputs, state, weights, bias, layers, dropout, training, both_ways, batch_first):
    """Compute ``nn.GRU`` for one layer and one direction, with operators that also work on the CPU."""
    assert (layers, both_ways, batch_first, bias) == (1, False, True, True)
    of_input, of_state, input_bias, state_bias = weights
    states = [state[0]]
    for step in inputs.unbind(1):
        x = (step @ of_input.T + input_bias).chunk(3, dim=1)
        h = (states[-1] @ of_state.T + state_bias).chunk(3, dim=1)
        reset, update = torch.sigmoid(x[0] + h[0]), torch.sigmoid(x[1] + h[1])
        states.append(torch.lerp(torch.tanh(x[2] + reset * h[2]), states[-1], update))
    return torch.stack(states[1:], dim=1), states[-1].unsqueeze(0)


_from_data = torch.tensor


def _tensor(data, *, device=None, **about):
    """Create a tensor from a list; PyTorch's own function would write directly into the memory of the device."""
    made = _from_data(data, **about)
    return made if device is None else made.to(device)


class _Generator(torch.Generator):
    """A random generator with the CPU's numbers, for either device."""

    def __new__(cls, device="cpu"):
        return super().__new__(cls, _plain(torch.device(device)))


@contextlib.contextmanager
def fake_device():
    """Make ``torch.device("fakegpu:0")`` available in a context; skip the test if PyTorch does not allow it."""
    if _REGISTER is None:
        pytest.skip("this PyTorch does not let a device be registered in Python")
    instead = {"torch.Generator": _Generator, "torch.tensor": _tensor, "torch._VF.gru": _gru}
    with contextlib.ExitStack() as stack:
        for name, other in instead.items():
            stack.enter_context(mock.patch(name, other))
        stack.enter_context(_Everything())
        yield torch.device(DEVICE)
