# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: INP001  a benchmark is run as a file

"""Every rule taken out and broken in several ways, each of which must turn its test red: `./dev bench mutants`.

Prints one JSON line; ends with status 1 where a broken rule passes its lines.
"""

import argparse
import json
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter

from pipeline.rules.table import RULES
from tests.mutants import RED, Mutant, mutants, outcome


def main() -> None:
    """Run the lines of each rule whole, then those of every mutant."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rule", help="only mutants of this rule")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    started = perf_counter()
    chosen = [each for each in mutants() if options.rule in (None, each.rule)]
    rules = sorted({each.rule for each in chosen})
    with ThreadPoolExecutor(options.workers) as pool:
        cells = {each.code for each in RULES if each.stage == "cell"}
        whole = dict(zip(rules, pool.map(lambda rule: outcome(rule, plain=rule in cells), rules), strict=True))
        ill = [rule for rule, status in whole.items() if status != 0]
        if ill:
            print(json.dumps({"red_before_anything_is_broken": ill}))
            sys.exit(1)
        found = list(zip(chosen, pool.map(_outcome, chosen), strict=True))
    alive = [each.name for each, status in found if status != RED]
    for name in alive:
        print(f"survives: {name}", file=sys.stderr)
    facts = {
        "rules": len(rules),
        "mutants": len(found),
        "survivors": len(alive),
        "least_per_rule": min(Counter(each.rule for each, _ in found).values()),
        "seconds": round(perf_counter() - started, 1),
    }
    print(json.dumps(facts))
    sys.exit(bool(alive))


def _outcome(mutant: Mutant) -> int:
    return outcome(mutant.rule, mutant=mutant)


if __name__ == "__main__":
    main()
