"""What the tests of several data sets need."""

import logging
from pathlib import Path

from mmengine.logging import MMLogger

from mlic_mm.datasets import CSVMultiLabel

REPO = Path(__file__).resolve().parents[2]


class Log:
    """The messages of mmengine's current logger."""

    def __enter__(self) -> list[str]:
        messages: list[str] = []
        self.handler = logging.Handler(logging.INFO)
        self.handler.emit = lambda record: messages.append(record.getMessage())  # type: ignore[method-assign]
        MMLogger.get_current_instance().addHandler(self.handler)
        return messages

    def __exit__(self, *exc: object) -> None:
        MMLogger.get_current_instance().removeHandler(self.handler)


def build_csv(folder: Path, content: str | bytes, **options: object) -> CSVMultiLabel:
    """Write a table into a folder and read it."""
    raw = content.encode() if isinstance(content, str) else content
    (folder / 'labels.csv').write_bytes(raw)
    for name in ('a.jpg', 'x.jpg', '0.jpg'):  # a first line that is no header is an image that is there
        (folder / name).touch()
    # Without serialised samples, which collect garbage each time and take most of it.
    return CSVMultiLabel('labels.csv', data_root=str(folder), **{'serialize_data': False, **options})
