# syntax=docker/dockerfile:1
# fluxforge for workers without a GPU. From the repository's root:
#   docker build -f infra/images/cpu.Dockerfile -t registry.example/fluxforge:0.1.0 .
# Python and every package are those of infra/constraints.txt: client and workers must agree.
FROM python:3.11-slim-bookworm AS build

RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
WORKDIR /src
COPY infra/constraints.txt infra/constraints.txt
COPY pyproject.toml README.md LICENSE ./
COPY engine engine
COPY kernels kernels
COPY recipes recipes
# PyTorch's own index has wheels without CUDA, some gigabytes smaller.
RUN pip install --no-cache-dir -c infra/constraints.txt \
        --extra-index-url https://download.pytorch.org/whl/cpu ".[clusters]"

FROM python:3.11-slim-bookworm

COPY --from=build /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1
RUN useradd --create-home --uid 1000 flux
USER 1000
WORKDIR /home/flux
CMD ["fluxforge", "--help"]
