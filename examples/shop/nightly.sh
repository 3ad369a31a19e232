#!/bin/sh
# Once a night: yesterday's clicks into the run. kgrec serve RUN makes its tables again and takes them
# over by itself. In /etc/cron.d:
# 30 3 * * * shop cd /srv/shop && DATABASE=postgresql:///shop ./nightly.sh
set -eu
python newest.py "$DATABASE" > new.csv
kgrec -q update run --interactions new.csv
