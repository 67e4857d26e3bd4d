"""How commands read their options."""

import argparse
from collections.abc import Sequence
from typing import Any, NoReturn

from mmengine.config import DictAction

from mlic_mm.utils.choices import did_you_mean

__all__ = ['CommandParser', 'ConfigOptions']


class CommandParser(argparse.ArgumentParser):
    """Parser whose complaints take one line and name the nearest option. Every command has ``--debug``."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault('formatter_class', argparse.RawDescriptionHelpFormatter)
        super().__init__(**kwargs)
        self.add_argument('--debug', action='store_true', help='at an error show the traceback, not one line')

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        known, unknown = self.parse_known_args(args, namespace)
        if unknown:
            near = [did_you_mean(word.split('=')[0], self._option_string_actions, 1, listed=0) for word in unknown]
            self.error(f'unknown: {" ".join(unknown)}{"".join(dict.fromkeys(near))}')
        return known

    def add_config_options(self, text: str = 'override the config: a.b=1 c="[1,2]"') -> None:
        """Add ``--cfg-options KEY=VALUE …``, the keyword ``options`` of a job."""
        name = 'CFG_OPTIONS'  # in the help, as in OpenMMLab's own tools
        self.add_argument('--cfg-options', dest='options', metavar=name, nargs='+', action=ConfigOptions, help=text)

    def parse_keywords(self, args: Sequence[str] | None = None) -> dict[str, Any]:
        """Parse the words of a command, and return them as keyword arguments for the job behind it."""
        found = dict(vars(self.parse_args(args)))
        del found['debug']  # is for the command
        return found

    def error(self, message: str) -> NoReturn:
        self.exit(2, f'error: {message}; {self.prog} --help lists all options\n')


class ConfigOptions(DictAction):
    """``--cfg-options KEY=VALUE …`` as mmengine reads it, with a complaint that names the word."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: Any, values: Any, option_string: Any = None) -> None:
        for word in values:
            key, equals, _ = word.partition('=')
            if not equals or not all(part.strip() for part in key.split('.')):
                parser.error(f'{option_string} {word}: write KEY=VALUE, such as optim_wrapper.optimizer.lr=0.01')
            try:
                super().__call__(parser, argparse.Namespace(**{self.dest: {}}), [word], option_string)
            except RecursionError:
                parser.error(f'{option_string} {word}: write one setting a word, such as {key}.type=… {key}.size=…')
            except (ValueError, AssertionError) as error:
                parser.error(f'{option_string} {word}: {error or "cannot be read"}')
        super().__call__(parser, namespace, values, option_string)
