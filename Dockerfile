# The gateway in a container; README.md, "In a container", tells how to run it and who reaches it then.
FROM python:3.13-slim AS build
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY firmware/hex firmware/hex
COPY firmware/gateway firmware/gateway
COPY firmware/template firmware/template
COPY gateway gateway
RUN python -m venv /opt/gateway && /opt/gateway/bin/pip install --no-cache-dir --disable-pip-version-check .

FROM python:3.13-slim
COPY --from=build /opt/gateway /opt/gateway
COPY config.yaml /etc/gateway/config.yaml
# dialout has the number of Debian's serial ports; --group-add gives another where the host has another.
RUN useradd --uid 10001 --groups dialout --no-create-home --home-dir /var/lib/gateway gateway \
    && install --directory --owner=gateway --group=gateway --mode=0700 /var/lib/gateway
USER 10001
WORKDIR /etc/gateway
VOLUME /var/lib/gateway
# A container's loopback is its own. Who reaches it is decided by -p; http.allow_anonymous has to be given with that.
ENV PATH=/opt/gateway/bin:$PATH STATE_DIRECTORY=/var/lib/gateway GATEWAY_HTTP__LISTEN=0.0.0.0:8080
EXPOSE 8080
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8080/healthz', timeout=4)"]
ENTRYPOINT ["gateway"]
CMD ["run"]
