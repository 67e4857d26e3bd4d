"""Proposals of a data set in parts, before they are one file."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mlic_mm.utils.shard_store import ShardStore

from .proposal_file import VERSION, Entry, ProposalFile, write_proposal_file

__all__ = ['ProposalParts']


class ProposalParts(ShardStore):
    """Proposals of a data set in parts. Several processes may write them.

    Args:
        folder: Is made if it is missing.
        generator: Settings of the generator, fit for JSON.
        dataset: What a proposal file says of the data set.
        ids: Image ids.
    """

    kind = 'folder of unfinished proposals'
    index_name = 'settings.json'
    index_start = '{"generator": '
    pattern = f'{"[0-9]" * 8}.st'
    size = 32

    def __init__(
        self, folder: str | Path, generator: Mapping[str, Any], dataset: Mapping[str, Any], ids: Sequence[str]
    ) -> None:
        images = hashlib.sha256('\n'.join(ids).encode()).hexdigest()
        index = dict(generator=generator, dataset=dataset, images=images, part=self.size, version=VERSION)
        super().__init__(folder, index, ids)

    def path_of(self, number: int) -> Path:
        return self.folder / f'{number * self.size:08d}.st'

    def is_done(self, number: int) -> bool:
        try:
            return ProposalFile(self.path_of(number)).ids == self.ids_of(number)
        except (ValueError, FileNotFoundError):
            return False

    def read_index(self) -> dict[str, Any]:
        try:
            return json.loads((self.folder / self.index_name).read_text())
        except ValueError:
            return {}

    def difference(self, before: Mapping[str, Any]) -> str:
        key = next(key for key in {**self.index, **before} if self.index.get(key) != before.get(key))
        return f'other {key}: {before.get(key)}, now {self.index.get(key)}'

    def write(self, number: int, entries: Iterable[Entry]) -> None:
        """Write a part, complete or not at all."""
        write_proposal_file(self.path_of(number), entries, self.index['generator'], self.index['dataset'])

    def entries(self) -> Iterator[Entry]:
        """Yield what the parts hold. Rounding is not repeated: a rounded box rounds to itself."""
        for number in range(len(self)):
            part = ProposalFile(self.path_of(number))
            for img_id in self.ids_of(number):
                yield (img_id, part.size(img_id), *part[img_id])
