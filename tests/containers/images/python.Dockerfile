# Stands in for python:3.11-slim-bookworm: a python3 in /usr/local/bin with venv and pip.
FROM stand-in/debian
RUN apt-get update -q && apt-get install -qy --no-install-recommends python3 python3-venv \
    && rm -rf /var/lib/apt/lists/* && ln -s /usr/bin/python3 /usr/local/bin/python3 && ln -s python3 /usr/local/bin/python
CMD ["python3"]
