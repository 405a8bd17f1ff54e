# One image per service: docker build --build-arg SERVICE=ingest -f infra/docker/service.Dockerfile .
# With SERVICE=processors REQUIREMENTS=gpu it holds torch as well.
ARG PYTHON=python:3.12-slim-bookworm
FROM ${PYTHON}
ARG SERVICE
ARG REQUIREMENTS=${SERVICE}
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp SERVICE=${SERVICE}
RUN groupadd --gid 10001 enlarger && useradd --uid 10001 --gid enlarger --home-dir /tmp --no-create-home enlarger
COPY requirements/${REQUIREMENTS}.txt /requirements.txt
RUN PYTHONDONTWRITEBYTECODE= pip install --no-cache-dir --root-user-action=ignore --only-binary :all: --no-deps --require-hashes -r /requirements.txt
WORKDIR /app
COPY infra/healthy.py ./
COPY pipeline ./pipeline
COPY ${SERVICE} ./${SERVICE}
# what engines keep, or uploads on their way: a new volume at /state takes this owner
RUN PYTHONDONTWRITEBYTECODE= python -m compileall -q . && install --directory --owner=enlarger --group=enlarger --mode=0700 /state
USER 10001:10001
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s CMD ["python", "healthy.py", "ENLARGER_NATS_URL"]
CMD ["sh", "-c", "exec python -m $SERVICE"]
