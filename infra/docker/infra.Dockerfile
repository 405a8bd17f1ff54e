# Bootstrap: prepares the servers that ENLARGER_*_URL name, and ends. docker build -f infra/docker/infra.Dockerfile .
ARG PYTHON=python:3.12-slim-bookworm
FROM ${PYTHON}
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp
RUN groupadd --gid 10001 enlarger && useradd --uid 10001 --gid enlarger --home-dir /tmp --no-create-home enlarger
COPY requirements/infra.txt /requirements.txt
RUN PYTHONDONTWRITEBYTECODE= pip install --no-cache-dir --root-user-action=ignore --only-binary :all: --no-deps --require-hashes -r /requirements.txt
WORKDIR /app
COPY pipeline ./pipeline
COPY infra ./infra
# new volumes mounted here take this owner: docker-compose.yml, service `folders`
RUN install --directory --owner=enlarger --group=enlarger --mode=0700 /folders/objects /folders/events /folders/bus
USER 10001:10001
HEALTHCHECK NONE
CMD ["python", "-m", "infra", "bootstrap"]
