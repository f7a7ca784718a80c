/* What the harness compares with: a list of flows, and what a frame of a flow counts and looks like where it leaves. */
#ifndef VSWITCH_MODEL_H
#define VSWITCH_MODEL_H

#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>

#include "script.h"

enum { MOST_KNOWN = 300, MOST_EXITS = 3, MOST_SENT = 8, COUNTERS = DROPPED + 4, RECENT = 4 };
enum { LEFT, RIGHT, FULL, GONE, NOT_OPEN, WAITING, CLOSED, PEERS }; /* where exits lead; two take frames */

#define CHECK(fact) ((fact) ? (void)0 : (fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #fact), abort()))

typedef struct {
    int near, far;
} Pair;

typedef struct {
    size_t length;
    uint8_t *octets;
} Frame;

static Pair entrance, takers[2];
static Frame recent[RECENT]; /* what frames are made of again, so that flows meet again */
static int *states[PEERS];
static uint64_t *counters[PEERS], expected[PEERS + 1][COUNTERS];
static Table table;
static Entry *known[MOST_KNOWN + 1]; /* one more, for a moment */
static uint8_t peers[MOST_KNOWN + 1][MOST_EXITS];
static uint64_t counted[MOST_KNOWN + 1][COUNTS], now; /* of the conversation of each, and what the clock says */
static size_t count;
static struct {
    unsigned long scripts, flows, taken, matches, superframes, edited, handed_back, refused, order;
} seen;

/* -- Descriptors --------------------------------------------------------------------------------------------------- */

static Pair make_pair(void)
{
    int ends[2];
    CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, ends) == 0);
    return (Pair){ends[0], ends[1]};
}

static void open_peers(void)
{
    static const char octets[4096];
    Pair full = make_pair(), gone = make_pair();
    entrance = make_pair();
    takers[LEFT] = make_pair();
    takers[RIGHT] = make_pair();
    while (write(full.near, octets, sizeof octets) > 0)
        ;
    close(gone.far);
    signal(SIGPIPE, SIG_IGN); /* as Python does */
    for (int i = 0; i < RECENT; i++) {
        recent[i].octets = malloc(MOST_OCTETS);
        CHECK(recent[i].octets != NULL);
    }
    for (int peer = 0; peer < PEERS; peer++) {
        states[peer] = calloc(2, sizeof(int));
        counters[peer] = calloc(DROPPED, sizeof(uint64_t));
        CHECK(states[peer] != NULL && counters[peer] != NULL);
    }
    states[LEFT][0] = takers[LEFT].near;
    states[RIGHT][0] = states[WAITING][0] = takers[RIGHT].near;
    states[FULL][0] = full.near;
    states[GONE][0] = gone.near;
    states[NOT_OPEN][0] = -1;
    states[CLOSED][0] = 1 << 30;
    states[WAITING][1] = 1;
}

/* A frame: three times of four one that was there before. */
static const Frame *pick_frame(Script *script)
{
    uint32_t which = number(script, 4 * RECENT);
    Frame *frame = &recent[which % RECENT];
    if (which < RECENT)
        frame->length = make_frame(script, frame->octets);
    return frame;
}

/* -- The list ------------------------------------------------------------------------------------------------------ */

/* The key of a flow as Python spells it; how long it is. */
static size_t spell_key(const uint8_t *raw, char key[TAG_END])
{
    bool tagged = be16(raw + TYPE) == 0x8100 || be16(raw + TYPE) == 0x88A8;
    memset(key, 0, HEADER);
    memcpy(key + HEADER, raw + HEADER, TAG_END - HEADER);
    return tagged ? TAG_END : KEY;
}

static size_t number_of(const Entry *entry)
{
    size_t at = 0;
    while (at < count && known[at] != entry)
        at++;
    return at;
}

static size_t number_by_key(const uint64_t key[2])
{
    size_t at = 0;
    while (at < count && memcmp(known[at]->key, key, sizeof known[at]->key) != 0)
        at++;
    return at;
}

static void forget(size_t at)
{
    free(known[at]->counts);
    free(known[at]);
    count--;
    known[at] = known[count];
    memcpy(counted[at], counted[count], sizeof *counted);
    memcpy(peers[at], peers[count], MOST_EXITS);
}

/* The flow of this frame becomes known. */
static void add(Script *script, const uint8_t *raw)
{
    static const uint32_t longest[] = {1514, 60, 0, 1 << 30}, offloads[] = {0x7F, CSUM, 0, 0x7F};
    char key[TAG_END];
    uint32_t exits = number(script, MOST_EXITS + 1);
    Entry *before, *entry = calloc(1, sizeof *entry + exits * sizeof *entry->exit);
    CHECK(entry != NULL);
    pack_key(key, spell_key(raw, key), entry->key);
    entry->exits = exits;
    entry->station = number(script, 3); /* several flows of one, and others */
    entry->first = CELLS + SIZES * number(script, CASTS);
    entry->drop = (int)number(script, 5) - 1;
    entry->longest = longest[number(script, 4) | (number(script, 4) ? 3U : 0U)];
    entry->offload = offloads[number(script, 4) | (number(script, 4) ? 3U : 0U)];
    size_t old = number_by_key(entry->key);
    if (count == MOST_KNOWN && old == count) {
        free(entry);
        return;
    }
    uint8_t *to = peers[count];
    for (uint32_t i = 0; i < exits; i++) {
        to[i] = (uint8_t)(number(script, 4) ? number(script, 2) : number(script, PEERS));
        entry->exit[i] = (Exit){states[to[i]], counters[to[i]], (int[]){-1, -1, 0, TAG}[number(script, 4)], {0}};
        put_be16(entry->exit[i].tag, number(script, 2) ? 0x8100 : 0x88A8);
        put_be16(entry->exit[i].tag + 2, 0x200A);
    }
    entry->counts = calloc(COUNTS, sizeof *entry->counts);
    CHECK(entry->counts != NULL);
    memset(counted[count], 0, sizeof *counted);
    CHECK(insert(&table, entry, &before));
    CHECK(before == (old < count ? known[old] : NULL));
    known[count++] = entry;
    seen.flows++;
    if (before != NULL)
        forget(old);
}

static void discard(const uint8_t *raw)
{
    char key[TAG_END];
    uint64_t packed[2];
    pack_key(key, spell_key(raw, key), packed);
    size_t at = number_by_key(packed);
    Entry *entry = take(&table, packed);
    CHECK(entry == (at < count ? known[at] : NULL));
    if (entry != NULL)
        forget(at);
    seen.taken += entry != NULL;
}

/* The table knows what the list knows, and every search ends. */
static void compare(void)
{
    size_t used = 0;
    for (size_t slot = 0; slot < table.size; slot++)
        used += table.slots[slot] != NULL;
    CHECK(table.used == count && used == count && count * 2 <= table.size && !(table.size & (table.size - 1)));
    for (size_t at = 0; at < count; at++)
        CHECK(table.slots[find_slot(&table, known[at]->key)] == known[at]);
}

/* -- What is expected of a frame ----------------------------------------------------------------------------------- */

/* A copy in a buffer of its own that ends where it may be read to. */
static uint8_t *padded(const uint8_t *raw, size_t got)
{
    uint8_t *copy = calloc(1, got < PADDED ? PADDED : got);
    CHECK(copy != NULL);
    if (got)
        memcpy(copy, raw, got);
    return copy;
}

static Entry *expect_match(const uint8_t *raw, size_t got, Wire *wire)
{
    char key[TAG_END];
    uint64_t packed[2];
    if (got < KEY)
        return NULL;
    pack_key(key, spell_key(raw, key), packed);
    size_t at = number_by_key(packed);
    if (at == count || !parse(raw, (uint32_t)got, wire))
        return NULL;
    CHECK(wire->segments >= 1 && wire->segments <= MOST_TCP_SEGMENTS && wire->longest <= got - HEADER);
    CHECK((wire->segments - 1) * wire->longest < wire->octets && wire->octets <= wire->segments * wire->longest);
    CHECK(wire->segments == 1 || wire->needs & (TSO4 | TSO6 | USO4 | USO6));
    seen.superframes += wire->segments > 1;
    return wire->longest <= known[at]->longest && (wire->needs & known[at]->offload) == wire->needs ? known[at] : NULL;
}

/* The frame as it leaves by an exit, in memory to be freed. */
static Frame expect_form(const Exit *exit, const uint8_t *raw, size_t got)
{
    size_t length = got < PADDED ? PADDED : got, old = be16(raw + TYPE) == 0x8100 || be16(raw + TYPE) == 0x88A8 ? 4 : 0;
    size_t new = exit->tag_length < 0 ? old : (size_t)exit->tag_length;
    uint8_t *octets = calloc(1, length + TAG);
    CHECK(octets != NULL);
    memcpy(octets, raw, length);
    if (exit->tag_length >= 0) {
        int moved = (int)new - (int)old, hdr_len = (int)host16(raw + 2);
        memcpy(octets + TYPE, exit->tag, new);
        memcpy(octets + TYPE + new, raw + TYPE + old, length - TYPE - old);
        memset(octets + length + new - old, 0, TAG + old - new);
        put_host16(octets + 2, hdr_len == 0 || hdr_len + moved < 0 ? 0 : hdr_len + moved);
        put_host16(octets + 6, (int)host16(raw + 6) + (raw[0] & NEEDS_CSUM ? moved : 0));
        seen.edited++;
    }
    return (Frame){length + new - old < PADDED ? PADDED : length + new - old, octets};
}

/* It waits at the far end of this exit, whole. */
static void expect_received(int peer, Frame frame)
{
    static uint8_t octets[MOST_OCTETS + 64];
    ssize_t got = recv(takers[peer].far, octets, sizeof octets, 0);
    CHECK(got == (ssize_t)frame.length && memcmp(octets, frame.octets, frame.length) == 0);
}

/* Each segment in its group of sizes, one after the other; they grew by that much. */
static void expect_counted(uint64_t *values, uint32_t first, const Wire *wire, uint64_t octets, size_t grown)
{
    static const uint64_t bounds[] = {64, 127, 255, 511, 1023, 1518, UINT64_MAX};
    values[0] += octets;
    values[SUPERFRAMES] += wire->segments > 1;
    values[SEGMENTS] += wire->segments > 1 ? wire->segments : 0;
    for (uint32_t left = wire->segments; left > 0; left--) {
        uint64_t size = left > 1 ? wire->longest + grown : octets;
        uint32_t group = 0;
        while (size > bounds[group])
            group++;
        values[first + group]++;
        octets -= size;
    }
}

/* What a frame of a flow counts, and where it can be read; how many exits take it. */
static uint32_t expect_carried(const Entry *entry, const uint8_t *raw, size_t got, const Wire *wire)
{
    const uint8_t *to = peers[number_of(entry)];
    expect_counted(expected[PEERS] + RECEIVE, entry->first, wire, wire->octets, 0);
    counted[number_of(entry)][FRAMES] += wire->segments;
    counted[number_of(entry)][OCTETS] += wire->octets;
    counted[number_of(entry)][LAST] = now;
    if (entry->drop >= 0)
        expected[PEERS][DROPPED + entry->drop] += wire->segments;
    for (uint32_t done = 0; done < entry->exits; done++) {
        if (to[done] > RIGHT)
            return done;
        Frame frame = expect_form(&entry->exit[done], raw, got);
        expect_received(to[done], frame);
        size_t grown = frame.length - (got < PADDED ? PADDED : got); /* modulo the size of the counter */
        uint64_t sent = wire->segments > 1 ? wire->octets + wire->segments * (uint64_t)grown : frame.length - HEADER;
        expect_counted(expected[to[done]] + TRANSMIT, entry->first, wire, sent, grown);
        free(frame.octets);
    }
    return entry->exits;
}

static void compare_counters(void)
{
    uint8_t octets[1];
    for (int peer = 0; peer < PEERS; peer++)
        CHECK(memcmp(counters[peer], expected[peer], DROPPED * sizeof(uint64_t)) == 0);
    CHECK(memcmp(table.values, expected[PEERS], sizeof *expected) == 0);
    for (size_t at = 0; at < count; at++)
        CHECK(memcmp(known[at]->counts, counted[at], sizeof *counted) == 0);
    for (int peer = LEFT; peer <= RIGHT; peer++)
        CHECK(recv(takers[peer].far, octets, sizeof octets, 0) < 0 && errno == EAGAIN);
}

#endif
