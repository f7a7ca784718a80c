/* Octets read as a script, so that a fuzzer that knows nothing but octets gets deep: numbers, and frames with their
 * virtio-net header, well formed but for a few octets. Any octets are a script; where they end, zeros go on. */
#ifndef VSWITCH_SCRIPT_H
#define VSWITCH_SCRIPT_H

#include "flowtable.h"

enum { MOST_OCTETS = 66 * 1024 };

typedef struct {
    const uint8_t *at, *end;
} Script;

static inline uint8_t octet(Script *script) { return script->at < script->end ? *script->at++ : 0; }

static inline uint32_t number(Script *script, uint32_t below)
{
    uint32_t high = below > 256 ? octet(script) : 0U;
    return (high << 8 | octet(script)) % below;
}

static inline uint32_t choose(Script *script, uint32_t count, const uint32_t *choices)
{
    return choices[number(script, count)];
}

static inline size_t put_be16(uint8_t *at, uint32_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
    return 2;
}

/* A few stations, so that flows meet again. */
static inline size_t put_addresses(Script *script, uint8_t *at)
{
    memset(at, 0, 12);
    at[0] = at[6] = 2;
    at[5] = (uint8_t)number(script, 3);
    at[11] = (uint8_t)number(script, 8);
    return 12;
}

static inline size_t put_tags(Script *script, uint8_t *at)
{
    static const uint32_t depths[] = {0, 0, 0, 1, 1, 2, 8, 9};
    size_t length = 0;
    for (uint32_t depth = choose(script, 8, depths); depth; depth--) {
        length += put_be16(at + length, number(script, 4) ? 0x8100 : 0x88A8);
        length += put_be16(at + length, number(script, 2) * 10);
    }
    return length;
}

/* An IP header with up to two extensions, which says how long the packet is. */
static inline size_t put_ip(Script *script, uint8_t *at, bool ipv4, uint32_t protocol, uint32_t payload)
{
    uint32_t extra = number(script, 4) ? 0 : 1 + number(script, 2);
    memset(at, 0, 64);
    if (ipv4) {
        at[0] = (uint8_t)(0x45 + extra);
        put_be16(at + 2, 20 + 4 * extra + payload);
        at[9] = (uint8_t)protocol;
        return 20 + 4 * extra;
    }
    at[0] = 0x60;
    put_be16(at + 4, 8 * extra + payload);
    at[6] = (uint8_t)(extra ? 60 : protocol);
    if (extra)
        at[40 + 8 * (extra - 1)] = (uint8_t)protocol;
    if (extra == 2)
        at[40] = 60;
    return 40 + 8 * extra;
}

/* A TCP or UDP packet, and the header for it as a superframe, or with a partial checksum alone. */
static inline size_t put_packet(Script *script, uint8_t *raw, size_t network)
{
    static const uint32_t lengths[] = {0, 1, 100, 999, 1000, 3000, 9000, 60000};
    static const uint32_t sizes[] = {1000, 100, 8, 1, 1448, 7, 0, 0xFFFF};
    bool ipv4 = number(script, 2), tcp = number(script, 2), whole = !number(script, 4);
    uint32_t length = choose(script, 8, lengths), transport = tcp ? 20 + 4 * number(script, 3) : 8;
    put_be16(raw + network - 2, ipv4 ? IPV4 : IPV6);
    size_t start = network + put_ip(script, raw + network, ipv4, tcp ? TCP : UDP, transport + length);
    memset(raw + start, 0, transport);
    if (tcp)
        raw[start + 12] = (uint8_t)(transport / 4 << 4);
    else
        put_be16(raw + start + 4, transport + length);
    memset(raw + start + transport, 0x5A, length);
    raw[0] = NEEDS_CSUM;
    put_host16(raw + 6, (int)(start - HEADER));
    put_host16(raw + 8, tcp ? 16 : 6);
    if (!whole) {
        raw[1] = tcp ? (ipv4 ? GSO_TCPV4 : GSO_TCPV6) | (number(script, 4) ? 0 : GSO_ECN) : GSO_UDP_L4;
        put_host16(raw + 2, number(script, 2) ? (int)(start + transport - HEADER) : 0);
        put_host16(raw + 4, (int)choose(script, 8, sizes));
    }
    return start + transport + length + (number(script, 8) ? 0 : number(script, 64));
}

static inline size_t put_plain(Script *script, uint8_t *raw, size_t length)
{
    static const uint32_t lengths[] = {0, 1, 3, 40, 45, 46, 47, 100, 1500};
    uint32_t payload = choose(script, 9, lengths);
    put_be16(raw + length - 2, number(script, 2) ? 0x88B5 : IPV4);
    raw[0] = number(script, 4) ? 0 : DATA_VALID;
    memset(raw + length, 0xA5, payload);
    return length + payload;
}

/* The frame with an octet changed, of its header rather, or cut; how long it is then. */
static inline size_t wound(Script *script, uint8_t *raw, size_t length)
{
    static const uint32_t telling[] = {0, 1, 2, 4, 5, 6, 8, 17, 20, 43, 44, 60, 0x40, 0x60, 0x81, 0xFF};
    uint32_t kind = number(script, 4), near = (uint32_t)(length < 120 ? length : 120);
    if (kind == 0)
        return number(script, near + 1);
    if (kind == 1 && near > HEADER)
        near = HEADER;
    if (near)
        raw[number(script, near)] = (uint8_t)(number(script, 2) ? choose(script, 16, telling) : octet(script));
    return length;
}

/* A frame: raw holds MOST_OCTETS; how long it is. */
static inline size_t make_frame(Script *script, uint8_t *raw)
{
    memset(raw, 0, 512);
    size_t length = HEADER + put_addresses(script, raw + HEADER);
    length += put_tags(script, raw + length) + 2;
    length = number(script, 2) ? put_packet(script, raw, length) : put_plain(script, raw, length);
    for (uint32_t wounds = number(script, 6); wounds > 2; wounds--)
        length = wound(script, raw, length);
    return length;
}

#endif
