"""The image files that a table names."""

import os

from .table import is_image_name


class ImageFiles:
    """Finds images below a folder. A table may leave out the file extensions.

    Args:
        root: The folder.
        source: The table, for messages.
    """

    def __init__(self, root: str, source: str) -> None:
        self.root, self.source = root, source
        self._folders: dict[str, dict[str, list[str]]] = {}

    def find(self, path: str) -> str | None:
        """Return the file of an image, None if there is none.

        Raises:
            ValueError: The file extension is missing, and several images have that name.
        """
        file = os.path.join(self.root, path)
        if is_image_name(path):
            return file if os.path.exists(file) else None
        # The names of a folder are read once: asking for each ending of each image takes long on a network's disk.
        folder, stem = os.path.split(file)
        if folder not in self._folders:
            known = self._folders[folder] = {}
            for name in os.listdir(folder or '.') if os.path.isdir(folder or '.') else ():
                known.setdefault(os.path.splitext(name)[0], []).append(name)
        if os.path.isfile(file):
            return file
        names = sorted(name for name in self._folders[folder].get(stem, ()) if is_image_name(name))
        if len(names) > 1:
            raise ValueError(
                f'{self.source}: {path!r} is {" or ".join(names)} in {folder or "."}; write the ending in the file'
            )
        return os.path.join(folder, names[0]) if names else None

    def path(self, path: str) -> str:
        """Return the path of an image, whether or not the file exists."""
        file = os.path.join(self.root, path)
        return file if is_image_name(path) else self.find(path) or file
