"""A folder of shards that a stopped run goes on with."""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from mlic_mm.utils.atomic_write import atomic_write

__all__ = ['ShardStore']


class ShardStore(ABC):
    """A folder of shards that a stopped run goes on with.

    An index, a file in JSON, says how the shards are made. A run with the same index keeps the shards that are whole,
    and writes those that are missing. A subclass knows what is in a shard.

    Args:
        folder: Is made if it is missing.
        index: All that decides what is in the shards, fit for JSON.
        ids: Image ids, in the order of the shards.

    Attributes:
        kind: What messages call such a folder.
        index_name: Name of the index.
        index_start: How the text of an index begins. An index that was cut short is still known by it.
        pattern: Names of the shards, as a shell pattern.
        size: Images in a shard: what a stop may cost.
    """

    kind: ClassVar[str]
    index_name: ClassVar[str]
    index_start: ClassVar[str]
    pattern: ClassVar[str]
    size: ClassVar[int]

    def __init__(self, folder: str | Path, index: Mapping[str, Any], ids: Sequence[str]) -> None:
        self.folder = Path(folder)
        self.index: dict[str, Any] = json.loads(json.dumps(index))
        self.ids = list(ids)

    def __len__(self) -> int:
        return -(-len(self.ids) // self.size)

    def begin(self, force: bool = False) -> None:
        """Write the index, or find the same one.

        Args:
            force: Delete the shards of another index. No other file is ever deleted.

        Raises:
            FileExistsError: The folder is a file, or has files and no index of this kind.
            ValueError: The folder was begun with another index; the message names the difference.
        """
        if self.folder.exists() and not self.folder.is_dir():
            raise FileExistsError(f'{self.folder} is a file; choose another --out')
        if self.folder.exists() and any(self.folder.iterdir()):
            if not self._is_ours():
                raise FileExistsError(
                    f'{self.folder} has files and is no {self.kind}; it is left alone, choose another --out'
                )
            if not force:
                before = self.read_index()
                if before == self.index:
                    return
                raise ValueError(
                    f'{self.folder} was begun with {self.difference(before)}; '
                    'go on with the same, choose another --out, or begin anew with --force'
                )
            for shard in self.folder.glob(self.pattern):
                shard.unlink()
        with atomic_write(self.folder / self.index_name) as part:
            part.write_text(json.dumps(self.index))

    def _is_ours(self) -> bool:
        file = self.folder / self.index_name
        head = file.read_bytes()[:64].decode(errors='replace') if file.is_file() else ''
        return head.startswith(self.index_start)

    def ids_of(self, number: int) -> list[str]:
        """Return the image ids of a shard."""
        return self.ids[number * self.size : (number + 1) * self.size]

    def missing(self) -> list[int]:
        """Return the numbers of the shards that are to be written."""
        return [number for number in range(len(self)) if not self.is_done(number)]

    @abstractmethod
    def path_of(self, number: int) -> Path:
        """Return the file of a shard."""

    @abstractmethod
    def is_done(self, number: int) -> bool:
        """Return whether a shard is there, whole, and of this index."""

    @abstractmethod
    def read_index(self) -> dict[str, Any]:
        """Read the index of the folder."""

    @abstractmethod
    def difference(self, before: Mapping[str, Any]) -> str:
        """Name the first difference between the index of the folder and this one."""
