/* SPDX-License-Identifier: Apache-2.0 */
#include "group/agree.h"

#include "base/constants.h"
#include "base/logging.h"
#include "group/seats.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum { BANKS = 3, NOBODY = -1 };

/* Of one seat in one call. */
typedef struct slot {
    uint64_t call;        /* whose payload it has; 0: none */
    XXH128_hash_t digest; /* of the set in its last STATE */
    uint32_t attempt;     /* of that STATE; 0: only its payload is known, from a DECIDED */
    uint32_t bytes;       /* of the payload */
} slot_t;

/* What is due to a seat. */
typedef struct owed {
    int32_t state; /* 1: our STATE */
    int32_t from;  /* DECIDED, from the payload of this seat on; NOBODY: none */
} owed_t;

/* The machine is one block without pointers: this, then the arrays at their offsets. Arrays behind state_bytes are
 * scratch. */
struct sgp_agree {
    sgp_agree_limits_t limits;
    uint64_t set_bytes, room;
    uint64_t state_bytes, all_bytes;
    uint64_t at_slots, at_owed, at_payloads, at_to, at_out;
    uint64_t call; /* begun last */
    uint64_t result_call;
    uint64_t excluded_call;
    XXH128_hash_t digest; /* of the live set */
    int32_t seat;
    int32_t decided;     /* the call that was begun last, or none was begun */
    int32_t has_result;  /* of result_call */
    int32_t verdict_src; /* sender of the last DECIDED of the present call, which is not whole */
    int32_t excluded_by; /* in excluded_call */
    int32_t live_others; /* live members but this one */
    int32_t matching;    /* of them: those whose last STATE has our set */
    int32_t dues;        /* seats to which anything is due */
    int32_t out_next;    /* DECIDED, of the last message given out: where the next one begins */
    uint32_t attempt;
    unsigned char sets[]; /* (SETS, set_bytes) */
};

/* GONE: lost, also before the call. VERDICT: of verdict_src. WANTED, NEXT: seats that are neither LIVE nor GONE here, in STATEs of the
 * present call and of the next one. */
typedef enum set { LIVE, GONE, RESULT, VERDICT, WANTED, NEXT, SETS } set_t;

static unsigned char *set_of(const sgp_agree_t *agree, set_t which) {
    return (unsigned char *)agree->sets + which * agree->set_bytes;
}

static void *at(const sgp_agree_t *agree, uint64_t offset) {
    return (unsigned char *)agree + offset;
}

static size_t slot_index(const sgp_agree_t *agree, uint64_t call, int seat) {
    return (size_t)(call % BANKS) * (size_t)agree->limits.capacity + (size_t)seat;
}

/* It may hold another call: the one three calls before. */
static slot_t *slot_of(const sgp_agree_t *agree, uint64_t call, int seat) {
    return (slot_t *)at(agree, agree->at_slots) + slot_index(agree, call, seat);
}

static unsigned char *payload_of(const sgp_agree_t *agree, uint64_t call, int seat) {
    return (unsigned char *)at(agree, agree->at_payloads) +
           slot_index(agree, call, seat) * agree->limits.payload_bytes;
}

static owed_t *owed_to(const sgp_agree_t *agree, int seat) {
    return (owed_t *)at(agree, agree->at_owed) + seat;
}

static int next_seat(const sgp_agree_t *agree, const unsigned char *set, int seat) {
    return sgp_seats_next(set, agree->limits.capacity, seat);
}

static bool is_live(const sgp_agree_t *agree, int seat) {
    return sgp_seats_has(set_of(agree, LIVE), seat);
}

static XXH128_hash_t digest_of(const sgp_agree_t *agree, const unsigned char *set) {
    return XXH3_128bits(set, agree->set_bytes);
}

/* ---- creation ---- */

static sgp_status_t check_options(const sgp_agree_options_t *options) {
    const sgp_agree_limits_t *limits = &options->limits;
    if (limits->capacity < 1 || limits->capacity > SGP_MOST_PROCESSES)
        return sgp_fail(SGP_ERR_INVALID, "agree: capacity is %d, must be 1 to %d", limits->capacity,
                        SGP_MOST_PROCESSES);
    if (options->seat < 0 || options->seat >= limits->capacity)
        return sgp_fail(SGP_ERR_INVALID, "agree: seat is %d, must be 0 to %d", options->seat,
                        limits->capacity - 1);
    if (limits->payload_bytes < 1 || limits->payload_bytes > SGP_GATHER_BYTES)
        return sgp_fail(SGP_ERR_INVALID, "agree: payloads of %zu bytes, must be 1 to %zu",
                        limits->payload_bytes, SGP_GATHER_BYTES);
    return SGP_OK;
}

/* Room for `bytes` at an offset that every type can have. */
static uint64_t place(uint64_t *end, uint64_t bytes) {
    uint64_t offset = (*end + 15) / 16 * 16;
    *end = offset + bytes;
    return offset;
}

static void lay_out(sgp_agree_t *layout, const sgp_agree_limits_t *limits) {
    uint64_t capacity = (uint64_t)limits->capacity;
    layout->limits = *limits;
    layout->set_bytes = sgp_seats_bytes(limits->capacity);
    layout->room = sgp_agree_message_room(limits);
    uint64_t end = sizeof *layout + SETS * layout->set_bytes;
    layout->at_slots = place(&end, BANKS * capacity * sizeof(slot_t));
    layout->at_owed = place(&end, capacity * sizeof(owed_t));
    layout->at_payloads = place(&end, BANKS * capacity * limits->payload_bytes);
    layout->state_bytes = end;
    layout->at_to = place(&end, capacity * sizeof(int));
    layout->at_out = place(&end, layout->room);
    layout->all_bytes = end;
}

sgp_status_t sgp_agree_create(const sgp_agree_options_t *options, sgp_agree_t **agree) {
    sgp_status_t status = check_options(options);
    if (status != SGP_OK) return status;
    sgp_agree_t layout = {.seat = 0};
    lay_out(&layout, &options->limits);
    sgp_agree_t *made = calloc(1, layout.all_bytes);
    if (!made)
        return sgp_fail(SGP_ERR_NO_MEMORY,
                        "agree: no memory for payloads of %zu bytes of %d seats in three calls",
                        options->limits.payload_bytes, options->limits.capacity);
    lay_out(made, &options->limits);
    made->call = options->calls;
    made->seat = options->seat;
    made->decided = 1;
    made->verdict_src = made->excluded_by = made->out_next = NOBODY;
    for (int s = 0; s < options->limits.capacity; s++) owed_to(made, s)->from = NOBODY;
    *agree = made;
    return SGP_OK;
}

void sgp_agree_destroy(sgp_agree_t *agree) {
    free(agree);
}

/* ---- what is due ---- */

static void set_owed(sgp_agree_t *agree, int seat, bool state, int from) {
    owed_t *owed = owed_to(agree, seat);
    agree->dues -= owed->state || owed->from != NOBODY;
    *owed = (owed_t){.state = state, .from = from};
    agree->dues += state || from != NOBODY;
}

/* If it is on its way, the rest of it suffices: the receiver has kept the parts. */
static void owe_decided(sgp_agree_t *agree, int seat) {
    owed_t *owed = owed_to(agree, seat);
    if (owed->from == NOBODY)
        set_owed(agree, seat, owed->state, next_seat(agree, set_of(agree, RESULT), 0));
}

/* ---- deciding ---- */

/* Whether the seat's last STATE of the present call has the set of this digest. */
static bool agrees(const sgp_agree_t *agree, int seat, XXH128_hash_t digest) {
    const slot_t *slot = slot_of(agree, agree->call, seat);
    return slot->call == agree->call && slot->attempt && XXH128_isEqual(slot->digest, digest);
}

static bool has_payload(const sgp_agree_t *agree, int seat) {
    return slot_of(agree, agree->call, seat)->call == agree->call;
}

/* from: whose DECIDED is adopted; NOBODY: it is our own decision. Then a STATE that is still due has the decided set; in
 * the other case it may have another one, and DECIDED takes its place. */
static void decide(sgp_agree_t *agree, const unsigned char *set, int from) {
    unsigned char *result = set_of(agree, RESULT);
    memmove(result, set, agree->set_bytes);
    XXH128_hash_t digest = digest_of(agree, result);
    agree->result_call = agree->call;
    agree->has_result = agree->decided = 1;
    agree->verdict_src = NOBODY;
    for (int s = 0; s < agree->limits.capacity; s++) {
        bool unsent = owed_to(agree, s)->state;
        set_owed(agree, s, unsent && from == NOBODY, NOBODY);
        if (s == agree->seat || s == from || !is_live(agree, s)) continue;
        const slot_t *slot = slot_of(agree, agree->call, s);
        bool heard = slot->call == agree->call && slot->attempt;
        if ((unsent && from != NOBODY) || (heard && !agrees(agree, s, digest)))
            owe_decided(agree, s);
    }
}

static void try_decide(sgp_agree_t *agree) {
    if (!agree->decided && agree->matching == agree->live_others)
        decide(agree, set_of(agree, LIVE), NOBODY);
}

/* A STATE of a new attempt is due to every live member. */
static void restate(sgp_agree_t *agree) {
    const unsigned char *live = set_of(agree, LIVE);
    agree->attempt++;
    agree->digest = digest_of(agree, live);
    agree->live_others = agree->matching = 0;
    for (int s = next_seat(agree, live, 0); s >= 0; s = next_seat(agree, live, s + 1)) {
        if (s == agree->seat) continue;
        agree->live_others++;
        agree->matching += agrees(agree, s, agree->digest);
        set_owed(agree, s, true, owed_to(agree, s)->from);
    }
    try_decide(agree);
}

/* ---- calls ---- */

static void store(sgp_agree_t *agree, uint64_t call, int seat, const void *payload, size_t bytes) {
    slot_t *slot = slot_of(agree, call, seat);
    if (slot->call != call) *slot = (slot_t){.call = call, .bytes = (uint32_t)bytes};
    if (bytes) memcpy(payload_of(agree, call, seat), payload, bytes);
}

/* Before the next call: the last result takes the place of a STATE that has not been sent. */
static void settle_dues(sgp_agree_t *agree) {
    for (int s = 0; agree->dues && s < agree->limits.capacity; s++) {
        owed_t owed = *owed_to(agree, s);
        set_owed(agree, s, false, agree->has_result ? owed.from : NOBODY);
        if (owed.state && agree->has_result) owe_decided(agree, s);
    }
}

sgp_status_t sgp_agree_begin(sgp_agree_t *agree, const unsigned char *live, const void *payload,
                             size_t bytes) {
    if (!sgp_seats_has(live, agree->seat))
        return sgp_fail(SGP_ERR_INVALID, "agree: seat %d is not in its own live set", agree->seat);
    if (bytes > agree->limits.payload_bytes)
        return sgp_fail(SGP_ERR_INVALID, "agree: a payload of %zu bytes, must be at most %zu",
                        bytes, agree->limits.payload_bytes);
    /* The payloads of a result that is two calls old give way to early ones. */
    if (!agree->decided) agree->has_result = 0;
    agree->call++;
    agree->decided = 0;
    agree->attempt = 0;
    agree->verdict_src = NOBODY;
    memmove(set_of(agree, LIVE), live, agree->set_bytes);
    for (size_t i = 0; i < agree->set_bytes; i++) set_of(agree, GONE)[i] &= (unsigned char)~live[i];
    memcpy(set_of(agree, WANTED), set_of(agree, NEXT), agree->set_bytes);
    memset(set_of(agree, NEXT), 0, agree->set_bytes);
    settle_dues(agree);
    store(agree, agree->call, agree->seat, payload, bytes);
    restate(agree);
    return SGP_OK;
}

void sgp_agree_lost(sgp_agree_t *agree, int seat) {
    bool was_live = is_live(agree, seat);
    if (seat == agree->seat || sgp_seats_has(set_of(agree, GONE), seat)) return;
    sgp_seats_add(set_of(agree, GONE), seat);
    sgp_seats_remove(set_of(agree, LIVE), seat);
    set_owed(agree, seat, false, NOBODY);
    slot_t *early = slot_of(agree, agree->call + 1, seat);
    if (early->call == agree->call + 1) *early = (slot_t){.call = 0};
    if (agree->verdict_src == seat) agree->verdict_src = NOBODY;
    if (agree->excluded_by == seat) agree->excluded_by = NOBODY;
    if (was_live && !agree->decided) restate(agree);
}

void sgp_agree_admit(sgp_agree_t *agree, int seat) {
    sgp_seats_remove(set_of(agree, GONE), seat);
    if (agree->decided || is_live(agree, seat)) return;
    sgp_seats_add(set_of(agree, LIVE), seat);
    restate(agree);
}

bool sgp_agree_wants(const sgp_agree_t *agree, int seat, bool next) {
    return !is_live(agree, seat) && sgp_seats_has(set_of(agree, next ? NEXT : WANTED), seat);
}

const void *sgp_agree_early(const sgp_agree_t *agree, int seat, size_t *bytes) {
    const slot_t *slot = slot_of(agree, agree->call + 1, seat);
    if (slot->call != agree->call + 1) return NULL;
    *bytes = slot->bytes;
    return payload_of(agree, agree->call + 1, seat);
}

uint64_t sgp_agree_calls(const sgp_agree_t *agree) {
    return agree->call;
}

bool sgp_agree_result(const sgp_agree_t *agree, sgp_agree_result_t *result) {
    if (!agree->decided || !agree->has_result) return false;
    const unsigned char *set = set_of(agree, RESULT);
    *result = (sgp_agree_result_t){.call = agree->result_call,
                                   .members = sgp_seats_count(set, agree->limits.capacity),
                                   .set = set,
                                   .agree = agree};
    return true;
}

const void *sgp_agree_payload(const sgp_agree_result_t *result, int seat, size_t *bytes) {
    if (seat < 0 || seat >= result->agree->limits.capacity || !sgp_seats_has(result->set, seat))
        return NULL;
    *bytes = slot_of(result->agree, result->call, seat)->bytes;
    return payload_of(result->agree, result->call, seat);
}

void sgp_agree_farewell(sgp_agree_t *agree) {
    const unsigned char *live = set_of(agree, LIVE);
    if (!agree->decided || !agree->has_result) return;
    for (int s = next_seat(agree, live, 0); s >= 0; s = next_seat(agree, live, s + 1))
        if (s != agree->seat && slot_of(agree, agree->call + 1, s)->call != agree->call + 1)
            owe_decided(agree, s);
}

int sgp_agree_missing(const sgp_agree_t *agree) {
    const unsigned char *live = set_of(agree, LIVE);
    if (agree->decided) return NOBODY;
    for (int s = next_seat(agree, live, 0); s >= 0; s = next_seat(agree, live, s + 1))
        if (s != agree->seat && !agrees(agree, s, agree->digest)) return s;
    return NOBODY;
}

bool sgp_agree_misses(const sgp_agree_t *agree, int seat) {
    return !agree->decided && seat != agree->seat && sgp_seats_has(set_of(agree, LIVE), seat) &&
           !agrees(agree, seat, agree->digest);
}

int sgp_agree_excluded_by(const sgp_agree_t *agree) {
    bool now = !agree->decided && agree->excluded_call == agree->call;
    return now ? agree->excluded_by : NOBODY;
}

const void *sgp_agree_state(const sgp_agree_t *agree, size_t *count) {
    *count = agree->state_bytes;
    return agree;
}

void sgp_agree_restore(sgp_agree_t *agree, const void *state) {
    memcpy(agree, state, agree->state_bytes);
}

/* ---- sending ---- */

static unsigned char *put_payload(const sgp_agree_t *agree, uint64_t call, int seat,
                                  unsigned char *end) {
    return sgp_agree_payload_put(end, payload_of(agree, call, seat),
                                 slot_of(agree, call, seat)->bytes);
}

static size_t encode_state(sgp_agree_t *agree, unsigned char *out) {
    sgp_agree_message_t message = {.call = agree->call,
                                   .form = SGP_AGREE_STATE,
                                   .attempt = agree->attempt,
                                   .first = agree->seat,
                                   .payloads = 1,
                                   .set = set_of(agree, agree->decided ? RESULT : LIVE)};
    unsigned char *end = sgp_agree_message_begin(&agree->limits, &message, out);
    return (size_t)(put_payload(agree, agree->call, agree->seat, end) - out);
}

/* As many payloads as fit; out_next is the first that does not. */
static size_t encode_decided(sgp_agree_t *agree, int from, unsigned char *out) {
    sgp_agree_message_t message = {.call = agree->result_call,
                                   .form = SGP_AGREE_DECIDED,
                                   .first = from,
                                   .set = set_of(agree, RESULT)};
    unsigned char *end = sgp_agree_message_begin(&agree->limits, &message, out);
    int seat = from;
    do {
        end = put_payload(agree, message.call, seat, end);
        message.payloads++;
        seat = next_seat(agree, message.set, seat + 1);
    } while (seat >= 0 &&
             (size_t)(end - out) + sizeof(uint32_t) + slot_of(agree, message.call, seat)->bytes <=
                 agree->room);
    sgp_agree_message_begin(&agree->limits, &message, out);
    agree->out_next = seat;
    return (size_t)(end - out);
}

bool sgp_agree_next_message(sgp_agree_t *agree, sgp_agree_due_t *due) {
    int *to = at(agree, agree->at_to), receivers = 0;
    unsigned char *out = at(agree, agree->at_out);
    owed_t first = {.from = NOBODY};
    for (int s = 0; agree->dues && s < agree->limits.capacity; s++) {
        const owed_t *owed = owed_to(agree, s);
        if (!receivers) first = *owed;
        bool same =
            first.from != NOBODY ? owed->from == first.from : owed->state && owed->from == NOBODY;
        if (same) to[receivers++] = s;
    }
    if (!receivers) return false;
    agree->out_next = NOBODY;
    size_t count =
        first.from != NOBODY ? encode_decided(agree, first.from, out) : encode_state(agree, out);
    *due = (sgp_agree_due_t){.bytes = out, .count = count, .to = to, .receivers = receivers};
    return true;
}

void sgp_agree_sent(sgp_agree_t *agree, const int *to, int receivers) {
    for (int i = 0; i < receivers; i++) {
        const owed_t *owed = owed_to(agree, to[i]);
        if (owed->from != NOBODY) set_owed(agree, to[i], owed->state, agree->out_next);
        else set_owed(agree, to[i], false, NOBODY);
    }
}

/* ---- receiving ---- */

static sgp_status_t refuse(const char **reason, const char *cause) {
    *reason = cause;
    return SGP_ERR_REFUSED;
}

/* The sender goes on without this member. */
static sgp_status_t exclude(sgp_agree_t *agree, int src, uint64_t call, const char **reason) {
    if (is_live(agree, src)) {
        agree->excluded_by = src;
        agree->excluded_call = call;
    }
    return refuse(reason, "its set lacks this seat");
}

/* A payload of a seat is the same in all messages of a call. */
static bool contradicts(const sgp_agree_t *agree, uint64_t call, int seat,
                        const unsigned char *payload, size_t bytes) {
    const slot_t *slot = slot_of(agree, call, seat);
    if (slot->call != call) return false;
    return slot->bytes != bytes ||
           (bytes && memcmp(payload_of(agree, call, seat), payload, bytes) != 0);
}

/* Seats of another's live set that do not take part here. */
static void note_wanted(sgp_agree_t *agree, const sgp_agree_message_t *message) {
    unsigned char *wanted = set_of(agree, message->call == agree->call ? WANTED : NEXT);
    const unsigned char *live = set_of(agree, LIVE), *gone = set_of(agree, GONE);
    for (size_t i = 0; i < agree->set_bytes; i++)
        wanted[i] |= message->set[i] & (unsigned char)~(live[i] | gone[i]);
}

/* Of the present call, or of the next one. */
static sgp_status_t keep_state(sgp_agree_t *agree, int src, const sgp_agree_message_t *message,
                               const char **reason) {
    const unsigned char *payload;
    size_t bytes;
    slot_t *slot = slot_of(agree, message->call, src);
    sgp_agree_payload_get(message->contents, &payload, &bytes);
    if (!sgp_seats_has(message->set, agree->seat))
        return exclude(agree, src, message->call, reason);
    if (slot->call == message->call && message->attempt <= slot->attempt)
        return refuse(reason, "it is not newer than the last one");
    if (contradicts(agree, message->call, src, payload, bytes))
        return refuse(reason, "its payload has changed");
    bool counts = message->call == agree->call && is_live(agree, src);
    bool early = message->call != agree->call; /* before the first call nobody is live */
    if (early || is_live(agree, src)) note_wanted(agree, message);
    if (counts) agree->matching -= agrees(agree, src, agree->digest);
    store(agree, message->call, src, payload, bytes);
    slot->attempt = message->attempt;
    slot->digest = digest_of(agree, message->set);
    if (counts) agree->matching += agrees(agree, src, agree->digest);
    try_decide(agree);
    return SGP_OK;
}

static sgp_status_t heard_state(sgp_agree_t *agree, int src, const sgp_agree_message_t *message,
                                const char **reason) {
    if (message->first != src) return refuse(reason, "it speaks for another seat");
    if (agree->has_result && message->call == agree->result_call)
        return owe_decided(agree, src), SGP_OK;
    bool present = message->call == agree->call && !agree->decided;
    if (present || message->call == agree->call + 1) return keep_state(agree, src, message, reason);
    if (message->call > agree->call) return refuse(reason, "its call is far ahead");
    /* Of a member of the last result it was under way when the call was decided. Another one has been left out of a call before
     * that, and waits: a newcomer, say, of which only a member knew that has left. The last result tells it so. */
    bool lapsed = agree->has_result && message->call < agree->result_call &&
                  !sgp_seats_has(set_of(agree, RESULT), src);
    if (lapsed) owe_decided(agree, src);
    return SGP_OK;
}

static bool contents_contradict(const sgp_agree_t *agree, const sgp_agree_message_t *message) {
    const unsigned char *contents = message->contents, *payload;
    size_t bytes;
    for (int i = 0, s = message->first; i < message->payloads; i++) {
        contents = sgp_agree_payload_get(contents, &payload, &bytes);
        if (contradicts(agree, message->call, s, payload, bytes)) return true;
        s = next_seat(agree, message->set, s + 1);
    }
    return false;
}

static void store_contents(sgp_agree_t *agree, const sgp_agree_message_t *message) {
    const unsigned char *contents = message->contents, *payload;
    size_t bytes;
    for (int i = 0, s = message->first; i < message->payloads; i++) {
        contents = sgp_agree_payload_get(contents, &payload, &bytes);
        store(agree, message->call, s, payload, bytes);
        s = next_seat(agree, message->set, s + 1);
    }
}

static void try_adopt(sgp_agree_t *agree) {
    const unsigned char *verdict = set_of(agree, VERDICT);
    for (int s = next_seat(agree, verdict, 0); s >= 0; s = next_seat(agree, verdict, s + 1))
        if (!has_payload(agree, s)) return;
    decide(agree, verdict, agree->verdict_src);
}

/* The set counts as decided only while its sender is not lost: without it, members that have not heard of that decision
 * may decide otherwise. */
static sgp_status_t heard_decided(sgp_agree_t *agree, int src, const sgp_agree_message_t *message,
                                  const char **reason) {
    bool lacks_us = !sgp_seats_has(message->set, agree->seat);
    if (message->call > agree->call && lacks_us && !agree->decided)
        return exclude(agree, src, agree->call, reason); /* rule 6 */
    if (message->call > agree->call) return refuse(reason, "its call has not begun");
    if (message->call < agree->call || agree->decided) return SGP_OK; /* known */
    if (!is_live(agree, src)) return refuse(reason, "its sender is no member");
    if (lacks_us) return exclude(agree, src, message->call, reason);
    if (contents_contradict(agree, message)) return refuse(reason, "a payload has changed");
    store_contents(agree, message);
    memcpy(set_of(agree, VERDICT), message->set, agree->set_bytes);
    agree->verdict_src = src;
    try_adopt(agree);
    return SGP_OK;
}

sgp_status_t sgp_agree_heard(sgp_agree_t *agree, int src, const unsigned char *bytes, size_t count,
                             const char **reason) {
    sgp_agree_message_t message;
    if (src < 0 || src >= agree->limits.capacity || src == agree->seat)
        return refuse(reason, "it is from no other seat");
    if (sgp_seats_has(set_of(agree, GONE), src)) return refuse(reason, "its sender is gone");
    sgp_status_t status = sgp_agree_message_decode(&agree->limits, bytes, count, &message, reason);
    if (status != SGP_OK) return status;
    if (!sgp_seats_has(message.set, src)) return refuse(reason, "its set lacks its sender");
    return message.form == SGP_AGREE_STATE ? heard_state(agree, src, &message, reason)
                                           : heard_decided(agree, src, &message, reason);
}
