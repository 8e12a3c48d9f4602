"""Keeps Orbax's messages off the terminal: what goes wrong it raises."""

import logging as standard_logging
import sys
import warnings
from typing import Any

from absl import logging

# Said after a failed save: for every array a thread of TensorStore's calls back into an event loop
# that Orbax has closed, and nobody asks for the other arrays' errors.
_LOOP_CLOSED = 'Event loop is closed'
_NOT_RETRIEVED = 'exception was never retrieved'


def silence_orbax() -> None:
    """Hides Orbax's log lines, unless --verbosity asks for more; may be called again.

    It warns of options that it sets itself, and logs with a traceback what it raises later.
    """
    logging.get_absl_logger().addFilter(_is_wanted)
    standard_logging.getLogger('asyncio').addFilter(_is_wanted)
    warnings.filterwarnings('ignore', 'coroutine .* was never awaited', RuntimeWarning)
    if sys.unraisablehook is sys.__unraisablehook__:
        sys.unraisablehook = _report_others


def _is_wanted(record: standard_logging.LogRecord) -> bool:
    if logging.get_verbosity() >= logging.INFO:
        return True
    return 'orbax' not in record.pathname and _NOT_RETRIEVED not in record.getMessage()


def _report_others(unraisable: Any) -> None:
    if str(unraisable.exc_value) != _LOOP_CLOSED:
        sys.__unraisablehook__(unraisable)
