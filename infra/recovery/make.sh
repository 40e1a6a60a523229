#!/bin/sh
# Records of seven simulated worlds, of the same weeks of 1996 and 2017: half an hour on two quiet cores.
# Usage: sh make.sh OUT, with room for 5 GB; then fluxforge recovery -c OUT/recovery.yaml
set -eu
mkdir -p "$1" && cd "$1"
for world in no-trend equal-trends gap-trend humidity-trend wind-trend sst-drift vapour-drift; do
  for week in 1996-01:f13 1996-04:f13 1996-07:f13 1996-10:f13 \
              2017-01:f17 2017-04:f17 2017-07:f17 2017-10:f17; do
    month=${week%:*} satellite=${week#*:}
    # Gaps are filled from three days before and after: of seven days the fourth is like any other.
    fluxforge simulate "$world" --world "$world" --seed 1 --satellites "$satellite" \
      --first "$month-01" --last "$month-07" --with rss,oisst
    case $world in *-trend*)
      fluxforge simulate "$world" --world "$world" --seed 1 \
        --first "$month-04" --last "$month-04" --with truth ;;
    esac
    cat > "$world.yaml" <<RUN
product: deepflux
period: {first: $month-01, last: $month-07}
options: {sensors: [f13, f17]}
archives: {rss: $world/rss, oisst: $world/oisst}
profiles:
  local: {store: $world-store, cluster: {kind: serial}}
RUN
    fluxforge run -c "$world.yaml" || [ $? = 3 ]  # 3: days before and after are not there
  done
done
cat > recovery.yaml <<RECOVERY
reference: {store: no-trend-store, truth: no-trend/truth/daily.zarr}
worlds:
  equal-trends: {store: equal-trends-store, truth: equal-trends/truth/daily.zarr}
  gap-trend: {store: gap-trend-store, truth: gap-trend/truth/daily.zarr}
  humidity-trend: {store: humidity-trend-store, truth: humidity-trend/truth/daily.zarr}
  wind-trend: {store: wind-trend-store, truth: wind-trend/truth/daily.zarr}
  sst-drift: {store: sst-drift-store}
  vapour-drift: {store: vapour-drift-store}
out: recovery
RECOVERY
