"""Progress on stderr: tqdm's bars where it is installed and somebody watches."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any


class Progress:
    """A bar over all files, and one over the frames of the current video."""

    def __init__(self, n_files: int, is_quiet: bool) -> None:
        self._bars: list[Any] = []
        self._make: Any = None
        if is_quiet or not sys.stderr.isatty():
            return
        try:
            from tqdm import tqdm
        except ImportError:
            return
        self._make = tqdm
        self._bars = [tqdm(total=n_files, unit="file", leave=False)]

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for bar in reversed(self._bars):
            bar.close()

    def say(self, line: str, *, is_error: bool = False) -> None:
        """Print a line without breaking the bars."""
        stream = sys.stderr if is_error else sys.stdout
        if self._make is not None:
            self._make.write(line, file=stream)
        else:
            print(line, file=stream, flush=True)

    def frames(self, done: int, total: int) -> None:
        """Frames of the current video, as ``restore_video`` counts them: each twice."""
        if not self._bars:
            return
        if len(self._bars) == 1:
            self._bars.append(self._make(unit="frame", leave=False))
        bar = self._bars[1]
        n_frames = total // 2
        is_restoring = 0 < n_frames < done
        bar.set_description("restore faces" if is_restoring else "find faces", refresh=False)
        bar.total = n_frames or None
        bar.n = done - n_frames if is_restoring else done
        bar.refresh()

    def file_done(self) -> None:
        """One more file is done."""
        if self._bars:
            while len(self._bars) > 1:
                self._bars.pop().close()
            self._bars[0].update(1)
