"""Reads the reports of the Autobahn suite: one line for each end, one for each case that is not passed."""

import collections
import json
import sys

# What the suite says of a case that is passed. "Non-strict": in an order, or with an answer less, that the
# standard allows too. "Informational": there is nothing to pass.
PASSED = {"OK", "NON-STRICT", "INFORMATIONAL"}


def main(paths):
    failed = False
    for path in paths:
        with open(path, encoding="utf-8") as file:
            cases = json.load(file)["lanes"]
        said = collections.Counter()
        for number, case in sorted(cases.items()):
            outcome = (case["behavior"], case["behaviorClose"])
            said.update([outcome])
            if not PASSED.issuperset(outcome):
                failed = True
                print(f"{path}: case {number}: {outcome[0]}, its end {outcome[1]}")
        words = ", ".join(f"{count} {both[0]} (end {both[1]})" for both, count in said.most_common())
        print(f"{path}: {len(cases)} cases: {words}")
    return 1 if failed else 0


sys.exit(main(sys.argv[1:]))
