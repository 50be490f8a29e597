"""The API and the page."""

import os

# One thread for each request's arithmetic: its systems are small. NumPy reads it when it is imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
