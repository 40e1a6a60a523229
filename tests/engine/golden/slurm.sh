#!/usr/bin/env bash

#SBATCH -J fluxforge
#SBATCH -e /home/me/fluxforge-logs/fluxforge-%J.err
#SBATCH -o /home/me/fluxforge-logs/fluxforge-%J.out
#SBATCH -p short
#SBATCH -A climate
#SBATCH -n 1
#SBATCH --cpus-per-task=4
#SBATCH --mem=8G
#SBATCH -t 04:00:00
#SBATCH --gres=gpu:1
export DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED=False
export DASK_DISTRIBUTED__SCHEDULER__WORKER_SATURATION=2.0
export DASK_DISTRIBUTED__ADMIN__TICK__INTERVAL=500ms
export DASK_DISTRIBUTED__ADMIN__SYSTEM_MONITOR__GIL__ENABLED=False
export MALLOC_TRIM_THRESHOLD_=268435456
export MALLOC_MMAP_THRESHOLD_=33554432
export MALLOC_ARENA_MAX=1
module load gcc
/shared/venv/bin/python -m distributed.cli.dask_worker tcp://10.0.0.1:8786 --name fluxforge-0 --nthreads 4 --memory-limit 8.00GiB --nanny --death-timeout 60 --dashboard-address 127.0.0.1:0 --interface ib0
