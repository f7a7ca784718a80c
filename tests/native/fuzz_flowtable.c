/* The flow table and what a burst does, without Python: any script of flows and frames does what a list of flows would.
 *
 * With clang -fsanitize=fuzzer it is a target of libFuzzer. Else it is a program: `fuzz SEED SECONDS` plays scripts of
 * random octets, of that seed and those that follow it; with no seconds that one alone. */
#define _GNU_SOURCE
#include <time.h>

#include "model.h"

static void check_forms(const Entry *entry, const uint8_t *raw, size_t got)
{
    for (uint32_t i = 0; i < entry->exits; i++) {
        Frame frame = expect_form(&entry->exit[i], raw, got);
        Form form;
        size_t at = 0;
        make_form(&entry->exit[i], raw, got < PADDED ? PADDED : got, &form);
        CHECK(form.parts <= MOST_PARTS && form.length == frame.length);
        for (int part = 0; part < form.parts; at += form.part[part++].iov_len)
            CHECK(at + form.part[part].iov_len <= frame.length &&
                  memcmp(form.part[part].iov_base, frame.octets + at, form.part[part].iov_len) == 0);
        CHECK(at == frame.length);
        free(frame.octets);
    }
}

/* One frame that Python read, or how it begins. */
static void carry_one(Script *script, const Frame *frame)
{
    Wire wire, same;
    uint32_t most = (uint32_t)(frame->length < 255 ? frame->length : 255);
    size_t got = number(script, 3) ? frame->length : number(script, most + 1);
    uint8_t *raw = padded(frame->octets, got);
    Entry *entry = match(&table, raw, (uint32_t)got, &wire);
    CHECK(entry == expect_match(raw, got, &same));
    seen.matches += entry != NULL;
    if (entry != NULL) {
        CHECK(memcmp(&wire, &same, sizeof wire) == 0);
        check_forms(entry, raw, got);
        uint32_t done = carry(&table, entry, raw, (uint32_t)got, &wire);
        CHECK(done == expect_carried(entry, raw, got, &wire));
    }
    compare_counters();
    free(raw);
}

/* What is expected of the frames that were sent to the entrance, one after the other; limit: of segments, 0: none. */
static void compare_turn(const Turn *turn, const Frame *sent, uint32_t frames, uint32_t most, int64_t octets,
                         uint32_t limit)
{
    uint32_t carried = 0;
    Entry *met[MOST_SENT];
    uint32_t read = 0, known_met = 0;
    Entry *entry = NULL;
    uint32_t done = 0;
    ssize_t length = -1;
    while (length < 0 && read < frames && read < most && octets > 0) {
        Wire wire;
        size_t got = sent[read].length < table.room ? sent[read].length : table.room;
        uint8_t *raw = padded(sent[read++].octets, got);
        octets -= (int64_t)got;
        entry = expect_match(raw, got, &wire);
        if (entry != NULL && limit && (carried += wire.segments) >= limit) {
            entry = NULL;
            seen.stopped++;
        }
        if (entry != NULL && entry->station) {
            uint32_t at = 0;
            for (uint32_t i = 0; i < known_met; i++)
                if (met[i]->station != entry->station)
                    met[at++] = met[i];
            seen.order += at < known_met && met[at]->station != entry->station;
            met[at++] = entry;
            known_met = at;
        }
        if (entry != NULL) {
            done = expect_carried(entry, raw, got, &wire);
        }
        if (entry == NULL || done < entry->exits) {
            length = (ssize_t)got;
            CHECK(memcmp(table.buffer, raw, got < PADDED ? PADDED : got) == 0);
            CHECK(turn->entry == entry && (entry == NULL || turn->done == done));
            seen.handed_back++;
        }
        free(raw);
    }
    CHECK(turn->read == read && turn->length == length && turn->met == known_met);
    CHECK(known_met == 0 || memcmp(turn->flows, met, known_met * sizeof *met) == 0);
    CHECK(turn->error == (length < 0 && read < most && octets > 0 ? EAGAIN : 0));
}

/* Frames that wait at a descriptor. */
static void burst(Script *script)
{
    Frame sent[MOST_SENT];
    uint32_t frames = number(script, MOST_SENT + 1), most = number(script, 4) ? MOST_FRAMES + 1 : number(script, 5);
    int64_t octets = number(script, 4) ? INT64_MAX : (int64_t)number(script, 3000) - 2;
    size_t room = PADDED;
    for (uint32_t i = 0; i < frames; i++) {
        const Frame *frame = pick_frame(script);
        sent[i].length = frame->length < 4000 || frames == 1 ? frame->length : 4000; /* what a socket holds */
        sent[i].octets = padded(frame->octets, sent[i].length);
        room = sent[i].length > room ? sent[i].length : room;
        CHECK(send(entrance.far, sent[i].octets, sent[i].length, 0) == (ssize_t)sent[i].length);
    }
    table.room = number(script, 8) ? room : PADDED;
    table.buffer = malloc(table.room);
    CHECK(table.buffer != NULL);
    memset(table.buffer, 0xFF, table.room);
    Turn turn;
    uint32_t limit = number(script, 4) ? 0 : 1 + number(script, 200);
    if (limit)
        run_burst_below(&table, entrance.near, most, octets, false, limit, &turn);
    else
        run_burst(&table, entrance.near, most, octets, false, &turn);
    compare_turn(&turn, sent, frames, most, octets, limit);
    while (recv(entrance.near, table.buffer, 1, 0) >= 0)
        ;
    for (uint32_t i = 0; i < frames; i++)
        free(sent[i].octets);
    free(table.buffer);
    compare_counters();
}

static void read_nothing(void)
{
    Turn turn;
    uint8_t buffer[PADDED];
    table.buffer = buffer;
    table.room = sizeof buffer;
    run_burst(&table, 1 << 30, 5, 1000, false, &turn);
    CHECK(turn.read == 0 && turn.met == 0 && turn.length == -1 && turn.error == EBADF);
    seen.refused++;
}

/* A packet socket's frame gets its tag back, in a buffer that has room for no octet more. */
static void tag_back(Script *script)
{
    const Frame *frame = pick_frame(script);
    uint16_t tpid = number(script, 2) ? 0x8100 : 0x88A8, tci = (uint16_t)(number(script, 256) << 8 | octet(script));
    const uint8_t tag[TAG] = {(uint8_t)(tpid >> 8), (uint8_t)tpid, (uint8_t)(tci >> 8), (uint8_t)tci};
    size_t got = frame->length;
    if (got < TYPE)
        return;
    uint8_t header[HEADER], *raw = malloc(got + TAG);
    CHECK(raw != NULL);
    memcpy(raw, frame->octets, got);
    put_back(raw, got, tpid, tci);
    shift_header(frame->octets, TAG, header);
    CHECK(memcmp(raw, header, HEADER) == 0);
    CHECK(memcmp(raw + HEADER, frame->octets + HEADER, TYPE - HEADER) == 0);
    CHECK(memcmp(raw + TYPE, tag, TAG) == 0);
    CHECK(memcmp(raw + TYPE + TAG, frame->octets + TYPE, got - TYPE) == 0);
    free(raw);
}

/* Many flows alike, whose keys differ in one octet: all of them come, or go. */
static void crowd(Script *script)
{
    uint32_t first = number(script, 256), flows = 1 + number(script, 100), where = HEADER + number(script, 12);
    bool come = number(script, 3);
    const Frame *frame = pick_frame(script);
    for (uint32_t i = 0; i < flows; i++) {
        Script alike = *script;
        frame->octets[where] = (uint8_t)(first + i);
        if (come)
            add(&alike, frame->octets);
        else
            discard(frame->octets);
    }
}

static void act(Script *script, uint32_t what)
{
    now++;
    if (what == 0)
        read_nothing();
    else if (what < 2)
        crowd(script);
    else if (what < 4)
        tag_back(script);
    else if (what < 16)
        add(script, pick_frame(script)->octets);
    else if (what < 24)
        discard(pick_frame(script)->octets);
    else if (what < 44)
        carry_one(script, pick_frame(script));
    else
        burst(script);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint64_t values[COUNTERS];
    Script script = {data, data + size};
    if (states[0] == NULL)
        open_peers();
    table = (Table){.values = values, .clock = &now};
    CHECK(init_table(&table, number(&script, 4) * 0x9E3779B97F4A7C15U));
    for (int i = 0; i < RECENT; i++)
        recent[i].length = make_frame(&script, recent[i].octets);
    while (script.at < script.end)
        act(&script, number(&script, 64));
    compare();
    while (count) {
        size_t at = number(&script, 16) % count;
        CHECK(take(&table, known[at]->key) == known[at]);
        forget(at);
    }
    compare();
    free(table.slots);
    seen.scripts++;
    return 0;
}

/* -- Without libFuzzer --------------------------------------------------------------------------------------------- */

#ifdef OWN_MAIN
void __sanitizer_set_death_callback(void (*callback)(void));

static uint64_t seed;

static void tell_seed(void) { fprintf(stderr, "it was seed %llu\n", (unsigned long long)seed); }

static void tell_seed_and_die(int signal_number)
{
    tell_seed();
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

/* Octets of splitmix64. */
static void play(void)
{
    uint8_t octets[2000];
    uint64_t state = seed;
    for (size_t i = 0; i < sizeof octets; i++) {
        uint64_t mixed = state += 0x9E3779B97F4A7C15U;
        mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9U;
        mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EBU;
        octets[i] = (uint8_t)(mixed >> 56);
    }
    LLVMFuzzerTestOneInput(octets, 100 + (size_t)(state >> 32) % 1900);
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: %s SEED SECONDS\n", argv[0]);
        return 2;
    }
    seed = strtoull(argv[1], NULL, 10);
    time_t end = time(NULL) + strtol(argv[2], NULL, 10);
    signal(SIGABRT, tell_seed_and_die);
    __sanitizer_set_death_callback(tell_seed);
    do {
        play();
        seed++;
    } while (time(NULL) < end);
    printf("%lu scripts: flows %lu, taken %lu, matches %lu, superframes %lu, edited %lu, handed back %lu, refused %lu, "
           "order %lu, stopped %lu\n", seen.scripts, seen.flows, seen.taken, seen.matches, seen.superframes, seen.edited,
           seen.handed_back, seen.refused, seen.order, seen.stopped);
    return 0;
}
#endif
