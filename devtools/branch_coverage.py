"""The bar for branch coverage: python -m devtools.branch_coverage REPORT PERCENT."""

import json
import sys
from pathlib import Path


def main(report: str, bar: str) -> int:
    """Print the share of branches taken; 1 if it is below the bar."""
    totals = json.loads(Path(report).read_text(encoding="utf-8"))["totals"]
    taken, all_branches = totals["covered_branches"], totals["num_branches"]
    if not all_branches:
        print(f"{report} counts no branches: measure with --cov-branch")
        return 1
    share = 100 * taken / all_branches
    print(f"The pure core: {taken} of {all_branches} branches, {share:.2f} %; the bar is {bar} %")
    return 0 if share >= float(bar) else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
