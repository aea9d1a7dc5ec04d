#!/usr/bin/env bash
# Installs the release of this file on this host: packages, settings, services.
#   install.sh PLATFORM
# Run it as root, and again after a change of settings or stacks. To go back to an older release, run that release's
# script. Your own settings are in /etc/capstone/own.env and override those of the stacks.
set -euo pipefail
[ $# = 1 ] || { echo "usage: install.sh PLATFORM" >&2; exit 2; }
platform=$1
release=$(cd "$(dirname "$0")/../.." && pwd -P)  # not /opt/capstone/current, which is to link to it
say() { echo "install: $*"; }

id capstone >/dev/null 2>&1 ||
    useradd --system --create-home --home-dir /var/lib/capstone --shell /usr/sbin/nologin capstone

"$release/deploy/emr/bootstrap.sh" "$release/deploy/runtime.lock" --venv "$release/.venv" --with-spark
"$release/.venv/bin/python" -m pip --disable-pip-version-check install --quiet --no-deps --no-build-isolation \
    --editable "$release"
# The user of the services cannot write here, and would compile everything at every start.
"$release/.venv/bin/python" -m compileall -q "$release/capstone_dagster" "$release/spark_code"

say "settings from the stacks $platform-*"
install -d /etc/capstone
touch /etc/capstone/own.env
chmod 600 /etc/capstone/own.env  # it may hold the URLs of alerts
{
    "$release/.venv/bin/python" "$release/deploy/settings_from_stacks.py" "$platform"
    cat <<'SETTINGS'
CAPSTONE_HOME=/var/lib/capstone
PGPASSFILE=/run/capstone/pgpass
PGSSLROOTCERT=/etc/capstone/rds-ca.pem
SETTINGS
    cat /etc/capstone/own.env
} >"$release/.env.new"
# Checked before anything is switched: if they are wrong, the services go on as before.
"$release/.venv/bin/python" - "$release/.env.new" <<'CHECK'
import sys
from pathlib import Path
from capstone_dagster.settings import Settings, variables_of
from spark_code.errors import ExpectedError
try:
    Settings.from_mapping(variables_of(Path(sys.argv[1])))
except ExpectedError as error:
    sys.exit(f"install: nothing was changed: {error}")
CHECK
chown root:capstone "$release/.env.new"
chmod 640 "$release/.env.new"
mv "$release/.env.new" "$release/.env"

say "packages of clusters"
"$release/.venv/bin/capstone" emr-packages --machine "$(uname -m)"

install_uri=$(sed -n 's/^INSTALL_URI=//p' "$release/.env")
aws s3 cp --no-progress "$install_uri/rds-ca.pem" /etc/capstone/rds-ca.pem

say "services of $release"
ln -sfn "$release" /opt/capstone/current
install -m 755 "$release/deploy/host/capstone" /usr/local/bin/capstone
install -m 644 "$release"/deploy/host/systemd/* /etc/systemd/system/
install -D -m 644 "$release/deploy/host/journald.conf" /etc/systemd/journald.conf.d/capstone.conf
install -D -m 644 "$release/deploy/host/tmpfiles.conf" /etc/tmpfiles.d/capstone.conf
systemctl daemon-reload
systemctl restart systemd-journald.service
systemctl restart capstone-password.service
systemctl enable --now capstone-password.timer capstone-heartbeat.timer
for service in code daemon webserver; do
    systemctl enable "capstone-$service.service"
    systemctl restart "capstone-$service.service"
done
say "$(basename "$release") runs; see it with: systemctl status 'capstone-*'"
