"""The backend: the HTTP API for users, films, ratings and recommendations, and the web page that uses it."""

import os

# A request solves only small systems of equations, for which one thread is fastest. NumPy reads this variable
# when it is imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
