/* The flows of one port, and what a burst does with them: the pure part of _flowcache.c, which knows no Python. */
#ifndef VSWITCH_FLOWTABLE_H
#define VSWITCH_FLOWTABLE_H

#include <errno.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

#include "packet.h"
#include "wire.h"

enum { MOST_FRAMES = 256 }; /* in one burst */

/* Layout of a port's counters, and of one direction of them: core/stats.py. */
enum { SUPERFRAMES = 1, SEGMENTS = 2, CELLS = 3, CASTS = 3, SIZES = 7 };
enum { RECEIVE = 0, TRANSMIT = CELLS + CASTS * SIZES, REFUSED = 2 * TRANSMIT, DROPPED = REFUSED + 1 };

/* Layout of a conversation's: fastpath/conversations.py. */
enum { FRAMES, OCTETS, LAST, COUNTS };

/* -- The table ------------------------------------------------------------------------------------------------------- */

typedef struct {
    const int *state; /* descriptor, and whether frames wait */
    uint64_t *values;
    int tag_length; /* -1: as it came */
    uint8_t tag[TAG];
} Exit;

typedef struct {
    uint64_t key[2];
    uint64_t station; /* VLAN and source address; 0: nothing is learned */
    void *owner;
    uint64_t *counts; /* of the conversation */
    uint32_t longest, offload, exits;
    uint32_t first; /* of the counters of its cast, one for each group of sizes */
    int drop;
    Exit exit[];
} Entry;

/* The flows of one port. Open addressing: a power of two of slots, half of them in use at most.
 *
 * values: the port's counters.  clock: the time, which is only copied.  buffer: `room` octets that frames are
 * read into, PADDED at least. */
typedef struct {
    Entry **slots;
    size_t size, used;
    uint64_t seeds[5];
    uint64_t *values;
    const uint64_t *clock;
    uint8_t *buffer;
    size_t room;
} Table;

/* Addresses and ethertype, and tag control information where there is a tag. `raw` is padded. */
static inline void read_key(const uint8_t *raw, uint64_t key[2])
{
    uint8_t octets[16] = {0};
    memcpy(octets, raw + HEADER, is_tag(raw + TYPE) ? TAG_END - HEADER : KEY - HEADER);
    memcpy(key, octets, sizeof octets);
}

/* Guests choose addresses but do not know the seeds: whatever two keys they choose collide with a chance of 2^-32 before
 * the mask (multilinear hashing). What follows the sum only spreads neighbours. */
static inline size_t slot_of(const Table *table, const uint64_t key[2])
{
    uint64_t sum = table->seeds[0] + table->seeds[1] * (uint32_t)key[0] + table->seeds[2] * (key[0] >> 32) +
                   table->seeds[3] * (uint32_t)key[1] + table->seeds[4] * (key[1] >> 32);
    uint32_t hash = (uint32_t)(sum >> 32);
    hash = (hash ^ hash >> 16) * 0x85EBCA6BU;
    hash = (hash ^ hash >> 13) * 0xC2B2AE35U;
    return (hash ^ hash >> 16) & (table->size - 1);
}

static inline bool same_key(const uint64_t a[2], const uint64_t b[2]) { return a[0] == b[0] && a[1] == b[1]; }

/* The slot that holds this key, or the free one where it belongs. There is always a free one. */
static inline size_t find_slot(const Table *table, const uint64_t key[2])
{
    size_t at = slot_of(table, key);
    while (table->slots[at] != NULL && !same_key(table->slots[at]->key, key))
        at = (at + 1) & (table->size - 1);
    return at;
}

static inline bool grow(Table *table)
{
    size_t old_size = table->size;
    Entry **old = table->slots;
    Entry **slots = calloc(old_size * 2, sizeof *slots);
    if (slots == NULL)
        return false;
    table->slots = slots;
    table->size = old_size * 2;
    for (size_t i = 0; i < old_size; i++)
        if (old[i] != NULL)
            slots[find_slot(table, old[i]->key)] = old[i];
    free(old);
    return true;
}

/* Frees a slot, and moves up those behind it that a search would now miss. */
static inline void vacate(Table *table, size_t hole)
{
    size_t mask = table->size - 1;
    table->slots[hole] = NULL;
    table->used--;
    for (size_t at = (hole + 1) & mask; table->slots[at] != NULL; at = (at + 1) & mask) {
        size_t home = slot_of(table, table->slots[at]->key);
        if (((at - home) & mask) >= ((at - hole) & mask)) {
            table->slots[hole] = table->slots[at];
            table->slots[at] = NULL;
            hole = at;
        }
    }
}

/* The key of a flow as Python spells it: `length` octets, KEY or TAG_END of them, a plain header first. */
static inline void pack_key(const char *octets, size_t length, uint64_t key[2])
{
    uint8_t padded[16] = {0};
    memcpy(padded, octets + HEADER, length - HEADER);
    memcpy(key, padded, sizeof padded);
}

static inline bool init_table(Table *table, uint64_t seed)
{
    for (int i = 0; i < 5; i++) { /* splitmix64 */
        uint64_t mixed = seed += 0x9E3779B97F4A7C15U;
        mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9U;
        mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EBU;
        table->seeds[i] = mixed ^ mixed >> 31;
    }
    table->size = 16;
    table->slots = calloc(table->size, sizeof *table->slots);
    return table->slots != NULL;
}

/* Puts an entry in; false where there is no memory. *before: the one whose place it takes, or NULL. */
static inline bool insert(Table *table, Entry *entry, Entry **before)
{
    if ((table->used + 1) * 2 > table->size && !grow(table))
        return false;
    size_t at = find_slot(table, entry->key);
    *before = table->slots[at];
    table->slots[at] = entry;
    table->used += *before == NULL;
    return true;
}

/* Takes the entry with this key out; NULL where there is none. */
static inline Entry *take(Table *table, const uint64_t key[2])
{
    size_t at = find_slot(table, key);
    Entry *entry = table->slots[at];
    if (entry != NULL)
        vacate(table, at);
    return entry;
}

/* The entry that a frame belongs to, if it can leave whole by every exit of it. `raw` is padded. */
static inline Entry *match(const Table *table, const uint8_t *raw, uint32_t got, Wire *wire)
{
    uint64_t key[2];
    if (got < KEY)
        return NULL;
    read_key(raw, key);
    Entry *entry = table->slots[find_slot(table, key)];
    if (entry == NULL || !parse(raw, got, wire))
        return NULL;
    return wire->longest <= entry->longest && !(wire->needs & ~entry->offload) ? entry : NULL;
}

/* -- A frame leaves -------------------------------------------------------------------------------------------------- */

enum { MOST_PARTS = 5 };

typedef struct {
    struct iovec part[MOST_PARTS];
    int parts;
    size_t length;
    int moved; /* octets that the frame grew by */
    uint8_t header[HEADER];
} Form;

static inline void put_part(Form *form, const void *at, size_t length)
{
    form->part[form->parts++] = (struct iovec){(void *)(uintptr_t)at, length};
    form->length += length;
}

static inline void put_host16(uint8_t *at, int value)
{
    uint16_t narrow = (uint16_t)value;
    memcpy(at, &narrow, sizeof narrow);
}

/* The header for when the frame grows by `moved` octets before the IP header: shift() of core/offload.py. */
static inline void shift_header(const uint8_t *raw, int moved, uint8_t *header)
{
    memcpy(header, raw, HEADER);
    int hdr_len = (int)host16(raw + 2), start = (int)host16(raw + 6);
    if (hdr_len) {
        hdr_len += moved;
        put_host16(header + 2, hdr_len < 0 ? 0 : hdr_len > 0xFFFF ? 0xFFFF : hdr_len);
    }
    if (raw[0] & NEEDS_CSUM)
        put_host16(header + 6, start + moved);
}

/* The frame with the tag that this exit wants. `raw` holds `length` octets, PADDED at least. */
static inline void make_form(const Exit *exit, const uint8_t *raw, size_t length, Form *form)
{
    static const uint8_t zeros[TAG];
    form->parts = 0;
    form->length = 0;
    form->moved = 0;
    if (exit->tag_length < 0) {
        put_part(form, raw, length);
        return;
    }
    bool tagged = is_tag(raw + TYPE);
    size_t rest = tagged ? TAG_END : TYPE;
    form->moved = exit->tag_length - (tagged ? TAG : 0);
    shift_header(raw, form->moved, form->header);
    put_part(form, form->header, HEADER);
    put_part(form, raw + HEADER, TYPE - HEADER);
    put_part(form, exit->tag, (size_t)exit->tag_length);
    put_part(form, raw + rest, length - rest);
    if (form->length < PADDED)
        put_part(form, zeros, PADDED - form->length);
}

/* A signal that comes first is Python's to handle, which then sends the frame. */
static inline bool send_form(int fd, const Form *form)
{
    if (form->parts == 1)
        return write(fd, form->part[0].iov_base, form->length) >= 0;
    return writev(fd, form->part, form->parts) >= 0;
}

/* -- Counters -------------------------------------------------------------------------------------------------------- */

/* The group of SIZE_BOUNDS of core/stats.py that a frame of this size is in. */
static inline uint32_t size_group(uint32_t octets)
{
    if (octets <= 64)
        return 0;
    return octets > 1518 ? 6 : 26U - (uint32_t)__builtin_clz(octets); /* 65 to 127 are group 1, and so on by powers of two */
}

/* A superframe, in one direction of a port's counters: each segment for itself; all but the last are as long as any.
 * count() of core/stats.py. */
static __attribute__((noinline, unused)) void count_superframe(uint64_t *counters, uint32_t first, uint32_t segments,
                                                               uint32_t octets, uint32_t longest)
{
    uint64_t *cells = counters + first;
    counters[0] += octets;
    counters[SUPERFRAMES]++;
    counters[SEGMENTS] += segments;
    cells[size_group(longest)] += segments - 1;
    cells[size_group(octets - (segments - 1) * longest)]++;
}

/* Counts a frame as received, and sends it by the exits of its flow in turn; how many took it. `raw` is padded. */
static inline uint32_t carry(const Table *table, const Entry *entry, const uint8_t *raw, uint32_t got, const Wire *wire)
{
    uint64_t *values = table->values, *counts = entry->counts;
    uint32_t octets = wire->octets, segments = wire->segments, first = entry->first;
    uint32_t cell = first + size_group(octets);
    if (segments == 1) {
        values[RECEIVE] += octets;
        values[RECEIVE + cell]++;
    } else {
        count_superframe(values + RECEIVE, first, segments, octets, wire->longest);
    }
    counts[FRAMES] += segments;
    counts[OCTETS] += octets;
    counts[LAST] = *table->clock;
    if (entry->drop >= 0)
        values[DROPPED + entry->drop] += segments;
    for (uint32_t i = 0; i < entry->exits; i++) {
        const Exit *exit = &entry->exit[i];
        Form form;
        if (exit->state[0] < 0 || exit->state[1])
            return i;
        make_form(exit, raw, got < PADDED ? PADDED : got, &form);
        if (!send_form(exit->state[0], &form))
            return i;
        if (segments == 1) {
            uint32_t sent = (uint32_t)form.length - HEADER;
            exit->values[TRANSMIT] += sent;
            exit->values[TRANSMIT + (sent == octets ? cell : first + size_group(sent))]++;
        } else {
            uint32_t moved = (uint32_t)form.moved; /* modulo, where it shrank */
            count_superframe(exit->values + TRANSMIT, first, segments, octets + segments * moved, wire->longest + moved);
        }
    }
    return entry->exits;
}

/* -- A burst --------------------------------------------------------------------------------------------------------- */

/* What came of it: as `Turn` of flowcache.py. */
typedef struct {
    uint32_t read, met, done;
    ssize_t length;
    Entry *entry;
    int error; /* errno of the read that ended it */
    uint64_t stations[MOST_FRAMES];
    Entry *flows[MOST_FRAMES];
} Turn;

/* Notes that a frame of this flow was the last one heard of its station. */
static inline void meet(Turn *turn, Entry *entry)
{
    if (entry->station == 0)
        return;
    uint32_t at = turn->met && turn->stations[turn->met - 1] == entry->station ? turn->met - 1 : 0;
    while (at < turn->met && turn->stations[at] != entry->station)
        at++;
    if (at < turn->met) {
        uint32_t after = --turn->met - at;
        memmove(turn->stations + at, turn->stations + at + 1, after * sizeof *turn->stations);
        memmove(turn->flows + at, turn->flows + at + 1, after * sizeof *turn->flows);
    }
    turn->stations[turn->met] = entry->station;
    turn->flows[turn->met++] = entry;
}

/* packet: the descriptor is a packet socket. */
static inline void run_burst(const Table *table, int fd, uint32_t frames, int64_t octets, bool packet, Turn *turn)
{
    if (frames > MOST_FRAMES)
        frames = MOST_FRAMES;
    uint8_t *raw = table->buffer;
    turn->length = -1;
    turn->read = turn->met = turn->done = 0;
    turn->entry = NULL;
    turn->error = 0;
    while (turn->read < frames && octets > 0) {
        Wire wire;
        ssize_t got = packet ? receive_packet(fd, raw, table->room) : read(fd, raw, table->room);
        if (got < 0) {
            turn->error = errno;
            return;
        }
        turn->read++;
        octets -= got;
        if (got < PADDED)
            memset(raw + got, 0, (size_t)(PADDED - got));
        turn->entry = match(table, raw, (uint32_t)got, &wire);
        if (turn->entry != NULL) {
            meet(turn, turn->entry);
            turn->done = carry(table, turn->entry, raw, (uint32_t)got, &wire);
            if (turn->done == turn->entry->exits)
                continue;
        }
        turn->length = got;
        return;
    }
}

#endif
