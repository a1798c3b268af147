#!/usr/bin/env bash
# The role the axis works as: owner of its own database, of the demonstration's, and of nothing else. Run once, by PostgreSQL's image, when
# the data folder is empty.
set -euo pipefail
psql --no-psqlrc --quiet --username "$POSTGRES_USER" --dbname postgres --set ON_ERROR_STOP=1 <<'SQL'
\set password `cat "$AXIS_PASSWORD_FILE"`
CREATE ROLE axis LOGIN PASSWORD :'password'
  NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS CONNECTION LIMIT 200;
CREATE DATABASE axis OWNER axis TEMPLATE template0 ENCODING 'UTF8';
CREATE DATABASE axis_demo OWNER axis TEMPLATE template0 ENCODING 'UTF8';
REVOKE CONNECT, TEMPORARY ON DATABASE axis, axis_demo FROM PUBLIC;
REVOKE CONNECT ON DATABASE postgres FROM PUBLIC;
REVOKE CONNECT ON DATABASE template1 FROM PUBLIC;
SQL
