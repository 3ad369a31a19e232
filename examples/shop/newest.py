"""Print the clicks of the last day as CSV.

python newest.py ADDRESS > new.csv
"""

import csv
import sys
import time

from store import Store

COLUMNS = ("user_id", "item_id", "clicked_at")
DAY = 86_400


def main() -> None:
    """Print them."""
    query = f"SELECT {', '.join(COLUMNS)} FROM clicks WHERE clicked_at > ? ORDER BY clicked_at"
    lines = csv.writer(sys.stdout, lineterminator="\n")
    lines.writerow(COLUMNS)
    lines.writerows(Store(sys.argv[1]).rows(query, [int(time.time()) - DAY]))


if __name__ == "__main__":
    main()
