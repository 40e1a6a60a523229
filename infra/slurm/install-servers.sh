#!/bin/sh
# Install what tests start for themselves: an SSH server and Slurm for
# tests/engine/test_real_clusters.py, Chromium for tests/report/test_in_browser.py. For Debian and
# Ubuntu, as root. No service is started, now or when the machine starts.
set -eu

if [ "$(id -u)" != 0 ]; then
    echo "This installs Debian packages: run it as root, such as with 'sudo make servers'." >&2
    exit 1
fi

policy=/usr/sbin/policy-rc.d # what it forbids, packages do not start
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi

apt-get update
for package in openssh-server slurm-wlm munge chromium; do
    if dpkg-query --show --showformat='${Status}' "$package" 2>/dev/null | grep -q 'ok installed'; then
        echo "$package is installed already."
        continue
    fi
    DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends "$package"
    case $package in
    openssh-server) services=ssh ;;
    slurm-wlm) services='slurmctld slurmd' ;;
    munge) services=munge ;;
    *) services='' ;;
    esac
    if [ -n "$services" ] && command -v systemctl >/dev/null; then
        # shellcheck disable=SC2086  # two names
        systemctl disable $services || true
    fi
done
