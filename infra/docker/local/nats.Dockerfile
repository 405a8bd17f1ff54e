# nats-server as `make servers` builds it. The build context is the folder that infra/docker/build.sh fills.
ARG PYTHON=python:3.12-slim-bookworm
FROM ${PYTHON}
COPY nats /usr/local/bin/nats-server
COPY healthy.py /
RUN install --directory --owner=10001 --group=10001 --mode=0700 /data
USER 10001:10001
ENTRYPOINT ["nats-server"]
