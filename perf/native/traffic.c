/* Frames at full speed from guests in namespaces.
 *
 *   traffic SECONDS OCTETS RATE KIND COUNT NAMESPACE:INTERFACE...
 *
 * OCTETS: of a frame, without FCS.  RATE: frames a second, 0: as many as go.  KIND:
 *   pair          from station 0 at the first interface to station 1 at the second
 *   mesh          from each interface's station to each other's, in turn
 *   sources       from the first to station 1, by COUNT sources in turn
 *   destinations  from station 0 to COUNT destinations in turn
 *   announce      one broadcast from each interface's station, then, from the last interface, one of each of COUNT
 *                 further sources; it ends by itself
 * Station n of an interface has the address 02:00:00:nn:nn:nn, further ones 02:01:…; ethertype 0x88B5. Prints how many
 * frames it handed over.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 64, MOST_PORTS = 256, MOST_OCTETS = 9014, PROTOCOL = 0x88B5, ETH_ALL = 3 };

static int sockets[MOST_PORTS], ports;
static uint8_t frames[BATCH][MOST_OCTETS];
static struct iovec parts[BATCH];
static struct mmsghdr messages[BATCH];

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static void put_mac(uint8_t *at, bool further, uint32_t number)
{
    const uint8_t mac[] = {2, further, 0, (uint8_t)(number >> 16), (uint8_t)(number >> 8), (uint8_t)number};
    memcpy(at, mac, sizeof mac);
}

static int open_wire(char *where)
{
    char path[256], *name = strchr(where, ':');
    if (name == NULL) {
        fprintf(stderr, "%s is no NAMESPACE:INTERFACE\n", where);
        exit(2);
    }
    *name++ = '\0';
    snprintf(path, sizeof path, "/run/netns/%s", where);
    int netns = open(path, O_RDONLY | O_CLOEXEC), one = 1;
    if (netns < 0 || setns(netns, CLONE_NEWNET) < 0)
        fail(path);
    close(netns);
    int wire = socket(AF_PACKET, SOCK_RAW, 0);
    struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex(name)};
    if (wire < 0 || address.sll_ifindex == 0 || bind(wire, (struct sockaddr *)&address, sizeof address) < 0)
        fail(name);
    setsockopt(wire, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof one);
    return wire;
}

/* Hands `count` of the frames over; a full queue takes none of them and that is that. */
static unsigned hand_over(int port, unsigned count)
{
    unsigned done = 0;
    while (done < count) {
        int sent = sendmmsg(sockets[port], messages + done, count - done, 0);
        if (sent < 0 && errno != ENOBUFS && errno != EAGAIN && errno != EINTR)
            fail("sendmmsg");
        done += sent > 0 ? (unsigned)sent : 1;
    }
    return count;
}

static void announce(uint32_t count)
{
    for (int round = 0; round < 3; round++)
        for (int port = 0; port < ports; port++) {
            memset(frames[0], 0xFF, 6);
            put_mac(frames[0] + 6, false, (uint32_t)port);
            hand_over(port, 1);
        }
    for (uint32_t number = 0; number < count; number++) {
        memset(frames[0], 0xFF, 6);
        put_mac(frames[0] + 6, true, number);
        hand_over(ports - 1, 1);
        if (number % 16 == 15)
            usleep(200); /* so that none is lost: this is no measurement */
    }
}

static unsigned long blast(double seconds, double rate, const char *kind, uint32_t count)
{
    bool mesh = strcmp(kind, "mesh") == 0, sources = strcmp(kind, "sources") == 0;
    bool destinations = strcmp(kind, "destinations") == 0;
    double begin = now(), end = begin + seconds;
    unsigned long total = 0;
    uint32_t number = 0, turn = 0;
    int from = 0;
    while (now() < end) {
        for (unsigned i = 0; i < BATCH; i++, number = (number + 1) % (count ? count : 1)) {
            uint32_t to = 1;
            if (mesh)
                to = ((uint32_t)from + 1 + turn++ % ((uint32_t)ports - 1)) % (uint32_t)ports;
            put_mac(frames[i], destinations, destinations ? number : to);
            put_mac(frames[i] + 6, sources, sources ? number : (uint32_t)from);
        }
        total += hand_over(from, BATCH);
        if (mesh)
            from = (from + 1) % ports;
        while (rate > 0 && (double)total > (now() - begin) * rate)
            usleep(50);
    }
    return total;
}

int main(int count, char **arguments)
{
    if (count < 7 || count - 6 > MOST_PORTS) {
        fprintf(stderr, "usage: traffic SECONDS OCTETS RATE KIND COUNT NAMESPACE:INTERFACE...\n");
        return 2;
    }
    double seconds = atof(arguments[1]), rate = atof(arguments[3]);
    int octets = atoi(arguments[2]), number = atoi(arguments[5]);
    if (octets < 14 || octets > MOST_OCTETS || seconds < 0 || seconds > 600 || number < 0 || number > 0xFFFFFF) {
        fprintf(stderr, "traffic: seconds, octets or count out of range\n");
        return 2;
    }
    for (ports = 0; ports < count - 6; ports++)
        sockets[ports] = open_wire(arguments[ports + 6]);
    for (int i = 0; i < BATCH; i++) {
        frames[i][12] = PROTOCOL >> 8;
        frames[i][13] = PROTOCOL & 0xFF;
        parts[i] = (struct iovec){frames[i], (size_t)octets};
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i], .msg_iovlen = 1};
    }
    unsigned long total = 0;
    if (strcmp(arguments[4], "announce") == 0)
        announce((uint32_t)number);
    else
        total = blast(seconds, rate, arguments[4], (uint32_t)number);
    printf("%lu\n", total);
    return 0;
}
