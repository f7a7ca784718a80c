# A switch in a container.  docker build -t vswitch .
#
# As it stands it runs as an ordinary user, without any capability: enough for TAPs made for that user on the host
# (ip tuntap add tap0 mode tap user 10001, and --network host).
# To make TAPs and set links up, be root with NET_ADMIN and nothing else:
#
#   docker run --user root --cap-drop ALL --cap-add NET_ADMIN --device /dev/net/tun \
#       -v "$PWD/configs:/etc/vswitch:ro" vswitch run /etc/vswitch/vswitch.yml
#
# Add --network host for TAPs on the host.  Ports with `netns:` mount and enter namespaces, which takes SYS_ADMIN as well.
# NET_ADMIN is not given to the interpreter as a file capability: then nothing would start without it, not even --help.

FROM python:3.12-slim-bookworm AS build
RUN apt-get update -qq \
 && apt-get install -y -qq --no-install-recommends gcc libc6-dev \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY vswitch vswitch
RUN python3 -m venv /opt/vswitch
RUN /opt/vswitch/bin/pip install --no-cache-dir --disable-pip-version-check .

FROM python:3.12-slim-bookworm
LABEL org.opencontainers.image.title="vswitch" \
      org.opencontainers.image.description="A userspace Ethernet switch for Linux that explains every frame" \
      org.opencontainers.image.licenses="MIT"
COPY --from=build /opt/vswitch /opt/vswitch
# Group 0 may write where control sockets are, so that root does not need DAC_OVERRIDE for it.
RUN useradd --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin --uid 10001 --gid 0 vswitch \
 && install -d -o vswitch -g 0 -m 0775 /run/vswitch \
 && install -d /etc/vswitch
ENV PATH=/opt/vswitch/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    XDG_RUNTIME_DIR=/run
USER vswitch
VOLUME /etc/vswitch
EXPOSE 9475
HEALTHCHECK --interval=30s --timeout=10s --start-period=10s CMD ["vswitch", "show", "ports", "--json"]
ENTRYPOINT ["vswitch"]
CMD ["run", "/etc/vswitch/vswitch.yml"]
