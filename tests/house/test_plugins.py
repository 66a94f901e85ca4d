"""Adding a plug-in edits no source file: drop one into each room from outside, by entry point, and run a flow with it."""

import subprocess
import sys
from pathlib import Path

PLUGINS = Path(__file__).parents[1] / "fixtures" / "plugins"
SCRIPT = """
import sys
sys.path.insert(0, {site!r})
import warnings; warnings.simplefilter("error"); warnings.filterwarnings("ignore", category=DeprecationWarning)
from outside_check import check
check({photos!r}, {out!r})
print("outside plug-ins work")
"""


def test_outside_plugins_work_in_every_room(tmp_path: Path, subject_folder: Path) -> None:
    code = SCRIPT.format(site=str(PLUGINS), photos=str(subject_folder), out=str(tmp_path))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False)
    assert "outside plug-ins work" in done.stdout, done.stdout[-2000:] + done.stderr[-4000:]
