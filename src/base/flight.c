/* SPDX-License-Identifier: Apache-2.0 */
#include "base/flight.h"

#include "base/logging.h"
#include "base/memory.h"

#include <assert.h>

static_assert((SGP_FLIGHT_EVENTS & (SGP_FLIGHT_EVENTS - 1)) == 0,
              "the number of the next event wraps");

const char *sgp_flight_kind_name(unsigned kind) {
    static const char *const names[] = {
#define NAME(name, text) text,
        SGP_FLIGHT_KIND_MAP(NAME)
#undef NAME
    };
    return kind < SGP_FLIGHT_KINDS ? names[kind] : "unknown";
}

const char *sgp_flight_what_name(unsigned what) {
    static const char *const names[] = {
#define NAME(name, text) text,
        SGP_FLIGHT_WHAT_MAP(NAME)
#undef NAME
    };
    return what < SGP_FLIGHT_WHATS ? names[what] : "other";
}

sgp_status_t sgp_flight_create(int ranks, sgp_flight_t **flight) {
    size_t bytes = sizeof **flight + (size_t)ranks * sizeof(*flight)->peers[0];
    sgp_flight_t *made = sgp_memory_alloc(bytes);
    if (!made) return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for a flight recorder");
    made->ranks = ranks;
    *flight = made;
    return SGP_OK;
}

void sgp_flight_destroy(sgp_flight_t *flight) {
    sgp_memory_free(flight);
}

void sgp_flight_step(sgp_flight_t *flight, uint64_t step, uint64_t round) {
    if (!flight) return;
    atomic_store_explicit(&flight->steps, step + 1, memory_order_relaxed);
    sgp_flight_note(flight, SGP_FLIGHT_CALLER, SGP_FLIGHT_STEP, -1, step, round);
}

void sgp_flight_call(sgp_flight_t *flight, const char *name) {
    if (!flight) return;
    uint64_t now = sgp_clock_now();
    atomic_store_explicit(&flight->called, now, memory_order_relaxed);
    atomic_store_explicit(&flight->call, (uintptr_t)name, memory_order_release);
    sgp_flight_store(flight, SGP_FLIGHT_CALLER, now, sgp_flight_about(SGP_FLIGHT_CALL, 0, -1, 0), 0,
                     (uintptr_t)name);
}

void sgp_flight_return(sgp_flight_t *flight, const char *name, sgp_status_t status) {
    if (!flight) return;
    uint64_t now = sgp_clock_now();
    atomic_store_explicit(&flight->returned, now, memory_order_relaxed);
    atomic_store_explicit(&flight->call, 0, memory_order_release);
    sgp_flight_store(flight, SGP_FLIGHT_CALLER, now,
                     sgp_flight_about(SGP_FLIGHT_RETURN, (unsigned)-status, -1, 0), 0,
                     (uintptr_t)name);
}

/* ---- waits ---- */

static void begin_change(sgp_flight_track_t *track) {
    atomic_fetch_add_explicit(&track->turn, 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
}

static void end_change(sgp_flight_track_t *track) {
    atomic_fetch_add_explicit(&track->turn, 1, memory_order_release);
}

static uint64_t load(const _Atomic uint64_t *value) {
    return atomic_load_explicit(value, memory_order_relaxed);
}

/* The wait before is over: it ended when its context last woke. */
static void close_wait(sgp_flight_t *flight, sgp_flight_context_t context) {
    const sgp_flight_track_t *track = &flight->tracks[context];
    uint64_t about = load(&track->about), since = load(&track->since);
    if (since == 0) return;
    about = (about & ~(uint64_t)0xff) | SGP_FLIGHT_WAITED;
    sgp_flight_store(flight, context, load(&track->woke), about, load(&track->step), since);
}

void sgp_flight_sleep(sgp_flight_t *flight, sgp_flight_context_t context,
                      const sgp_flight_want_t *want, uint64_t now) {
    if (!flight) return;
    sgp_flight_track_t *track = &flight->tracks[context];
    uint64_t about = sgp_flight_about(SGP_FLIGHT_WAIT, want->what, want->peer, 0);
    bool same =
        load(&track->since) && load(&track->about) == about && load(&track->step) == want->step;
    if (!same) {
        close_wait(flight, context);
        sgp_flight_store(flight, context, now, about, want->step, 0);
    }
    begin_change(track);
    if (!same) {
        atomic_store_explicit(&track->about, about, memory_order_relaxed);
        atomic_store_explicit(&track->step, want->step, memory_order_relaxed);
        atomic_store_explicit(&track->since, now, memory_order_relaxed);
        atomic_store_explicit(&track->woke, 0, memory_order_relaxed);
    }
    atomic_store_explicit(&track->asleep, true, memory_order_relaxed);
    end_change(track);
}

void sgp_flight_wake(sgp_flight_t *flight, sgp_flight_context_t context, uint64_t now,
                     sgp_status_t status) {
    if (!flight) return;
    sgp_flight_track_t *track = &flight->tracks[context];
    begin_change(track);
    atomic_store_explicit(&track->woke, now, memory_order_relaxed);
    atomic_store_explicit(&track->asleep, false, memory_order_relaxed);
    end_change(track);
    if (status == SGP_OK || atomic_load_explicit(&flight->has_failed, memory_order_relaxed)) return;
    flight->failed = sgp_flight_waits(flight, context);
    atomic_store_explicit(&flight->has_failed, true, memory_order_release);
}

/* ---- reading ---- */

static int peer_of(uint64_t about) {
    return (int)(about >> 16 & 0xffffff) - 1;
}

static bool read_slot(const sgp_flight_slot_t *slot, sgp_flight_event_t *event) {
    uint64_t time = atomic_load_explicit(&slot->time, memory_order_acquire);
    uint64_t about = load(&slot->about);
    *event = (sgp_flight_event_t){.time = time,
                                  .step = load(&slot->step),
                                  .number = load(&slot->number),
                                  .peer = peer_of(about),
                                  .channel = (uint32_t)(about >> 40),
                                  .kind = (uint8_t)about,
                                  .detail = (uint8_t)(about >> 8)};
    atomic_thread_fence(memory_order_acquire);
    return time != 0 && load(&slot->time) == time;
}

size_t sgp_flight_read(const sgp_flight_t *flight, sgp_flight_context_t context,
                       sgp_flight_event_t *events, uint64_t *before) {
    const sgp_flight_track_t *track = &flight->tracks[context];
    uint64_t end = atomic_load_explicit(&track->next, memory_order_acquire);
    uint64_t first = end > SGP_FLIGHT_EVENTS ? end - SGP_FLIGHT_EVENTS : 0;
    size_t count = 0;
    for (uint64_t at = first; at < end; at++)
        count += read_slot(&track->slots[at % SGP_FLIGHT_EVENTS], &events[count]);
    /* Those that were overwritten while this thread has read the older ones came out of order. */
    uint64_t since = atomic_load_explicit(&track->next, memory_order_acquire) - end;
    size_t late = since < count ? (size_t)since : count;
    for (size_t i = 0; i < count - late; i++) events[i] = events[i + late];
    *before = first + late;
    return count - late;
}

sgp_flight_wait_t sgp_flight_waits(const sgp_flight_t *flight, sgp_flight_context_t context) {
    const sgp_flight_track_t *track = &flight->tracks[context];
    sgp_flight_wait_t wait;
    uint32_t turn;
    do {
        turn = atomic_load_explicit(&track->turn, memory_order_acquire);
        uint64_t about = load(&track->about);
        wait = (sgp_flight_wait_t){
            .want = {(sgp_flight_what_t)(about >> 8 & 0xff), peer_of(about), load(&track->step)},
            .since = load(&track->since),
            .woke = load(&track->woke),
            .asleep = atomic_load_explicit(&track->asleep, memory_order_relaxed)};
        atomic_thread_fence(memory_order_acquire);
    } while (turn % 2 || atomic_load_explicit(&track->turn, memory_order_relaxed) != turn);
    return wait;
}
