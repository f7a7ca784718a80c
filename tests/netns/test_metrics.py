"""The exporter of a real switch: what real guests sent is what it tells, and only to whom it may."""

from __future__ import annotations

import base64
import gzip
import http.client
import os
import re
import resource
import select
import signal
import socket
import ssl
import subprocess
import urllib.error
import urllib.request
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.parser import text_string_to_metric_families as parse_text

from tests.netns.guest import silence
from tests.netns.test_api import free_port
from tests.running import VSWITCH, Running, listen, until, vswitch
from tests.unit.test_metrics import Samples, samples
from vswitch.ports import netns

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.netns.conftest import Lab
    from vswitch.lab.guest import Guest

BOUNDS = (64, 127, 255, 511, 1023, 1518)
TYPE = b"\x88\xb5"
STREAM = 20_000_000  # bytes
DESTINATIONS = {"unicast": b"\2\0\0\0\0\x0b", "multicast": b"\1\0\x5e\0\0\1", "broadcast": b"\xff" * 6}


def scrape(url: str, context: ssl.SSLContext | None = None, user: str = "", password: str = "") -> Samples:
    request = urllib.request.Request(url)
    if user:
        given = base64.b64encode(f"{user}:{password}".encode()).decode()
        request.add_header("Authorization", f"Basic {given}")
    with urllib.request.urlopen(request, timeout=30, context=context) as response:
        return samples(parse_text(response.read().decode()))


def refused(url: str, **options: Any) -> urllib.error.HTTPError:
    with pytest.raises(urllib.error.HTTPError) as error:
        scrape(url, **options)
    error.value.close()
    return error.value


# What is told


def buckets(told: Samples, direction: str, port: str) -> dict[str, float]:
    name = f"vswitch_port_{direction}_frame_size_bytes_bucket"
    return {key[1]: value for key, value in told.items() if key[0] == name and key[2] == port}


def expected(sizes: list[int]) -> dict[str, float]:
    counts = {f"{bound}.0": float(sum(size <= bound for size in sizes)) for bound in BOUNDS}
    return {**counts, "+Inf": float(len(sizes))}


@pytest.mark.parametrize("native", ["auto", "off"])
def test_frames_of_exact_sizes_are_in_their_buckets(lab: Lab, native: str) -> None:
    port = free_port()
    running = Running(
        lab.folder,
        lab.config({"a": {"mtu": 9000}, "b": {"mtu": 9000}}, metrics={"listen": f"127.0.0.1:{port}"}),
        environment={"VSWITCH_NATIVE": native},
    )
    lab.running.append(running)
    running.start()
    for name in "ab":
        silence(lab.name(name))
    url = f"http://127.0.0.1:{port}/metrics"
    sizes = [60, 63, 64, 65, 127, 128, 255, 256, 511, 512, 1023, 1024, 1514, 1518, 1519, 9014]
    with closing(lab.guest("b").wire(lab.name("b"))) as peer:
        peer.send(DESTINATIONS["broadcast"] + DESTINATIONS["unicast"] + TYPE + bytes(46))
        until(lambda: running.ports()["b"]["receive"]["broadcast"], "the station to be heard")
    before = scrape(url)
    with closing(lab.guest("a").wire(lab.name("a"))) as wire, closing(listen(lab.guest("b"), lab.name("b"))):
        for cast, destination in DESTINATIONS.items():
            for size in sizes * 3 if cast == "unicast" else sizes:
                wire.send(destination + b"\2\0\0\0\0\x0a" + TYPE + bytes(size - 14))
    sent = sizes * 5
    count = ("vswitch_port_transmit_frame_size_bytes_count", "b")
    until(lambda: scrape(url)[count] - before[count] >= len(sent), "the frames to pass")
    now = scrape(url)
    for direction, name in (("receive", "a"), ("transmit", "b")):
        old, new = buckets(before, direction, name), buckets(now, direction, name)
        assert {bound: new[bound] - old[bound] for bound in new} == expected(sent)
        grown = {
            cast: now[f"vswitch_port_{direction}_frames_total", cast, name]
            - before[f"vswitch_port_{direction}_frames_total", cast, name]
            for cast in DESTINATIONS
        }
        assert grown == {"unicast": 3 * len(sizes), "multicast": len(sizes), "broadcast": len(sizes)}
        total = f"vswitch_port_{direction}_bytes_total", name
        assert now[total] - before[total] == sum(sent)
        of_sizes = f"vswitch_port_{direction}_frame_size_bytes_sum", name
        assert now[of_sizes] - before[of_sizes] == sum(sent)
    assert now["vswitch_flow_cache_hits_total",] > before["vswitch_flow_cache_hits_total",]
    assert now["vswitch_port_speed_bytes", "a"] == 10e9 / 8
    assert not any(re.search(r"(?:[0-9a-f]{2}[:-]){5}", " ".join(key)) for key in now), "no address is a label"


def segments_out(guest: Guest) -> int:
    """TcpOutSegs and TcpRetransSegs of the guest's own kernel, which count segments and not superframes."""
    namespace = netns.find(guest.namespace)
    assert namespace is not None
    with closing(namespace), netns.inside(namespace):
        names, values = [line.split() for line in Path("/proc/thread-self/net/snmp").read_text().splitlines()
                         if line.startswith("Tcp:")]  # fmt: skip
    told = dict(zip(names, values, strict=True))
    return int(told["OutSegs"]) + int(told["RetransSegs"])


def device_out(guest: Guest, interface: str) -> int:
    """Packets that the guest's interface sent, a superframe being one."""
    namespace = netns.find(guest.namespace)
    assert namespace is not None
    with closing(namespace), netns.inside(namespace):
        lines = Path("/proc/thread-self/net/dev").read_text().splitlines()
    (line,) = [line for line in lines if line.strip().startswith(f"{interface}:")]
    return int(line.split(":")[1].split()[9])


def test_superframes_of_a_tcp_stream_are_as_the_guests_kernel_counts_them(
    lab: Lab, three: Callable[..., Running]
) -> None:
    port = free_port()
    three(metrics={"listen": f"127.0.0.1:{port}"})
    url = f"http://127.0.0.1:{port}/metrics"
    sender, receiver = lab.guest("a"), lab.guest("b")
    assert sender.ping("10.88.0.2") is not None
    with closing(receiver.open_socket(socket.AF_INET, socket.SOCK_STREAM)) as server:
        server.bind(("10.88.0.2", 0))
        server.listen(1)
        with closing(sender.open_socket(socket.AF_INET, socket.SOCK_STREAM)) as client:
            client.connect(server.getsockname()[:2])
            connection, _ = server.accept()
            with closing(connection):
                before, segments, packets = scrape(url), segments_out(sender), device_out(sender, lab.name("a"))
                client.setblocking(False)
                left, received = STREAM, 0
                while received < STREAM:
                    with suppress(BlockingIOError):
                        left -= client.send(bytes(min(left, 1 << 20))) if left else 0
                    if select.select([connection], [], [], 0.01)[0]:
                        received += len(connection.recv(1 << 22))
                now = scrape(url)
                segments, packets = segments_out(sender) - segments, device_out(sender, lab.name("a")) - packets
    frames, superframes, stood_for = (
        now[name, *more, "a"] - before[name, *more, "a"]
        for name, *more in (
            ("vswitch_port_receive_frames_total", "unicast"),
            ("vswitch_port_receive_superframes_total",),
            ("vswitch_port_receive_superframe_segments_total",),
        )
    )
    stray = 40  # ARP, neighbour discovery and their kin, which are no segments of TCP
    assert segments <= frames <= segments + stray
    assert frames - stood_for + superframes <= packets <= frames - stood_for + superframes + stray
    assert superframes > 100
    assert stood_for > 10 * superframes
    for name in ("superframes", "superframe_segments"):
        out = now[f"vswitch_port_transmit_{name}_total", "b"] - before[f"vswitch_port_transmit_{name}_total", "b"]
        assert out == {"superframes": superframes, "superframe_segments": stood_for}[name], "it left whole"


# Who is told


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """A certificate for this machine, and its key."""
    made, key = folder / f"{name}.pem", folder / f"{name}.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", made],
        check=True, capture_output=True,
    )  # fmt: skip
    return made, key


def trusting(made: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(made))


@pytest.mark.program("openssl")
def test_tls_and_a_password(lab: Lab) -> None:
    port, (made, key) = free_port(), certificate(lab.folder, "one")
    hashed = subprocess.run(
        [*VSWITCH, "password"], input="s3cret\n", capture_output=True, text=True, check=True
    ).stdout.strip()
    metrics = {
        "listen": f"0.0.0.0:{port}",
        "tls": {"certificate": str(made), "key": str(key)},
        "basic_auth": {"prometheus": hashed},
    }
    running = lab.start({"a": {}}, metrics=metrics)
    url = f"https://127.0.0.1:{port}/metrics"
    for _ in range(2):
        assert scrape(url, trusting(made), "prometheus", "s3cret")["vswitch_port_up", "a"] == 1
    for user, password in (("", ""), ("prometheus", "s3cre"), ("prometheus", ""), ("other", "s3cret")):
        error = refused(url, context=trusting(made), user=user, password=password)
        assert (error.code, error.headers["WWW-Authenticate"].split()[0]) == (401, "Basic")
    with pytest.raises((OSError, http.client.HTTPException)):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30)
    with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
        scrape(url, ssl.create_default_context())
    assert "s3cret" not in running.log.read_text()


@pytest.mark.program("openssl")
def test_a_certificate_is_read_again_at_sighup(lab: Lab) -> None:
    port, (made, key) = free_port(), certificate(lab.folder, "old")
    listen_at = {"listen": f"127.0.0.1:{port}", "tls": {"certificate": str(made), "key": str(key)}}
    running = lab.start({"a": {}}, metrics=listen_at)
    assert running.process is not None
    url = f"https://127.0.0.1:{port}/metrics"
    old = trusting(made)
    assert scrape(url, old)
    new, new_key = certificate(lab.folder, "new")
    new.replace(made)
    running.process.send_signal(signal.SIGHUP)
    until(lambda: "cannot be applied" in running.log.read_text() or "is wrong" in running.log.read_text(), "a refusal")
    assert f"{key} is not the key of the certificate" in running.log.read_text()
    assert scrape(url, old), "the old one stays in use"
    new_key.replace(key)
    running.process.send_signal(signal.SIGHUP)
    trusts_new = trusting(made)

    def answers() -> bool:
        try:
            return bool(scrape(url, trusts_new))
        except urllib.error.URLError:
            return False

    until(answers, "the new certificate")


@pytest.mark.program("openssl")
def test_files_that_are_wrong_are_said_with_their_line(lab: Lab) -> None:
    made, key = certificate(lab.folder, "one")
    _, other_key = certificate(lab.folder, "two")
    secret = lab.folder / "secret.key"
    subprocess.run(["openssl", "ec", "-in", key, "-aes256", "-passout", "pass:x", "-out", secret], check=True,
                   capture_output=True)  # fmt: skip
    text = lab.folder / "no.pem"
    text.write_text("nothing of the kind\n")
    for pem, private, where, words in (
        (lab.folder / "none.pem", key, "certificate", "No such file or directory"),
        (made, lab.folder / "none.key", "key", "No such file or directory"),
        (made, other_key, "key", "is not the key of the certificate"),
        (made, secret, "key", "is encrypted"),
        (text, key, "certificate", "no certificate and key in PEM"),
    ):
        metrics = {"listen": "127.0.0.1:1", "tls": {"certificate": str(pem), "key": str(private)}}
        running = Running(lab.folder, lab.config({}, metrics=metrics))
        line = next(n for n, each in enumerate(running.file.read_text().splitlines(), 1) if f" {where}:" in each)
        for command in ("check", "run"):
            result = vswitch(command, str(running.file))
            assert result.returncode == 2
            (sentence,) = result.stderr.splitlines()
            assert sentence.startswith(f"{running.file}:{line}: metrics.tls.{where}: "), sentence
            assert words in sentence


# The process that serves


def server_of(running: Running) -> int:
    """The process id of the switch's only child."""
    assert running.process is not None
    (pid,) = Path(f"/proc/{running.process.pid}/task/{running.process.pid}/children").read_text().split()
    return int(pid)


def test_the_process_that_serves_ends_with_its_switch_and_only_then(lab: Lab) -> None:
    port = free_port()
    running = lab.start({"a": {}}, metrics={"listen": f"127.0.0.1:{port}"})
    url = f"http://127.0.0.1:{port}/metrics"
    first = server_of(running)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(first, number)
    assert scrape(url)["vswitch_port_up", "a"] == 1
    os.kill(first, signal.SIGKILL)
    assert scrape(url)["vswitch_port_up", "a"] == 1, "whoever asks meanwhile waits for the next one"
    second = server_of(running)
    assert second != first
    told = scrape(url)
    assert told["process_open_fds",] == len(list(Path(f"/proc/{running.process.pid}/fd").iterdir()))  # type: ignore[union-attr]
    assert running.stop(signal.SIGKILL) == -signal.SIGKILL
    until(lambda: not Path(f"/proc/{second}").exists() or not Path(f"/proc/{second}/cmdline").read_bytes(), "its end")
    running.start()  # the next one clears up what the one that was killed left
    assert running.stop() == 0
    assert netns.find(lab.name("a")) is None


def test_without_an_exporter_there_is_no_process_more(lab: Lab) -> None:
    running = lab.start({"a": {}}, metrics={"listen": f"127.0.0.1:{free_port()}"})
    served = server_of(running)
    running.write(lab.config({"a": {}}))
    assert running.vswitch("apply", str(running.file)).returncode == 0
    assert not Path(f"/proc/{served}").exists()
    assert running.stop() == 0
    assert "Traceback" not in running.log.read_text()


def test_a_caller_that_says_nothing_does_not_keep_others_waiting(lab: Lab) -> None:
    port = free_port()
    lab.start({"a": {}}, metrics={"listen": f"127.0.0.1:{port}"})
    silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(50)]
    try:
        for each, octets in zip(silent, (b"GET /metr", b"\0" * 20_000, b"GET / HTTP/1.1\r\n\r\n", b""), strict=False):
            each.sendall(octets)
        assert scrape(f"http://127.0.0.1:{port}/metrics")["vswitch_port_up", "a"] == 1
    finally:
        for each in silent:
            each.close()
    assert refused(f"http://127.0.0.1:{port}/other").code == 404


def test_callers_that_say_nothing_take_no_room_from_others(lab: Lab) -> None:
    """They are more than the descriptors of the process that serves: the oldest of them goes for the next."""
    port = free_port()
    running = lab.start({"a": {}}, metrics={"listen": f"127.0.0.1:{port}"})
    resource.prlimit(server_of(running), resource.RLIMIT_NOFILE, (400, 400))
    with ExitStack() as silent:
        for _ in range(500):
            silent.enter_context(closing(socket.create_connection(("127.0.0.1", port), 20)))
        assert scrape(f"http://127.0.0.1:{port}/metrics")
    assert "Traceback" not in running.log.read_text()


def test_what_a_caller_asks_for_it_gets(lab: Lab) -> None:
    """Formats, compression, methods and paths, at an address of IPv6."""
    port = free_port()
    running = lab.start({"a": {}}, metrics={"listen": f"[::1]:{port}"})

    def ask(method: str, path: str, **headers: str) -> tuple[int, http.client.HTTPMessage, bytes]:
        with closing(http.client.HTTPConnection("::1", port, timeout=30)) as connection:
            connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()

    opened = "application/openmetrics-text; version=1.0.0"
    status, headers, octets = ask(
        "GET", "/metrics", Accept=f"{opened}; q=0.9, text/plain; q=0.5", Accept_Encoding="gzip"
    )
    assert (status, headers["Content-Encoding"]) == (200, "gzip")
    assert headers["Content-Type"].startswith(opened)
    assert gzip.decompress(octets).endswith(b"\n# EOF\n")
    for accept in ("text/plain; version=0.0.4", "application/openmetrics-text; version=abc", ";;q=,"):
        status, headers, octets = ask("GET", "/metrics", Accept=accept)
        assert (status, headers["Content-Type"]) == (200, "text/plain; version=0.0.4; charset=utf-8"), accept
        assert headers["Content-Encoding"] is None
        assert samples(parse_text(octets.decode()))["vswitch_port_up", "a"] == 1
    status, headers, octets = ask("HEAD", "/metrics")
    assert (status, headers["Content-Type"].split(";")[0], octets) == (200, "text/plain", b"")
    assert [ask("GET", path)[0] for path in ("/", "/metrics/", "/metrics/../metrics")] == [404, 404, 404]
    for method in ("POST", "PUT", "DELETE"):
        status, headers, _ = ask(method, "/metrics")
        assert (status, headers["Allow"]) == (405, "GET,HEAD")
    assert "Traceback" not in running.log.read_text()
