# voxdata for compose.yaml and docs/scaling.md: builds, the Prefect server, workers and Dask, all from this checkout.
FROM python:3.11-slim-bookworm
RUN apt-get update \
 && apt-get install -y --no-install-recommends libegl1 libgl1 libglib2.0-0 libgles2 libsndfile1 \
 && rm -rf /var/lib/apt/lists/*
RUN useradd --create-home --uid 1000 voxdata
WORKDIR /opt/voxdata
COPY --chown=voxdata . .
RUN pip install --no-cache-dir --constraint constraints.txt torch==2.13.0 \
 && pip install --no-cache-dir --constraint constraints.txt --editable '.[dask,s3]'
USER voxdata
ENV PYTHONSAFEPATH=1 DO_NOT_TRACK=1 VOXDATA_HOME=/data
WORKDIR /data
