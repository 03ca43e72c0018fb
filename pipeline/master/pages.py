# SPDX-License-Identifier: Apache-2.0
"""Writing an array so that it lies in memory in pages of 2 MB and not of 4 kB.

The look-up meets another page of a table of gigabytes with every read. With small pages the processor has to find the
page first, which costs as much as the fetch of the row; with large ones it seldom has to. The system makes large pages
of a file only while it reads them through a mapping that asks for it. So the file's holes are read first, which takes
no disk, and filled afterwards.
"""

import mmap
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_LARGE_BYTES: Final = 16 << 20
_POPULATE_READ: Final = 22
"""`MADV_POPULATE_READ` of Linux 5.14, which Python does not name."""


def save(path: Path, array: NDArray[Any]) -> None:
    """Write an array as `np.save` does; a large one through large pages, where the system has them."""
    if array.nbytes < _LARGE_BYTES or not hasattr(mmap, "MADV_HUGEPAGE"):
        np.save(path, array)
        return
    with path.open("wb+") as file:
        np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(array))
        file.truncate(file.tell() + array.nbytes)
        with suppress(OSError), mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as pages:  # a kernel without them
            pages.madvise(mmap.MADV_HUGEPAGE)
            pages.madvise(_POPULATE_READ)
        array.tofile(file)
