#!/bin/sh
# Makes Temporal's two databases and brings their schemas up to date. Safe to repeat. SQL_PASSWORD comes from compose.
set -eu

for database in temporal:temporal temporal_visibility:visibility; do
    name="${database%%:*}"
    kind="${database##*:}"
    tool="temporal-sql-tool --plugin postgres12 --ep postgresql -p 5432 -u temporal --db $name"
    $tool create
    $tool setup-schema -v 0.0
    $tool update-schema -d "/etc/temporal/schema/postgresql/v12/$kind/versioned"
done
