#!/usr/bin/env bash
# Build the package as it would be published, and try the wheel where there is no source tree:
# with the openai extra against the tests of what users call, and alone.
set -euo pipefail
cd "$(dirname "$0")/../.."
venv=${VENV:-.venv}
work=build/wheel-check
tests="tests/test_docs.py tests/test_memory.py tests/wrap/test_calls.py tests/wrap/test_streams.py"

quietly() { # its output only when it fails
    "$@" >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
}

fresh() { # a virtual environment with nothing in it
    "$venv/bin/python" -m venv "$work/$1"
    "$work/$1/bin/python" -m pip --disable-pip-version-check install --quiet --upgrade "pip>=25.1"
}

rm -rf "$work" dist
mkdir -p "$work"
quietly "$venv/bin/python" -m build # the wheel is built from the source distribution
wheel=$(echo dist/convmem-*.whl)
"$venv/bin/python" tests/packaging/contents.py "$wheel"

fresh core
"$work/core/bin/python" -m pip install --quiet "$wheel"
"$work/core/bin/python" -m pip check --quiet
(cd "$work" && core/bin/python -W error ../../tests/packaging/core_only.py)
echo "wheel without extras: imports, records, reads back, exports"

fresh extra
"$work/extra/bin/python" -m pip install --quiet "$wheel[openai]" --group test
"$work/extra/bin/python" -m pip check --quiet
cp -r tests docs examples *.md LICENSE pyproject.toml zensical.toml "$work"
cd "$work"
# shellcheck disable=SC2086 (one word per path)
extra/bin/python -m pytest --quiet -m "slow or not slow" $tests >log 2>&1 || { cat log; exit 1; }
echo "wheel with openai: $(tail -n 1 log)"
