"""Read the tensors of a checkpoint file without running anything that the file contains.

PyTorch files (zip and the older plain pickle) and safetensors, recognised by content, not by name.
"""

from __future__ import annotations

import codecs
import pickle
import pickletools
import re
import struct
import tarfile
import warnings
import zipfile
import zlib
from pathlib import Path
from typing import Any

import safetensors
import torch
from torch import Tensor

from ..errors import CheckpointNotFoundError, CheckpointReadError, UnsafeCheckpointError

WRAPPERS = ("g_ema", "params_ema", "params", "state_dict", "model")
"""Keys under which training code stores a state dict, the preferred first."""
PREFIXES = ("module.", "generator_ema.")
"""What DataParallel and mmagic put before every key."""

_HEAD_BYTES = 512
_MAX_SAFETENSORS_HEADER_BYTES = 100_000_000  # the limit of the format's own reader
_MAX_SCANNED_BYTES = 16_000_000
_TENSOR_GLOBAL = re.compile(
    r"collections\.OrderedDict|torch\._utils\._rebuild_\w+|torch\.(storage\.)?\w+Storage"
)
_ZIP_MAGIC = b"PK\x03\x04"
_PICKLE_PROTO = b"\x80"
_LFS_MAGIC = b"version https://git-lfs"
_OTHER_MAGIC = {
    b"\x1f\x8b": "a gzip archive",
    b"7z\xbc\xaf": "a 7z archive",
    b"Rar!": "a rar archive",
    b"\x89HDF": "an HDF5 file",
    b"GGUF": "a GGUF file",
}

# What PyTorch's readers raise on damaged input; UnpicklingError is handled before them.
_DAMAGE = (
    RuntimeError,
    EOFError,
    LookupError,
    ValueError,
    AttributeError,
    TypeError,
    AssertionError,
    ArithmeticError,
    OSError,
    struct.error,
)


def read_tensors(path: str | Path) -> dict[str, Tensor]:
    """Read a state dict and nothing else.

    A state dict stored under one of ``WRAPPERS`` is unwrapped. ``module.`` is taken off the keys;
    where some keys begin with ``generator_ema.``, those are the model and the others, which belong
    to its training, are left out.

    Args:
        path: A .pth, .pt, .bin or .safetensors file, of any name.

    Returns:
        Names and tensors, on the CPU, dtypes as stored. They may be views of the memory-mapped
        file: copy them before the file is replaced or deleted.

    Raises:
        CheckpointNotFoundError: There is no such file.
        UnsafeCheckpointError: The file asks for more than tensors. Nothing in it was run.
        CheckpointReadError: The file cannot be opened, is damaged, or is of another kind.
    """
    path = Path(path)
    head, size = _read_head(path)
    if head.startswith(_ZIP_MAGIC):
        content = _read_zip(path)
    elif _is_safetensors(head):
        content = _read_safetensors(path, head, size)
    elif head.startswith(_PICKLE_PROTO):
        content = _read_plain_pickle(path)
    else:
        raise CheckpointReadError(
            f"{path.name}: expected a PyTorch or safetensors file, {_describe(head, size)}"
        )
    return _strip_prefixes(_only_tensors(_unwrap(content, path), path), path)


def _read_head(path: Path) -> tuple[bytes, int]:
    """The first bytes and the size of a file."""
    try:
        if path.is_dir():
            raise CheckpointReadError(
                f"{path.name}: expected a file, got a folder ({path}). Name the file in it."
            )
        if not path.exists():
            raise CheckpointNotFoundError(
                f"{path.name}: expected a file at {path}, got none. "
                "Check the name, or download it into that folder."
            )
        if not path.is_file():
            raise CheckpointReadError(
                f"{path.name}: expected a file, got a pipe or a device ({path}). Choose a file."
            )
        with path.open("rb") as file:
            return file.read(_HEAD_BYTES), path.stat().st_size
    except OSError as error:
        if isinstance(error, CheckpointNotFoundError):
            raise
        raise CheckpointReadError(
            f"{path.name}: expected a readable file, got {error.strerror or error} ({path}). "
            "Check its permissions and the disk."
        ) from error


def _is_safetensors(head: bytes) -> bool:
    """Whether a file begins like safetensors: 8 bytes of header length, then a JSON object."""
    length = int.from_bytes(head[:8], "little")
    return head[8:9] == b"{" and 2 <= length <= _MAX_SAFETENSORS_HEADER_BYTES


def _read_safetensors(path: Path, head: bytes, size: int) -> dict[str, Tensor]:
    expected = 8 + int.from_bytes(head[:8], "little")
    if size < expected:
        raise CheckpointReadError(
            f"{path.name}: expected at least {expected} bytes, got {size}. "
            "The file is truncated; download it again."
        )
    try:
        with safetensors.safe_open(path, framework="pt", device="cpu") as file:
            return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 no __iter__
    except (safetensors.SafetensorError, *_DAMAGE) as error:
        raise _damaged(path, "a safetensors file", error) from error


def _read_zip(path: Path) -> Any:
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, *_DAMAGE) as error:
        raise CheckpointReadError(
            f"{path.name}: expected a complete PyTorch file, got one whose end is missing or "
            f"damaged ({error}). The download was probably cut off; download it again."
        ) from error
    inner = {entry.filename.rpartition("/")[2] for entry in entries}
    if "constants.pkl" in inner:
        raise UnsafeCheckpointError(
            f"{path.name}: expected a state dict, got a TorchScript program. Nothing in it was "
            "run, and there is no way to force it. Choose the file with the weights alone."
        )
    if "data.pkl" not in inner:
        names = ", ".join(entry.filename for entry in entries[:3]) or "nothing"
        raise CheckpointReadError(
            f"{path.name}: expected a PyTorch file, got a zip archive with {names} in it. "
            "Unpack it, and choose the model file inside if there is one."
        )
    # A repacked archive may be compressed, and mapped memory would then hold compressed bytes.
    is_stored = all(entry.compress_type == zipfile.ZIP_STORED for entry in entries)
    return _torch_load(path, mmap=is_stored)


def _read_plain_pickle(path: Path) -> Any:
    # A tar may begin with any bytes. PyTorch before 2.6 reads its old tar format without the
    # restrictions of weights_only (CVE-2025-32434).
    if tarfile.is_tarfile(path):
        raise UnsafeCheckpointError(
            f"{path.name}: expected a state dict, got a tar archive, which PyTorch cannot read "
            "safely. Nothing in it was run. Choose another file, preferably .safetensors."
        )
    return _torch_load(path, mmap=False)


def _torch_load(path: Path, *, mmap: bool) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the pickle protocol; what fails raises
            return torch.load(str(path), map_location="cpu", weights_only=True, mmap=mmap)
    except pickle.UnpicklingError as error:
        raise _blocked(path, str(error)) from error
    except _DAMAGE as error:
        raise _damaged(path, "a PyTorch file", error) from error


def _blocked(path: Path, message: str) -> CheckpointReadError:
    """The error for a pickle that the restricted unpickler refused."""
    found = re.search(r"GLOBAL (\S+) (?:was not an allowed|whose module)", message)
    names = [found[1]] if found else _foreign_globals(path)
    if names or re.search(r"Trying to call|Can only (?:create|build)", message):
        asked = ", ".join(repr(name) for name in names[:3]) or "a call"
        return UnsafeCheckpointError(
            f"{path.name}: expected only tensors, got a pickle that asks for {asked}. It was "
            "refused, nothing in it was run, and there is no way to force it. "
            "Choose a file with the weights alone, best a .safetensors one."
        )
    return CheckpointReadError(
        f"{path.name}: expected a PyTorch state dict, got a pickle that cannot be read "
        f"({_first_line(message)}). The file is damaged or of another program; download it again."
    )


def _foreign_globals(path: Path) -> list[str]:
    """Dotted names beyond those of tensors that a pickle asks for, read without running it.

    Of a pickle of protocol 4 or 5, PyTorch's unpickler stops at the first opcode and names nothing.
    """
    names: list[str] = []
    strings: list[str] = []  # in the order pushed; a STACK_GLOBAL takes the last two
    memo: list[str] = []
    try:
        for opcode, argument, _ in pickletools.genops(_pickle_stream(path)):
            if opcode.name in ("GLOBAL", "INST"):
                names.append(str(argument).replace(" ", "."))
            elif opcode.name == "STACK_GLOBAL":
                names.append(".".join(strings[-2:]))
            elif opcode.name == "MEMOIZE":
                memo.append(strings[-1] if strings else "")
            elif opcode.name in ("BINGET", "LONG_BINGET") and memo:
                strings.append(memo[int(str(argument))])
            elif isinstance(argument, str):
                strings.append(argument)
    except (zipfile.BadZipFile, zlib.error, StopIteration, *_DAMAGE):
        pass  # what was seen before the damage is all there is
    return [name for name in dict.fromkeys(names) if not _TENSOR_GLOBAL.fullmatch(name)]


def _pickle_stream(path: Path) -> bytes:
    """The beginning of the pickle in a PyTorch file."""
    if not zipfile.is_zipfile(path):
        with path.open("rb") as file:
            return file.read(_MAX_SCANNED_BYTES)
    with zipfile.ZipFile(path) as archive:
        entry = next(n for n in archive.namelist() if n.rpartition("/")[2] == "data.pkl")
        with archive.open(entry) as file:
            return file.read(_MAX_SCANNED_BYTES)


def _damaged(path: Path, kind: str, error: BaseException) -> CheckpointReadError:
    return CheckpointReadError(
        f"{path.name}: expected {kind}, got one that cannot be read "
        f"({type(error).__name__}: {_first_line(str(error))}). "
        "The file is damaged or truncated; download it again."
    )


def _first_line(message: str) -> str:
    """The first line that says what, of a message of PyTorch's."""
    start = message.rpartition("WeightsUnpickler error: ")[2].strip()
    return start.partition("\n")[0][:200] or "no reason given"


def _describe(head: bytes, size: int) -> str:
    """What a file of no known kind seems to be, and what to do about it."""
    if not head:
        return "got an empty file. The download failed; download it again."
    if head.startswith(_LFS_MAGIC):
        return (
            "got a Git LFS pointer, a stand-in of a few lines for the real file. "
            "Run 'git lfs pull' in that repository, or download the file itself."
        )
    for magic, kind in _OTHER_MAGIC.items():
        if head.startswith(magic):
            return f"got {kind}. Unpack or convert it, or choose another file."
    text = _as_text(head)
    if re.match(r"(?:<!--.*?-->\s*)?<(?:!doctype|html|head|body|\?xml)", text, re.I | re.S):
        return (
            "got a web page. The address led to a page instead of the file, or asked to log in; "
            "download it again from the file's own link."
        )
    if text:
        return f"got a text file beginning with {text[:40]!r}. Download the file again."
    return (
        f"got {size} bytes beginning with {head[:8].hex(' ')}. "
        "The file is damaged or of another kind; download it again or choose another."
    )


def _as_text(head: bytes) -> str:
    """The head of a text file, stripped; nothing if it is not text."""
    try:
        # Incremental: the head may end within a character.
        text = codecs.getincrementaldecoder("utf-8-sig")().decode(head).strip()
    except UnicodeDecodeError:
        return ""
    return text if all(char.isprintable() or char.isspace() for char in text) else ""


def _unwrap(content: Any, path: Path) -> dict[Any, Any]:
    """The innermost state dict of nested wrappers."""
    while isinstance(content, dict):
        wrapper = next((key for key in WRAPPERS if isinstance(content.get(key), dict)), None)
        if wrapper is None:
            return content
        content = content[wrapper]
    raise CheckpointReadError(
        f"{path.name}: expected a state dict, got {_kind_of(content)}. "
        "Choose a file that holds names and tensors."
    )


def _only_tensors(content: dict[Any, Any], path: Path) -> dict[str, Tensor]:
    if not content:
        raise CheckpointReadError(
            f"{path.name}: expected names and tensors, got none. Choose another file."
        )
    tensors: dict[str, Tensor] = {}
    for key, value in content.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise CheckpointReadError(
                f"{path.name}: expected names and tensors, or a state dict under one of "
                f"{', '.join(WRAPPERS)}, got {_kind_of(value)} under {key!r}. "
                "Save the state dict alone, or choose another file."
            )
        if value.device.type != "cpu" or value.layout != torch.strided or value.is_quantized:
            raise CheckpointReadError(
                f"{path.name}: expected plain dense tensors, got a {value.device.type} tensor of "
                f"layout {value.layout}, dtype {value.dtype} under {key!r}. Choose another file."
            )
        tensors[key] = value.detach()
    return tensors


def _kind_of(value: object) -> str:
    if isinstance(value, dict):
        return f"a dict of {len(value)}"
    if value is None or isinstance(value, bool | int | float | str):
        return f"{type(value).__name__} {value!r:.60}"
    return f"a {type(value).__name__}"


def _strip_prefixes(tensors: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    """The tensors without the prefixes of training code, repeated ones included."""
    parallel, averaged = PREFIXES
    while True:
        if any(key.startswith(averaged) for key in tensors):
            tensors = {
                key.removeprefix(averaged): value
                for key, value in tensors.items()
                if key.startswith(averaged)
            }
        elif any(key.startswith(parallel) for key in tensors):
            stripped = {key.removeprefix(parallel): value for key, value in tensors.items()}
            if len(stripped) < len(tensors):
                raise CheckpointReadError(
                    f"{path.name}: expected each name once, got some with and without "
                    f"{parallel!r}. The file is damaged; choose another."
                )
            tensors = stripped
        else:
            return tensors
