"""In place of scipy, where processes that tests start look first: it is not there, as for users who have none.

Numba loads `scipy.linalg` wherever it is installed, which takes a third of the time in which a small job starts; the
package does not need it.
"""

raise ModuleNotFoundError("No module named 'scipy'", name="scipy")
