/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/shm/heartbeat.h"

#include "base/clock.h"
#include "base/constants.h"
#include "base/logging.h"
#include "base/thread.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define LONGEST_TICK  (100 * SGP_MILLISECOND)
#define LEAST_TICK    (5 * SGP_MILLISECOND)
#define TICKS         8 /* in the time limit, at least */
#define SUSPECT_TICKS 4 /* in that until a rank is silent */

static int size_of(const sgp_heartbeat_t *heartbeat) {
    return heartbeat->slots->transport.size;
}

static sgp_region_control_t *control_of(const sgp_heartbeat_t *heartbeat, int rank) {
    return heartbeat->slots->peers[rank].region.control;
}

/* The seat has gone to a newcomer, which is not local. */
static bool is_replaced(const sgp_heartbeat_t *heartbeat, int rank) {
    return sgp_fates_incarnation(heartbeat->slots->transport.fates, rank) > 0;
}

static void note(sgp_heartbeat_t *heartbeat, int rank, sgp_fate_t fate, const char *why) {
    heartbeat->beats[rank].gone = true;
    heartbeat->watched[1 + rank].fd = -1;
    if (is_replaced(heartbeat, rank)) return;
    heartbeat->slots->note(heartbeat->slots, rank, fate, why);
}

/* ---- the end of a process ---- */

/* A process that ended because rank `of` was lost, of which this rank may not know yet. */
static void note_follower(sgp_heartbeat_t *heartbeat, int rank, int of, sgp_cause_t cause) {
    bool of_this = of == heartbeat->slots->transport.rank;
    if (!of_this) heartbeat->slots->note(heartbeat->slots, of, sgp_fate_lost(cause), NULL);
    note(heartbeat, rank, sgp_fate_followed(of),
         of_this ? "it has lost this node, and ended" : NULL);
}

/* Looks at the processes whose sockets ended: at those that knew of another's loss (followers), or
 * at the others, which are the causes and come first. */
static void look_who_ended(sgp_heartbeat_t *heartbeat, bool followers) {
    for (int r = 0; r < size_of(heartbeat); r++) {
        if (heartbeat->beats[r].gone || !heartbeat->watched[1 + r].revents) continue;
        int of;
        sgp_cause_t cause;
        uint32_t word = atomic_load(&control_of(heartbeat, r)->lost);
        bool knows = sgp_loss_unpack(word, size_of(heartbeat), &of, &cause);
        bool of_other = knows && of != r;
        bool follows = of_other && !heartbeat->slots->transport.elastic;
        if (!knows || (of_other && !follows)) cause = SGP_CAUSE_ENDED;
        if (atomic_load(&control_of(heartbeat, r)->left)) note(heartbeat, r, sgp_fate_left(), NULL);
        else if (followers && follows) note_follower(heartbeat, r, of, cause);
        else if (!followers && !follows) note(heartbeat, r, sgp_fate_lost(cause), NULL);
    }
}

/* ---- silence ---- */

static bool is_elastic(const sgp_heartbeat_t *heartbeat) {
    return heartbeat->slots->transport.elastic;
}

static uint64_t suspect_after(const sgp_heartbeat_t *heartbeat) {
    const sgp_limits_t *limits = &heartbeat->limits;
    return is_elastic(heartbeat) ? limits->suspect : limits->peer / SGP_SILENT_SHARE;
}

static uint64_t lost_after(const sgp_heartbeat_t *heartbeat) {
    if (!is_elastic(heartbeat)) return heartbeat->limits.peer;
    return heartbeat->slots->transport.confirms ? UINT64_MAX : heartbeat->limits.dead;
}

static void note_silence(sgp_heartbeat_t *heartbeat, int rank, bool silent) {
    sgp_beat_t *beat = &heartbeat->beats[rank];
    if (beat->noted == silent || is_replaced(heartbeat, rank)) return;
    beat->noted = silent;
    sgp_slots_note_silence(heartbeat->slots, rank, SGP_SILENCE_UNHEARD, silent);
}

static void moves(sgp_heartbeat_t *heartbeat, int rank) {
    const sgp_region_control_t *control = control_of(heartbeat, rank);
    sgp_fates_t *fates = heartbeat->slots->transport.fates;
    heartbeat->beats[rank].silent = 0;
    note_silence(heartbeat, rank, false);
    if (!is_elastic(heartbeat)) return;
    sgp_pulse_t pulse = {atomic_load(&control->step), atomic_load(&control->digest)};
    sgp_fates_note_pulse(fates, rank, pulse);
    sgp_slots_note_silence(heartbeat->slots, rank, SGP_SILENCE_HUNG, atomic_load(&control->hangs));
}

/* The peer's count has not changed in the last `elapsed` nanoseconds. */
static void stands_still(sgp_heartbeat_t *heartbeat, int rank, uint64_t elapsed) {
    sgp_beat_t *beat = &heartbeat->beats[rank];
    char why[64];
    beat->silent += elapsed < 2 * heartbeat->tick ? elapsed : 2 * heartbeat->tick;
    if (beat->silent > suspect_after(heartbeat)) note_silence(heartbeat, rank, true);
    if (beat->silent <= lost_after(heartbeat)) return;
    snprintf(why, sizeof why, "it has been silent for %.1f s", (double)beat->silent / 1e9);
    note(heartbeat, rank, sgp_fate_lost(SGP_CAUSE_SILENT), why);
}

/* elapsed: nanoseconds since the last look. */
static void look_who_is_silent(sgp_heartbeat_t *heartbeat, uint64_t elapsed) {
    for (int r = 0; r < size_of(heartbeat); r++) {
        sgp_beat_t *beat = &heartbeat->beats[r];
        if (beat->gone) continue;
        sgp_region_control_t *control = control_of(heartbeat, r);
        uint32_t count = atomic_load_explicit(&control->heartbeat, memory_order_relaxed);
        if (atomic_load(&control->left)) note(heartbeat, r, sgp_fate_left(), NULL);
        else if (count == beat->count) stands_still(heartbeat, r, elapsed);
        else moves(heartbeat, r);
        beat->count = count;
    }
}

uint64_t sgp_heartbeat_silence(const sgp_heartbeat_t *heartbeat, int rank) {
    return heartbeat->started ? atomic_load(&heartbeat->beats[rank].silent) : 0;
}

/* ---- this rank ---- */

/* This process did not run: the others have called it silent, and it has not looked at them. */
static void notice_absence(sgp_heartbeat_t *heartbeat, uint64_t elapsed) {
    sgp_transport_t *transport = &heartbeat->slots->transport;
    if (elapsed > 2 * heartbeat->tick) sgp_pace_forgive(&transport->pace, elapsed);
    if (!is_elastic(heartbeat) || elapsed <= heartbeat->limits.suspect) return;
    for (int r = 0; r < size_of(heartbeat); r++) heartbeat->beats[r].silent = 0;
    sgp_slots_note_absence(heartbeat->slots, elapsed);
}

static void beat(sgp_heartbeat_t *heartbeat, uint64_t now) {
    const sgp_transport_t *transport = &heartbeat->slots->transport;
    sgp_region_control_t *control = heartbeat->slots->own.control;
    if (is_elastic(heartbeat)) {
        atomic_store(&control->step, atomic_load(&transport->pace.step));
        atomic_store(&control->digest, atomic_load(&transport->digest));
        atomic_store(&control->hangs,
                     sgp_pace_hangs(&transport->pace, now, heartbeat->limits.stall));
    }
    atomic_fetch_add(&control->heartbeat, 1);
}

/* ---- the thread ---- */

static void look(sgp_heartbeat_t *heartbeat, uint64_t elapsed) {
    notice_absence(heartbeat, elapsed);
    sgp_slots_look_at_self(&heartbeat->slots->transport);
    look_who_ended(heartbeat, false);
    look_who_ended(heartbeat, true);
    look_who_is_silent(heartbeat, elapsed);
}

static void *heartbeat_main(void *argument) {
    sgp_heartbeat_t *heartbeat = argument;
    int tick_ms = (int)(heartbeat->tick / SGP_MILLISECOND);
    uint64_t looked = sgp_clock_now();
    sgp_log_set_rank(heartbeat->slots->transport.rank);
    while (!heartbeat->watched[0].revents) {
        bool watches = atomic_load(&heartbeat->watches);
        nfds_t count = watches ? 1 + (nfds_t)size_of(heartbeat) : 1;
        beat(heartbeat, looked);
        if (poll(heartbeat->watched, count, tick_ms) < 0) continue;
        uint64_t now = sgp_clock_now();
        if (watches) look(heartbeat, now - looked);
        looked = now;
    }
    return NULL;
}

static void free_all(sgp_heartbeat_t *heartbeat) {
    if (heartbeat->stop >= 0) close(heartbeat->stop);
    free(heartbeat->beats);
    free(heartbeat->watched);
    heartbeat->started = false;
}

static sgp_status_t prepare(sgp_heartbeat_t *heartbeat) {
    size_t size = (size_t)size_of(heartbeat);
    heartbeat->stop = eventfd(0, EFD_CLOEXEC);
    if (heartbeat->stop < 0) return sgp_fail(SGP_ERR_SYSTEM, "shm: eventfd: %s", strerror(errno));
    heartbeat->beats = calloc(size, sizeof *heartbeat->beats);
    heartbeat->watched = calloc(1 + size, sizeof *heartbeat->watched);
    if (!heartbeat->beats || !heartbeat->watched)
        return sgp_fail(SGP_ERR_NO_MEMORY, "shm: no memory to watch %zu nodes", size);
    heartbeat->watched[0] = (struct pollfd){.fd = heartbeat->stop, .events = POLLIN};
    return SGP_OK;
}

static sgp_status_t start_thread(sgp_heartbeat_t *heartbeat) {
    int error = sgp_thread_start(&heartbeat->thread, heartbeat_main, heartbeat);
    if (error)
        return sgp_fail(SGP_ERR_NO_MEMORY, "shm: a thread cannot be started: %s", strerror(error));
    heartbeat->started = true;
    return SGP_OK;
}

sgp_status_t sgp_heartbeat_start(sgp_heartbeat_t *heartbeat, sgp_slots_t *slots,
                                 const sgp_limits_t *limits) {
    uint64_t tick = limits->peer / TICKS;
    if (tick > limits->suspect / SUSPECT_TICKS) tick = limits->suspect / SUSPECT_TICKS;
    if (tick > LONGEST_TICK) tick = LONGEST_TICK;
    if (tick < LEAST_TICK) tick = LEAST_TICK;
    *heartbeat = (sgp_heartbeat_t){.slots = slots, .tick = tick, .limits = *limits, .stop = -1};
    atomic_fetch_add(&slots->own.control->heartbeat, 1);
    sgp_status_t status = prepare(heartbeat);
    if (status == SGP_OK) status = start_thread(heartbeat);
    if (status != SGP_OK) free_all(heartbeat);
    return status;
}

void sgp_heartbeat_watch(sgp_heartbeat_t *heartbeat, const int *sockets) {
    for (int r = 0; r < size_of(heartbeat); r++) {
        heartbeat->watched[1 + r] = (struct pollfd){.fd = sockets[r], .events = POLLIN};
        heartbeat->beats[r].gone = !control_of(heartbeat, r);
    }
    atomic_store(&heartbeat->watches, true);
}

void sgp_heartbeat_stop(sgp_heartbeat_t *heartbeat) {
    if (!heartbeat->started) return;
    uint64_t one = 1;
    while (write(heartbeat->stop, &one, sizeof one) < 0 && errno == EINTR) {
    }
    pthread_join(heartbeat->thread, NULL);
    free_all(heartbeat);
}
