"""The first fit of the demo data, from a cold start: ``python docs/examples/first_fit.py``.

Needs the library alone, without extras.
"""

import time

begun = time.perf_counter()
import bcnmf_jax as bj  # noqa: E402 (its time is measured)

imported = time.perf_counter()
d = bj.datasets.beta_simulation(beta=8)
made = time.perf_counter()
model = bj.BCNMF(n_components=2, alpha=2.0, n_restarts=1, max_iter=2000, random_state=0)
model.fit(d.target, background=d.background)
done = time.perf_counter()
print(f"{d.target.shape[0]} + {d.background.shape[0]} cells x {d.target.shape[1]} genes")
print(f"import {imported - begun:.2f} s, simulation {made - imported:.2f} s")
print(f"fit {done - made:.2f} s ({model.n_iter_} steps, {model.result_})")
