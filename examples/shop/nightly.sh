#!/bin/sh
# Once a night: yesterday's clicks into the run. kgrec serve RUN makes its tables again and takes them
# over by itself. In /etc/cron.d:
# 30 3 * * * shop cd /srv/shop && DATABASE=postgresql:///shop ./nightly.sh
set -eu
psql "$DATABASE" -q -v ON_ERROR_STOP=1 -c "\\copy (SELECT user_id, item_id, clicked_at FROM clicks WHERE clicked_at > extract(epoch FROM now()) - 86400) TO 'new.csv' WITH (FORMAT csv, HEADER)"
kgrec -q update run --interactions new.csv
