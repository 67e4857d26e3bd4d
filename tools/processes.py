"""Start several processes as ``torch.distributed.run`` does, and end with the status of the first that failed.

``torch.distributed.run`` itself ends with a traceback of its own, under which the line that names the mistake is lost.
"""

import logging
import os
import sys

from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.run import main

if __name__ == '__main__':
    for name in ('OMP_NUM_THREADS', 'MKL_NUM_THREADS'):
        os.environ.setdefault(name, '1')  # as torch and mmengine do, with warnings
    logging.disable(logging.ERROR)  # the commands speak for themselves
    try:
        main()
    except ChildFailedError as error:
        status = error.get_first_failure()[1].exitcode
        sys.exit(status if status >= 0 else 128 - status)
    except SignalException as stop:
        sys.exit(128 + stop.sigval)
