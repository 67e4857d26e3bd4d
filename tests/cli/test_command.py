"""How commands end: one line and exit status 2 on a mistake, and the signal's status where they are stopped."""

import multiprocessing
import os
import signal
import sys
import time

import pytest
from mmengine.config import Config

from mlic_mm.cli.command import GOES_ON, command
from mlic_mm.cli.explain import explain
from mlic_mm.cli.parser import CommandParser, ConfigOptions
from mlic_mm.cli.stop import HANDLED
from mlic_mm.registry import MODELS


def fail_with(error: BaseException):
    @command
    def main(argv=None):
        raise error

    return main


@pytest.mark.parametrize(
    ('error', 'line'),
    [
        (ValueError('a\n  b\n\n c'), 'error: a; b; c'),
        (KeyError('model'), "error: no key 'model' in the config or the data"),
        (FileNotFoundError(2, 'No such file or directory', 'x.png'), 'error: x.png: No such file or directory'),
        (AssertionError(), 'error: AssertionError (test_command.py, line '),
        (AssertionError('n must be positive'), 'error: n must be positive'),
        (RuntimeError('mat1 and mat2'), 'error: RuntimeError: mat1 and mat2 (test_command.py, line '),
        (
            ValueError('Caught X in worker 0.\nOriginal Traceback (most recent call last):\nValueError: bad.png'),
            'error: ValueError: bad.png',
        ),
        (ValueError('y' * 5000), 'error: yyyy'),
    ],
)
def test_a_mistake_takes_one_line(error, line, capsys):
    with pytest.raises(SystemExit) as caught:
        fail_with(error)([])
    assert caught.value.code == 2
    out, err = capsys.readouterr()
    assert out == ''
    assert err.startswith(line)
    assert err.count('\n') == 1
    assert len(err) < 1600


def test_a_command_says_what_a_stop_has_left(capsys):
    @command(interrupted=GOES_ON)
    def main(argv=None):
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as caught:
        main([])
    assert caught.value.code == 130
    assert capsys.readouterr().err == '\ninterrupted: the same command goes on from here\n'


def test_what_was_set_up_for_the_imports_ends_when_a_command_begins(monkeypatch):
    calls = []
    monkeypatch.setattr('mlic_mm.cli.command.AT_START', [lambda: calls.append('before')])
    command(lambda argv: calls.append('main'))([])
    assert calls == ['before', 'main']


def test_debug_shows_where():
    with pytest.raises(ZeroDivisionError):
        fail_with(ZeroDivisionError('x'))(['--debug'])


def options(*words):
    parser = CommandParser(prog='train.py')
    parser.add_argument('config')
    parser.add_argument('--work-dir')
    parser.add_argument('--cfg-options', nargs='+', action=ConfigOptions)
    return parser.parse_args([str(word) for word in words])


@pytest.mark.parametrize(
    ('words', 'line'),
    [
        (
            ['c.py', '--work-dri', 'w'],
            "error: unknown: --work-dri w; did you mean '--work-dir'?; train.py --help lists all",
        ),
        ([], 'error: the following arguments are required: config; train.py --help'),
        (['c.py', '--cfg-options', 'foo'], 'error: --cfg-options foo: write KEY=VALUE, such as'),
        (['c.py', '--cfg-options', 'a=1', '.b=2'], 'error: --cfg-options .b=2: write KEY=VALUE'),
        (['c.py', '--cfg-options', 'a=[1,(2]'], 'error: --cfg-options a=[1,(2]: Imbalanced brackets'),
    ],
)
def test_wrong_words_take_one_line(words, line, capsys):
    with pytest.raises(SystemExit) as caught:
        options(*words)
    assert caught.value.code == 2
    err = capsys.readouterr().err
    assert err.startswith(line)
    assert err.count('\n') == 1


def test_options_are_read_as_mmengine_reads_them():
    assert options('c.py', '--cfg-options', 'a.b=1', 'c=[1,x]', 'd="y=z"').cfg_options == {
        'a.b': 1,
        'c': [1, 'x'],
        'd': 'y=z',
    }


def test_words_become_keywords_of_a_job():
    parser = CommandParser(prog='job.py')
    parser.add_argument('config')
    parser.add_config_options()
    assert parser.parse_keywords(['c.py', '--cfg-options', 'a.b=1', '--debug']) == {
        'config': 'c.py',
        'options': {'a.b': 1},
    }
    assert parser.parse_keywords(['c.py']) == {'config': 'c.py', 'options': None}


def built(**cfg):
    with pytest.raises((KeyError, TypeError)) as caught:
        MODELS.build(Config(cfg)._cfg_dict)
    return explain(caught.value)


def test_names_that_are_unknown_come_with_the_nearest():
    assert 'did you mean' in built(type='mlic_mm.DeepLIFTHed')
    assert "'mlic_mm.DeepLIFTHead'" in built(type='mlic_mm.DeepLIFTHed')
    assert "'mmpretrain.ResNet'" in built(type='mmpretrain.RestNet', depth=18)
    assert built(type='Zyzzyva') == "type='Zyzzyva': there is no such model; check its spelling and custom_imports"
    assert built(type='mmpretrain.ResNet', deph=18) == "ResNet has no argument 'deph'; did you mean 'depth'?"


def wait_for_the_end(ready, errors, rename):
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup ignores it
    sys.stderr = open(errors, 'w')  # noqa: SIM115

    @command
    def main(argv=None):
        ready.set()
        try:
            time.sleep(60)
        except:  # as libraries do
            if rename:
                raise SyntaxError('a config') from None
            raise

    try:
        main([])
    finally:
        sys.stderr.close()


@pytest.mark.process
@pytest.mark.parametrize('rename', [False, True], ids=['plain', 'renamed'])
@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals(number, rename, tmp_path):
    """A real process, stopped for real."""
    context = multiprocessing.get_context('fork')
    ready = context.Event()
    process = context.Process(target=wait_for_the_end, args=(ready, tmp_path / 'errors', rename))
    process.start()
    assert ready.wait(60)
    os.kill(process.pid, number)
    process.join(60)
    assert process.exitcode == 128 + number
    assert (tmp_path / 'errors').read_text() == '\ninterrupted\n'


def test_what_is_ignored_stays_ignored():
    """``nohup`` ignores SIGHUP."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        command(lambda argv: os.kill(os.getpid(), signal.SIGHUP))([])
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    finally:
        signal.signal(signal.SIGHUP, before)


def test_forked_processes_end_at_once():
    """Python's handlers run between two instructions: a worker that waits for a lock would never end."""
    read, write = os.pipe()

    @command
    def main(argv=None):
        assert signal.getsignal(signal.SIGTERM) != signal.SIG_DFL
        child = os.fork()
        if not child:
            default = signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
            os.write(write, f'{default} {signal.pthread_sigmask(signal.SIG_BLOCK, [])}'.encode())
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        assert not signal.pthread_sigmask(signal.SIG_BLOCK, [])
        return os.read(read, 100)

    assert main([]) == b'True set()'
    assert not HANDLED
    os.close(read)
    os.close(write)
