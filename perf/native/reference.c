/* What C does on TAPs without any art: epoll, read, learn, look up, write. The yardstick of `python -m perf`.
 *
 *   reference HEADER NAMESPACE:INTERFACE...     HEADER: octets of virtio-net header, 10 or 0
 *
 * Makes a TAP of that name in each named namespace, prints "ready" and forwards until it is ended.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { BURST = 64, MOST_PORTS = 256, SLOTS = 1 << 18, ETHERNET = 14, MAC = 6 };

typedef struct {
    uint64_t mac; /* six octets, plus one in a seventh so that zero means free */
    int port;
} Station;

static Station stations[SLOTS];
static size_t known;
static int fds[MOST_PORTS], ports;
static unsigned header;
static uint8_t frame[68 * 1024];

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static uint64_t mac_at(const uint8_t *at)
{
    uint64_t mac = 0;
    memcpy(&mac, at, MAC);
    return mac | 1ULL << 56;
}

/* The slot that holds this station, or the free one where it belongs. */
static Station *find(uint64_t mac)
{
    size_t at = (mac * 0x9E3779B97F4A7C15U) >> 46;
    while (stations[at].mac != 0 && stations[at].mac != mac)
        at = (at + 1) & (SLOTS - 1);
    return &stations[at];
}

static void learn(uint64_t mac, int port)
{
    Station *station = find(mac);
    if (station->mac == 0) {
        if (known >= SLOTS / 2)
            return;
        station->mac = mac;
        known++;
    }
    station->port = port;
}

static void deliver(int port, size_t length)
{
    if (write(fds[port], frame, length) < 0 && errno != EAGAIN && errno != EIO && errno != EINVAL)
        fail("write");
}

static void forward(int from, size_t length)
{
    const uint8_t *destination = frame + header;
    learn(mac_at(destination + MAC), from);
    if (!(destination[0] & 1)) {
        const Station *to = find(mac_at(destination));
        if (to->mac != 0) {
            if (to->port != from)
                deliver(to->port, length);
            return;
        }
    }
    for (int port = 0; port < ports; port++)
        if (port != from)
            deliver(port, length);
}

static void receive(int port)
{
    for (int i = 0; i < BURST; i++) {
        ssize_t got = read(fds[port], frame, sizeof frame);
        if (got < 0) {
            if (errno == EAGAIN || errno == EIO)
                return;
            fail("read");
        }
        if ((size_t)got >= header + ETHERNET)
            forward(port, (size_t)got);
    }
}

static int open_tap(char *where)
{
    char path[256], *name = strchr(where, ':');
    struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI};
    if (name == NULL || strlen(name + 1) >= IFNAMSIZ) {
        fprintf(stderr, "%s is no NAMESPACE:INTERFACE\n", where);
        exit(2);
    }
    *name++ = '\0';
    snprintf(path, sizeof path, "/run/netns/%s", where);
    int netns = open(path, O_RDONLY | O_CLOEXEC);
    if (netns < 0 || setns(netns, CLONE_NEWNET) < 0)
        fail(path);
    close(netns);
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (header)
        request.ifr_flags |= IFF_VNET_HDR;
    strcpy(request.ifr_name, name);
    if (fd < 0 || ioctl(fd, TUNSETIFF, &request) < 0)
        fail(name);
    unsigned all = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
    if (header && ioctl(fd, TUNSETOFFLOAD, all) < 0)
        fail("TUNSETOFFLOAD");
    return fd;
}

int main(int count, char **arguments)
{
    struct epoll_event events[MOST_PORTS];
    if (count < 3 || count - 2 > MOST_PORTS) {
        fprintf(stderr, "usage: reference 10|0 NAMESPACE:INTERFACE...\n");
        return 2;
    }
    header = strcmp(arguments[1], "10") == 0 ? 10 : 0;
    int poll = epoll_create1(EPOLL_CLOEXEC);
    for (ports = 0; ports < count - 2; ports++) {
        fds[ports] = open_tap(arguments[ports + 2]);
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = (uint32_t)ports};
        if (epoll_ctl(poll, EPOLL_CTL_ADD, fds[ports], &event) < 0)
            fail("epoll_ctl");
    }
    puts("ready");
    fflush(stdout);
    for (;;) {
        int ready = epoll_wait(poll, events, MOST_PORTS, -1);
        if (ready < 0 && errno != EINTR)
            fail("epoll_wait");
        for (int i = 0; i < ready; i++)
            receive((int)events[i].data.u32);
    }
}
