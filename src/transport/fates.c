/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/fates.h"

#include "base/clock.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The latest event of a rank. */
typedef struct latest {
    uint32_t number; /* of the event, counted from 1; 0: there was none */
    bool silent, opened;
    uint64_t noticed;
} latest_t;

typedef struct pulse {
    _Atomic uint64_t step, digest;
} pulse_t;

/* A loss or departure keeps its place here until the seat is opened again, so as many are kept as
 * there are seats, however many members there have been. */
struct sgp_fates {
    int capacity;
    pthread_mutex_t lock;          /* of the arrays */
    sgp_fate_t *fate;              /* (capacity) */
    char **why;                    /* (capacity) owned; NULL: the cause's text */
    uint32_t *change;              /* (capacity) number of the seat's change, from 1; 0: none */
    _Atomic uint32_t *incarnation; /* (capacity) */
    void (*told)(void *context, int rank);
    void *context;
    latest_t *latest;         /* (capacity) */
    _Atomic uint8_t *silence; /* (capacity) reasons; written with the lock held */
    _Atomic uint32_t silent;  /* ranks with one */
    _Atomic uint32_t absences;
    _Atomic uint64_t jump; /* the longest of them that was not taken */
    pulse_t *pulses;       /* (capacity) */
    _Atomic uint32_t digests;
    _Atomic uint32_t changes;
    _Atomic uint32_t found; /* members that were gone at the start */
    _Atomic uint32_t events;
    atomic_int first_lost; /* -1 */
};

const char *sgp_cause_text(sgp_cause_t cause) {
    static const char *const texts[] = {
#define SGP_CAUSE_TEXT(name, text) text,
        SGP_CAUSE_MAP(SGP_CAUSE_TEXT)
#undef SGP_CAUSE_TEXT
    };
    return cause < SGP_CAUSES ? texts[cause] : "";
}

uint32_t sgp_loss_pack(int rank, sgp_cause_t cause) {
    return (uint32_t)cause << 16 | (uint32_t)rank;
}

bool sgp_loss_unpack(uint32_t word, int size, int *rank, sgp_cause_t *cause) {
    uint32_t kind = word >> 16;
    if (kind == SGP_CAUSE_NONE || kind >= SGP_CAUSE_FOLLOWED || (word & 0xffff) >= (uint32_t)size)
        return false;
    *rank = (int)(word & 0xffff);
    *cause = (sgp_cause_t)kind;
    return true;
}

sgp_status_t sgp_fates_create(int capacity, int size, sgp_fates_t **fates) {
    sgp_fates_t *made = calloc(1, sizeof *made);
    size_t seats = (size_t)capacity;
    if (!made) return SGP_ERR_NO_MEMORY;
    made->capacity = capacity;
    made->fate = calloc(seats, sizeof *made->fate);
    made->why = calloc(seats, sizeof *made->why);
    made->change = calloc(seats, sizeof *made->change);
    made->incarnation = calloc(seats, sizeof *made->incarnation);
    made->latest = calloc(seats, sizeof *made->latest);
    made->pulses = calloc(seats, sizeof *made->pulses);
    made->silence = calloc(seats, sizeof *made->silence);
    pthread_mutex_init(&made->lock, NULL);
    atomic_init(&made->first_lost, -1);
    if (!made->fate || !made->why || !made->change || !made->incarnation || !made->latest ||
        !made->silence || !made->pulses) {
        sgp_fates_destroy(made);
        return SGP_ERR_NO_MEMORY;
    }
    for (int r = 0; r < capacity; r++)
        made->fate[r] =
            (sgp_fate_t){.state = r < size ? SGP_FATE_PRESENT : SGP_FATE_ABSENT, .of = -1};
    *fates = made;
    return SGP_OK;
}

void sgp_fates_destroy(sgp_fates_t *fates) {
    if (!fates) return;
    for (int r = 0; fates->why && r < fates->capacity; r++) free(fates->why[r]);
    pthread_mutex_destroy(&fates->lock);
    free(fates->fate);
    free(fates->why);
    free(fates->change);
    free(fates->incarnation);
    free(fates->latest);
    free(fates->silence);
    free(fates->pulses);
    free(fates);
}

void sgp_fates_forked(sgp_fates_t *fates) {
    pthread_mutex_init(&fates->lock, NULL);
}

/* Lock held, after a loss. */
static void note_first(sgp_fates_t *fates, int rank) {
    int first = atomic_load(&fates->first_lost);
    bool better = first < 0 || (fates->fate[first].cause == SGP_CAUSE_FOLLOWED &&
                                fates->fate[rank].cause != SGP_CAUSE_FOLLOWED);
    if (!better) return;
    if (fates->told) fates->told(fates->context, rank);
    atomic_store(&fates->first_lost, rank);
}

void sgp_fates_on_loss(sgp_fates_t *fates, void (*told)(void *context, int rank), void *context) {
    pthread_mutex_lock(&fates->lock);
    int first = atomic_load(&fates->first_lost);
    fates->told = told;
    fates->context = context;
    if (first >= 0) told(context, first);
    pthread_mutex_unlock(&fates->lock);
}

/* Lock held. */
static void count_event(sgp_fates_t *fates, int rank, bool silent, bool opened) {
    uint32_t number = atomic_load(&fates->events) + 1;
    fates->latest[rank] = (latest_t){number, silent, opened, sgp_clock_now()};
    atomic_store(&fates->events, number);
}

/* Lock held. true: the rank is silent by that, or not any more. */
static bool set_silence(sgp_fates_t *fates, int rank, uint8_t reasons) {
    uint8_t before = atomic_exchange(&fates->silence[rank], reasons);
    if (!reasons == !before) return false;
    if (reasons) atomic_fetch_add(&fates->silent, 1);
    else atomic_fetch_sub(&fates->silent, 1);
    return true;
}

bool sgp_fates_set(sgp_fates_t *fates, int rank, sgp_fate_t fate, const char *why) {
    pthread_mutex_lock(&fates->lock);
    bool changes = fates->fate[rank].state == SGP_FATE_PRESENT;
    if (changes) {
        uint32_t count = atomic_load(&fates->changes);
        fates->fate[rank] = fate;
        fates->why[rank] = why ? strdup(why) : NULL;
        fates->change[rank] = count + 1;
        set_silence(fates, rank, 0);
        if (fate.state == SGP_FATE_LOST) note_first(fates, rank);
        count_event(fates, rank, false, false);
        atomic_store(&fates->changes, count + 1);
    }
    pthread_mutex_unlock(&fates->lock);
    return changes;
}

/* ---- newcomers ---- */

/* Lock held, after the seat of the first loss has been opened: the first one of those that are left. */
static void find_first(sgp_fates_t *fates) {
    int first = -1;
    for (int r = 0; r < fates->capacity; r++) {
        if (fates->fate[r].state != SGP_FATE_LOST) continue;
        bool follows = fates->fate[r].cause == SGP_CAUSE_FOLLOWED;
        bool best_follows = first >= 0 && fates->fate[first].cause == SGP_CAUSE_FOLLOWED;
        if (first < 0 || follows < best_follows ||
            (follows == best_follows && fates->change[r] < fates->change[first]))
            first = r;
    }
    atomic_store(&fates->first_lost, first);
}

void sgp_fates_seat(sgp_fates_t *fates, int rank, uint32_t incarnation, sgp_fate_state_t state) {
    pthread_mutex_lock(&fates->lock);
    fates->fate[rank].state = state;
    atomic_store(&fates->incarnation[rank], incarnation);
    if (state == SGP_FATE_LEFT) atomic_fetch_add(&fates->found, 1);
    pthread_mutex_unlock(&fates->lock);
}

bool sgp_fates_found_gone(sgp_fates_t *fates, int rank) {
    if (atomic_load_explicit(&fates->found, memory_order_relaxed) == 0) return false;
    pthread_mutex_lock(&fates->lock);
    bool found = fates->fate[rank].state == SGP_FATE_LEFT && fates->change[rank] == 0;
    pthread_mutex_unlock(&fates->lock);
    return found;
}

bool sgp_fates_open(sgp_fates_t *fates, int rank, uint32_t incarnation) {
    pthread_mutex_lock(&fates->lock);
    sgp_fate_state_t state = fates->fate[rank].state;
    uint32_t last = atomic_load(&fates->incarnation[rank]);
    bool opens = state != SGP_FATE_PRESENT &&
                 (incarnation > last || (incarnation == last && state == SGP_FATE_ABSENT));
    if (opens) {
        fates->fate[rank] = (sgp_fate_t){.state = SGP_FATE_PRESENT, .of = -1};
        free(fates->why[rank]);
        fates->why[rank] = NULL;
        fates->change[rank] = 0;
        atomic_store(&fates->incarnation[rank], incarnation);
        atomic_store(&fates->pulses[rank].step, 0);
        atomic_store(&fates->pulses[rank].digest, 0);
        if (atomic_load(&fates->first_lost) == rank) find_first(fates);
        count_event(fates, rank, false, true);
    }
    pthread_mutex_unlock(&fates->lock);
    return opens;
}

uint32_t sgp_fates_incarnation(const sgp_fates_t *fates, int rank) {
    return atomic_load_explicit(&fates->incarnation[rank], memory_order_acquire);
}

bool sgp_fates_set_silent(sgp_fates_t *fates, int rank, sgp_silence_t reason, bool holds) {
    pthread_mutex_lock(&fates->lock);
    uint8_t reasons = atomic_load(&fates->silence[rank]);
    reasons = (uint8_t)(holds ? reasons | reason : reasons & ~(unsigned)reason);
    bool changes = fates->fate[rank].state == SGP_FATE_PRESENT && set_silence(fates, rank, reasons);
    if (changes) count_event(fates, rank, reasons != 0, false);
    pthread_mutex_unlock(&fates->lock);
    return changes;
}

unsigned sgp_fates_silence(const sgp_fates_t *fates, int rank) {
    return atomic_load_explicit(&fates->silence[rank], memory_order_acquire);
}

uint32_t sgp_fates_silent_ranks(const sgp_fates_t *fates) {
    return atomic_load_explicit(&fates->silent, memory_order_acquire);
}

void sgp_fates_note_pulse(sgp_fates_t *fates, int rank, sgp_pulse_t pulse) {
    pulse_t *known = &fates->pulses[rank];
    atomic_store_explicit(&known->step, pulse.step, memory_order_relaxed);
    if (atomic_exchange(&known->digest, pulse.digest) != pulse.digest)
        atomic_fetch_add(&fates->digests, 1);
}

sgp_pulse_t sgp_fates_pulse(const sgp_fates_t *fates, int rank) {
    const pulse_t *known = &fates->pulses[rank];
    return (sgp_pulse_t){atomic_load_explicit(&known->step, memory_order_relaxed),
                         atomic_load_explicit(&known->digest, memory_order_relaxed)};
}

uint32_t sgp_fates_digests(const sgp_fates_t *fates) {
    return atomic_load_explicit(&fates->digests, memory_order_acquire);
}

uint32_t sgp_fates_absences(const sgp_fates_t *fates) {
    return atomic_load_explicit(&fates->absences, memory_order_acquire);
}

void sgp_fates_note_absence(sgp_fates_t *fates, uint64_t length) {
    uint64_t longest = atomic_load(&fates->jump);
    while (length > longest && !atomic_compare_exchange_weak(&fates->jump, &longest, length)) {
    }
    atomic_fetch_add(&fates->absences, 1);
    if (length == 0) return;
    pthread_mutex_lock(&fates->lock); /* as all that count events */
    atomic_fetch_add(&fates->events, 1);
    pthread_mutex_unlock(&fates->lock);
}

uint64_t sgp_fates_take_jump(sgp_fates_t *fates) {
    if (atomic_load(&fates->jump) == 0) return 0;
    return atomic_exchange(&fates->jump, 0);
}

uint32_t sgp_fates_events(const sgp_fates_t *fates) {
    return atomic_load_explicit(&fates->events, memory_order_acquire);
}

/* Lock held. */
static void describe(const sgp_fates_t *fates, int rank, sgp_fate_event_t *event) {
    const char *why = fates->why[rank];
    const latest_t *latest = &fates->latest[rank];
    *event = (sgp_fate_event_t){.rank = rank,
                                .incarnation = sgp_fates_incarnation(fates, rank),
                                .fate = fates->fate[rank],
                                .silent = latest->silent,
                                .opened = latest->opened,
                                .noticed = latest->noticed};
    snprintf(event->why, sizeof event->why, "%s", why ? why : sgp_cause_text(event->fate.cause));
}

bool sgp_fates_next_event(sgp_fates_t *fates, uint32_t *seen, sgp_fate_event_t *event) {
    int oldest = -1;
    pthread_mutex_lock(&fates->lock);
    for (int r = 0; r < fates->capacity; r++) {
        uint32_t number = fates->latest[r].number;
        if (number > seen[r] && (oldest < 0 || number < fates->latest[oldest].number)) oldest = r;
    }
    if (oldest >= 0) {
        describe(fates, oldest, event);
        seen[oldest] = fates->latest[oldest].number;
    }
    pthread_mutex_unlock(&fates->lock);
    return oldest >= 0;
}

sgp_fate_t sgp_fates_of(sgp_fates_t *fates, int rank) {
    pthread_mutex_lock(&fates->lock);
    sgp_fate_t fate = fates->fate[rank];
    pthread_mutex_unlock(&fates->lock);
    return fate;
}

const char *sgp_fates_why(sgp_fates_t *fates, int rank, char *text, size_t room) {
    pthread_mutex_lock(&fates->lock);
    const char *why = fates->why[rank];
    snprintf(text, room, "%s", why ? why : sgp_cause_text(fates->fate[rank].cause));
    pthread_mutex_unlock(&fates->lock);
    return text;
}

uint32_t sgp_fates_changes(const sgp_fates_t *fates) {
    return atomic_load_explicit(&fates->changes, memory_order_acquire);
}

int sgp_fates_changed(sgp_fates_t *fates, uint32_t n) {
    pthread_mutex_lock(&fates->lock);
    int rank = fates->capacity - 1;
    while (rank >= 0 && fates->change[rank] != n + 1) rank--;
    pthread_mutex_unlock(&fates->lock);
    return rank;
}

int sgp_fates_first_lost(const sgp_fates_t *fates) {
    return atomic_load_explicit(&fates->first_lost, memory_order_acquire);
}
