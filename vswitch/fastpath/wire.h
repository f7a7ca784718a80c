/* What a frame is on the wire, by its virtio-net header: parse() of core/offload.py, in C.
 *
 * Header and frame are untrusted input: every offset is compared with the length before it is used.
 */
#ifndef VSWITCH_WIRE_H
#define VSWITCH_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum {
    HEADER = 10,          /* octets of a virtio-net header */
    TYPE = HEADER + 12,   /* where the ethertype begins */
    KEY = TYPE + 2,       /* where an untagged flow's key ends */
    TAG_END = TYPE + 4,   /* where a tag ends */
    PADDED = HEADER + 60, /* the least that leaves */
};

enum { NEEDS_CSUM = 1, DATA_VALID = 2 };
enum { GSO_NONE = 0, GSO_TCPV4 = 1, GSO_TCPV6 = 4, GSO_UDP_L4 = 5, GSO_ECN = 0x80 };
enum { CSUM = 1, TSO4 = 2, TSO6 = 4, TSO_ECN = 8, USO4 = 32, USO6 = 64 };
enum { ETHERNET = 14, MOST_TAGS = 8, MOST_EXTENSIONS = 8, TAG = 4 };
enum { IPV4 = 0x0800, IPV6 = 0x86DD, TCP = 6, UDP = 17 };
enum { LEAST_TCP_SIZE = 8, MOST_TCP_SEGMENTS = 2048, MOST_UDP_SEGMENTS = 128, GSO_BY_FRAGS = 0xFFFF };

/* What a frame is on the wire, and what a port must complete by itself to carry it whole. */
typedef struct {
    uint32_t needs, segments, octets, longest;
} Wire;

typedef struct {
    uint32_t protocol, csum_offset, least_size, most_segments, needs;
} Kind;

static inline uint32_t be16(const uint8_t *at) { return (uint32_t)at[0] << 8 | at[1]; }

static inline uint32_t host16(const uint8_t *at)
{
    uint16_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static inline bool is_tag(const uint8_t *ethertype)
{
    return (ethertype[0] == 0x81 && ethertype[1] == 0x00) || (ethertype[0] == 0x88 && ethertype[1] == 0xA8);
}

static inline bool is_plain(const uint8_t *header)
{
    static const uint8_t plain[HEADER];
    return memcmp(header, plain, HEADER) == 0;
}

/* Where the header behind at most MOST_TAGS tags begins; false where there are more of them. */
static inline bool find_network(const uint8_t *frame, uint32_t length, uint32_t *at, uint32_t *ethertype)
{
    *at = ETHERNET;
    for (int tags = 0; tags <= MOST_TAGS; tags++, *at += TAG) {
        *ethertype = *at <= length ? be16(frame + *at - 2) : 0;
        if (*ethertype != 0x8100 && *ethertype != 0x88A8)
            return true;
    }
    return false;
}

static const Kind *find_kind(uint32_t gso, uint32_t ethertype)
{
    static const Kind kinds[] = {
        {TCP, 16, LEAST_TCP_SIZE, MOST_TCP_SEGMENTS, CSUM | TSO4},
        {TCP, 16, LEAST_TCP_SIZE, MOST_TCP_SEGMENTS, CSUM | TSO6},
        {UDP, 6, 1, MOST_UDP_SEGMENTS, CSUM | USO4},
        {UDP, 6, 1, MOST_UDP_SEGMENTS, CSUM | USO6},
    };
    uint32_t type = gso & ~(uint32_t)GSO_ECN;
    if (type == GSO_TCPV4 && ethertype == IPV4)
        return &kinds[0];
    if (type == GSO_TCPV6 && ethertype == IPV6)
        return &kinds[1];
    if (gso == GSO_UDP_L4 && (ethertype == IPV4 || ethertype == IPV6))
        return &kinds[ethertype == IPV4 ? 2 : 3];
    return NULL;
}

/* Protocol, where the IP header ends, where the packet ends. 20 octets from `at` on are in the frame. */
static inline bool read_ipv4(const uint8_t *frame, uint32_t at, uint32_t *protocol, uint32_t *transport, uint32_t *end)
{
    if (frame[at] >> 4 != 4 || be16(frame + at + 6) & 0x3FFF)
        return false;
    *protocol = frame[at + 9];
    *transport = at + (frame[at] & 15) * 4U;
    *end = at + be16(frame + at + 2);
    return true;
}

static inline bool read_ipv6(const uint8_t *frame, uint32_t length, uint32_t at, uint32_t *protocol, uint32_t *transport,
                      uint32_t *end)
{
    if (frame[at] >> 4 != 6)
        return false;
    *protocol = frame[at + 6];
    *transport = at + 40;
    *end = at + 40 + be16(frame + at + 4);
    for (int extensions = 0; extensions < MOST_EXTENSIONS; extensions++) {
        bool extension = *protocol == 0 || *protocol == 43 || *protocol == 60;
        if (!extension || *transport + 2 > length)
            break;
        *protocol = frame[*transport];
        *transport += (frame[*transport + 1] + 1U) * 8;
    }
    return true;
}

static inline bool parse_superframe(const uint8_t *frame, uint32_t length, const uint8_t *header, uint32_t network,
                             uint32_t ethertype, Wire *wire)
{
    uint32_t gso = header[1], size = host16(header + 4), start = host16(header + 6), offset = host16(header + 8);
    const Kind *kind = find_kind(gso, ethertype);
    if (kind == NULL || offset != kind->csum_offset)
        return false;
    uint32_t protocol, transport, end, headers;
    if (ethertype == IPV4 ? !read_ipv4(frame, network, &protocol, &transport, &end)
                          : !read_ipv6(frame, length, network, &protocol, &transport, &end))
        return false;
    if (protocol != kind->protocol || transport != start)
        return false;
    if (protocol == UDP) { /* its checksum, and so its length, is in the frame */
        headers = start + 8;
        if (be16(frame + start + 4) != end - start)
            return false;
    } else {
        headers = start + (frame[start + 12] >> 4) * 4U;
        if (headers < start + 20)
            return false;
    }
    if (headers > end || end > length)
        return false;
    if (size < kind->least_size || size >= GSO_BY_FRAGS || length - headers > size * kind->most_segments)
        return false;
    uint32_t payload = end - headers, segments = (payload + size - 1) / size;
    wire->needs = kind->needs | (gso & GSO_ECN ? (uint32_t)TSO_ECN : 0);
    wire->segments = segments ? segments : 1;
    wire->octets = payload + wire->segments * headers;
    wire->longest = headers + (payload < size ? payload : size);
    return true;
}

/* `raw` holds `got` octets, KEY at least. False where the header contradicts the frame. */
static inline bool parse(const uint8_t *raw, uint32_t got, Wire *wire)
{
    const uint8_t *frame = raw + HEADER;
    uint32_t length = got - HEADER, network, ethertype;
    *wire = (Wire){.needs = 0, .segments = 1, .octets = length, .longest = length};
    if (is_plain(raw))
        return true;
    uint32_t flags = raw[0], gso = raw[1], start = host16(raw + 6), offset = host16(raw + 8);
    if (flags & ~(uint32_t)(NEEDS_CSUM | DATA_VALID) || host16(raw + 2) > length)
        return false;
    if (!(flags & NEEDS_CSUM))
        return gso == GSO_NONE;
    if (!find_network(frame, length, &network, &ethertype))
        return false;
    if (start < network + 20 || start + offset + 2 > length || start + TAG > 0xFFFF)
        return false;
    wire->needs = CSUM;
    return gso == GSO_NONE || parse_superframe(frame, length, raw, network, ethertype, wire);
}

#endif
