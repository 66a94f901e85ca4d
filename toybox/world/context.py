"""The one way to OpenGL: a context without a screen, through EGL."""

import os
from typing import Any


def open_context(who: str) -> Any:
    """Opens an OpenGL context.

    Args:
        who: What draws with it, as the beginning of a sentence ("people are").

    Returns:
        A moderngl context.

    Raises:
        RuntimeError: No EGL driver is there, or moderngl is not installed.
    """
    try:
        import moderngl

        os.environ.setdefault("LP_NUM_THREADS", "1")  # scenes are drawn by many processes, not by many threads
        return moderngl.create_context(standalone=True, backend="egl", require=330)
    except Exception as error:
        raise RuntimeError(
            f"{who} drawn with OpenGL, and no context could be opened ({error}); it needs moderngl and an EGL driver; "
            "on Debian: apt-get install libegl1 libgl1-mesa-dri, then: pip install 'ipseity[toybox]'"
        ) from error
