"""Recommendations: the champion kept at hand, and a person's ratings as they are now.

One thread of one process, the leader, watches MLflow's registry and puts the champion on the disk
(:mod:`.watcher`, :mod:`.shelf`). A thread of each process maps it into memory from there and keeps the
catalogue at hand (:mod:`.keeper`). A request takes what is served at that moment, asks PostgreSQL for the
person's films (:mod:`.people`) and makes the reply of the two (:mod:`.advice`).
"""

from dataflix_backend.recommendations.keeper import Keeper, Status
from dataflix_backend.recommendations.views import recommendations, start, status

__all__ = ["Keeper", "Status", "recommendations", "start", "status"]
