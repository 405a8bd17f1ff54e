# SecantusDB, which speaks MongoDB's wire protocol, behind the same variables and flags as MongoDB's own image.
# The build context is the folder that infra/docker/build.sh fills.
ARG PYTHON=python:3.12-slim-bookworm
FROM ${PYTHON}
COPY local.txt /
# the lock file of `make up` holds the rest of the installation too: only this server and what it needs
RUN awk '/^[a-z]/ {wanted = /^(secantusdb|pymongo|dnspython|s2sphere|future|shapely|numpy|python-dateutil|six)==/} wanted' /local.txt > /requirements.txt \
 && pip install --no-cache-dir --root-user-action=ignore --no-deps --require-hashes -r /requirements.txt
COPY secantusdb.py /
RUN install --directory --owner=999 --group=999 --mode=0700 /data/db
USER 999:999
ENV PYTHONUNBUFFERED=1 HOME=/tmp
ENTRYPOINT ["python", "/secantusdb.py"]
