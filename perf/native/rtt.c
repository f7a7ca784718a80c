/* Round-trip times of ICMP echo, one at a time; the far side's kernel answers.
 *
 *   rtt NAMESPACE ADDRESS COUNT GAP     GAP: microseconds between an answer and the next question
 *
 * Prints p50, p99 and mean in microseconds, and how many were answered within a second, as JSON.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { MOST = 1000000, IPV4_HEADER = 20 };

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e6 + (double)time.tv_nsec * 1e-3;
}

static uint16_t checksum(const uint16_t *words, size_t count)
{
    uint32_t sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += words[i];
    sum = (sum & 0xFFFF) + (sum >> 16);
    return (uint16_t)~(sum + (sum >> 16));
}

static int open_socket(const char *namespace, const char *address)
{
    char path[256];
    snprintf(path, sizeof path, "/run/netns/%s", namespace);
    int netns = open(path, O_RDONLY | O_CLOEXEC);
    if (netns < 0 || setns(netns, CLONE_NEWNET) < 0)
        fail(path);
    int icmp = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
    struct sockaddr_in to = {.sin_family = AF_INET};
    struct timeval second = {.tv_sec = 1};
    if (icmp < 0 || inet_pton(AF_INET, address, &to.sin_addr) != 1 ||
        connect(icmp, (struct sockaddr *)&to, sizeof to) < 0)
        fail(address);
    setsockopt(icmp, SOL_SOCKET, SO_RCVTIMEO, &second, sizeof second);
    return icmp;
}

/* Microseconds until the answer, or less than zero. */
static double ask(int icmp, uint16_t sequence)
{
    uint8_t answer[256];
    struct icmphdr echo = {.type = ICMP_ECHO};
    echo.un.echo.id = (uint16_t)getpid();
    echo.un.echo.sequence = sequence;
    uint16_t words[sizeof echo / 2];
    memcpy(words, &echo, sizeof echo);
    echo.checksum = checksum(words, sizeof words / 2);
    double begin = now();
    if (send(icmp, &echo, sizeof echo, 0) < 0)
        fail("send");
    for (;;) {
        ssize_t got = recv(icmp, answer, sizeof answer, 0);
        double took = now() - begin;
        struct icmphdr reply;
        if (got < 0)
            return -1;
        if ((size_t)got < IPV4_HEADER + sizeof reply)
            continue;
        memcpy(&reply, answer + IPV4_HEADER, sizeof reply);
        if (reply.type == ICMP_ECHOREPLY && reply.un.echo.id == echo.un.echo.id && reply.un.echo.sequence == sequence)
            return took;
    }
}

static int compare(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

int main(int count, char **arguments)
{
    int wanted = count == 5 ? atoi(arguments[3]) : 0, answered = 0;
    if (wanted < 1 || wanted > MOST) {
        fprintf(stderr, "usage: rtt NAMESPACE ADDRESS COUNT GAP\n");
        return 2;
    }
    double *times = calloc((size_t)wanted, sizeof *times), sum = 0;
    int icmp = open_socket(arguments[1], arguments[2]), gap = atoi(arguments[4]);
    for (int i = 0; times != NULL && i < wanted; i++) {
        double took = ask(icmp, (uint16_t)i);
        if (took >= 0) {
            times[answered++] = took;
            sum += took;
        }
        if (gap > 0)
            usleep((useconds_t)gap);
    }
    if (answered == 0) {
        fprintf(stderr, "rtt: no answer\n");
        return 1;
    }
    qsort(times, (size_t)answered, sizeof *times, compare);
    printf("{\"p50\": %.2f, \"p99\": %.2f, \"mean\": %.2f, \"answered\": %d, \"asked\": %d}\n", times[answered / 2],
           times[(size_t)answered * 99 / 100], sum / answered, answered, wanted);
    return 0;
}
