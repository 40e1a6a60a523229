# syntax=docker/dockerfile:1
# fluxforge for workers with an NVIDIA GPU. From the repository's root:
#   docker build -f infra/images/gpu.Dockerfile -t registry.example/fluxforge:0.1.0-gpu .
# CUDA 13 comes with the wheels of PyTorch and Numba, so the machine needs a driver (580 or newer)
# and the NVIDIA container toolkit, and the image needs no CUDA of its own.
FROM python:3.11-slim-bookworm AS build

RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
WORKDIR /src
COPY infra/constraints.txt infra/constraints.txt
COPY pyproject.toml README.md LICENSE ./
COPY engine engine
COPY kernels kernels
COPY recipes recipes
RUN pip install --no-cache-dir -c infra/constraints.txt ".[clusters,cuda13]"

FROM python:3.11-slim-bookworm

COPY --from=build /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
RUN useradd --create-home --uid 1000 flux
USER 1000
WORKDIR /home/flux
CMD ["fluxforge", "--help"]
