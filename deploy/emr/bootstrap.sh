#!/usr/bin/env bash
# Bootstrap action of EMR, and the installer of the host: a virtual environment with the packages of runtime.lock.
#   bootstrap.sh REQUIREMENTS [--python PYTHON] [--venv FOLDER] [--wheels FOLDER] [--with-spark]
#   REQUIREMENTS   s3://.../runtime.lock, or a file
#   --python       its name or path (default: python3.11, which emr-spark-8.1.0 has)
#   --venv         the folder of the virtual environment (default: /opt/capstone/venv)
#   --wheels       s3://..., where `capstone emr-packages` keeps the packages of REQUIREMENTS as wheels, an archive for each
#                  kind of machine: they come from there, and from no index
#   --with-spark   install pyspark as well. A cluster has its own, which comes first on PYTHONPATH: the package would
#                  be 400 MB that nothing imports
# It installs only packages, including build tools, whose hash is in REQUIREMENTS. To use a mirror, set pip's variables:
# PIP_INDEX_URL, or PIP_NO_INDEX and PIP_FIND_LINKS. If the script fails, EMR ends the cluster; the script's output is
# below the log location of the cluster, in node/<instance>/bootstrap-actions/.
set -euo pipefail
umask 022

say() { echo "$(date -u +%FT%TZ) bootstrap: $*"; }
fail() {
    say "$*" >&2
    exit 1
}
trap 'fail "failed in line $LINENO: $BASH_COMMAND"' ERR

python=python3.11 venv=/opt/capstone/venv requirements="" wheels="" with_spark=""
while [ $# -gt 0 ]; do
    case $1 in
        --python | --venv | --wheels)
            [ $# -ge 2 ] || fail "$1 needs a value"
            case $1 in --python) python=$2 ;; --venv) venv=$2 ;; --wheels) wheels=$2 ;; esac
            shift
            ;;
        --with-spark) with_spark=yes ;;
        -*) fail "unknown option $1" ;;
        *)
            [ -z "$requirements" ] || fail "one requirements file is enough, not also $1"
            requirements=$1
            ;;
    esac
    shift
done
[ -n "$requirements" ] ||
    fail "usage: bootstrap.sh REQUIREMENTS [--python PYTHON] [--venv FOLDER] [--wheels FOLDER] [--with-spark]"

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

if ! command -v "$python" >/dev/null; then
    say "there is no $python, installing it"
    as_root dnf install -y "$python" || fail "there is no $python, and dnf cannot install it; name another with --python"
fi
"$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' ||
    fail "$python cannot be used: Python 3.11, 3.12 or 3.13 is needed; name one with --python"

[ -d "$venv" ] || as_root install -d -o "$(id -u)" -g "$(id -g)" "$venv"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
case $requirements in
    s3://*) aws s3 cp --no-progress "$requirements" "$work/requirements.lock" ;;
    *) cp "$requirements" "$work/requirements.lock" ;;
esac

made_of="$("$python" -V) ${with_spark:+with Spark }$(sha256sum <"$work/requirements.lock")"
if [ "$(cat "$venv/.made_of" 2>/dev/null)" = "$made_of" ]; then
    say "$venv is ready: it holds the packages of $requirements already"
    exit 0
fi

if [ -n "$wheels" ]; then
    say "taking the packages from $wheels"
    machine=$(uname -m)
    mkdir "$work/wheels"
    aws s3 cp --no-progress "$wheels/$machine.tar" "$work/wheels.tar" ||
        fail "it has no packages for this kind of machine; keep them: capstone emr-packages --machine $machine"
    tar -xf "$work/wheels.tar" -C "$work/wheels"
    export PIP_NO_INDEX=1 PIP_FIND_LINKS="$work/wheels"
fi
say "installing the packages of $requirements into $venv"
rm -f "$venv/.made_of"
"$python" -m venv --clear "$venv"
# A requirement begins in the first column; its hashes are indented.
awk '/^[^ #]/ { is_tool = /^setuptools==/ } is_tool' "$work/requirements.lock" >"$work/tools"
awk -v keep_spark="$with_spark" '/^[^ #]/ { keep = !/^setuptools==/ && (keep_spark || !/^pyspark==/) } keep' \
    "$work/requirements.lock" >"$work/packages"
# The lock is complete: pip must neither look for other packages nor build with them.
pip=("$venv/bin/python" -m pip --disable-pip-version-check install --quiet --no-cache-dir --retries 10
    --require-hashes --no-deps --use-pep517)
[ ! -s "$work/tools" ] || "${pip[@]}" -r "$work/tools"
[ ! -s "$work/packages" ] || "${pip[@]}" --no-build-isolation -r "$work/packages"
echo "$made_of" >"$venv/.made_of"
say "$venv is ready: $("$venv/bin/python" -V) with $(find "$venv" -name '*.dist-info' | wc -l) packages"
