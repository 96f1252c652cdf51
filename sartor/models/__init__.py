"""Models: where they come from, how their layers are run, what is trained on top.

Set before any Hub library is imported, because they read it then: nothing here reports to anyone.
"""

import os

os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("DO_NOT_TRACK", "1")
