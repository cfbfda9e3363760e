"""One call of the sender in the soak: python -m soak.send PLAN RUN MAX_COST. Prints one JSON line."""

import json
import sys

from skyfan import api
from skyfan.api import AwsOptions, Task

# No option of the command line: half a minute for a response is much where one in thirty never comes.
TIMEOUT_S = 2.0


def main(path: str, run: str, max_cost: float) -> None:
    options = AwsOptions(connections=32, max_cost=max_cost, timeout_s=TIMEOUT_S)
    outcome = api.run([path], options, Task(run))
    counts = outcome.state.counts if outcome.state else {}
    print(json.dumps({"stopped": outcome.stopped, "counts": counts}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]))
