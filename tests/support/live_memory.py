"""How much memory tensors take at the same time, counted tensor by tensor."""

import weakref

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten


class LiveMemory(TorchDispatchMode):
    """Counts the storage of every tensor that is made inside, until it is gone."""

    def __init__(self):
        super().__init__()
        self.peak_bytes = self._live_bytes = 0
        self._known = set()

    def __torch_dispatch__(self, operation, _types, args=(), kwargs=None):
        result = operation(*args, **(kwargs or {}))
        for tensor in tree_flatten(result)[0]:
            if isinstance(tensor, torch.Tensor):
                self._count(tensor.untyped_storage())
        return result

    def _count(self, storage):
        key, size = storage._cdata, storage.nbytes()
        if key in self._known:
            return

        def forget():
            self._known.discard(key)
            self._live_bytes -= size

        weakref.finalize(storage, forget)
        self._known.add(key)
        self._live_bytes += size
        self.peak_bytes = max(self.peak_bytes, self._live_bytes)
