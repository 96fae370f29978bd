/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/shm/heartbeat.h"

#include "base/constants.h"
#include "base/clock.h"
#include "base/logging.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define LONGEST_TICK (100 * SGP_MILLISECOND)
#define LEAST_TICK   (5 * SGP_MILLISECOND)
#define TICKS        8 /* in the time limit, at least */

static sgp_region_control_t *control_of(const sgp_pulse_t *pulse, int rank) {
    return pulse->options.peers[rank].region.control;
}

static void note(sgp_pulse_t *pulse, int rank, sgp_fate_t fate, const char *why) {
    pulse->beats[rank].gone = true;
    pulse->watched[1 + rank].fd = -1;
    pulse->options.note(pulse->options.owner, rank, fate, why);
}

/* ---- the end of a process ---- */

/* Its end is the consequence of a loss that it has told of, which may be news to us. */
static void note_follower(sgp_pulse_t *pulse, int rank, int of, sgp_cause_t cause) {
    if (of != pulse->options.rank)
        pulse->options.note(pulse->options.owner, of, sgp_fate_lost(cause), NULL);
    note(pulse, rank, sgp_fate_followed(of),
         of == pulse->options.rank ? "it has lost this node, and ended" : NULL);
}

/* followers: those that have told of another's loss are looked at, and otherwise the others: they are the causes, and
 * come first. */
static void look_who_ended(sgp_pulse_t *pulse, bool followers) {
    for (int r = 0; r < pulse->options.size; r++) {
        if (pulse->beats[r].gone || !pulse->watched[1 + r].revents) continue;
        int of;
        sgp_cause_t cause;
        uint32_t word = atomic_load(&control_of(pulse, r)->lost);
        bool follows = sgp_loss_unpack(word, pulse->options.size, &of, &cause);
        if (atomic_load(&control_of(pulse, r)->left)) note(pulse, r, sgp_fate_left(), NULL);
        else if (followers && follows) note_follower(pulse, r, of, cause);
        else if (!followers && !follows) note(pulse, r, sgp_fate_lost(SGP_CAUSE_ENDED), NULL);
    }
}

/* ---- silence ---- */

/* Its thread has not run for `elapsed` more. */
static void stands_still(sgp_pulse_t *pulse, int rank, uint64_t elapsed) {
    sgp_beat_t *beat = &pulse->beats[rank];
    char why[64];
    beat->silent += elapsed < 2 * pulse->tick ? elapsed : 2 * pulse->tick;
    if (beat->silent <= pulse->timeout) return;
    snprintf(why, sizeof why, "it has been silent for %.1f s", (double)beat->silent / 1e9);
    note(pulse, rank, sgp_fate_lost(SGP_CAUSE_SILENT), why);
}

/* elapsed: nanoseconds since the last look. */
static void look_who_is_silent(sgp_pulse_t *pulse, uint64_t elapsed) {
    for (int r = 0; r < pulse->options.size; r++) {
        sgp_beat_t *beat = &pulse->beats[r];
        if (beat->gone) continue;
        uint32_t count = atomic_load_explicit(&control_of(pulse, r)->pulse, memory_order_relaxed);
        if (atomic_load(&control_of(pulse, r)->left)) note(pulse, r, sgp_fate_left(), NULL);
        else if (count == beat->count) stands_still(pulse, r, elapsed);
        else beat->silent = 0;
        beat->count = count;
    }
}

/* ---- the thread ---- */

static void look(sgp_pulse_t *pulse, uint64_t elapsed) {
    look_who_ended(pulse, false);
    look_who_ended(pulse, true);
    look_who_is_silent(pulse, elapsed);
}

static void *pulse_main(void *argument) {
    sgp_pulse_t *pulse = argument;
    int tick_ms = (int)(pulse->tick / SGP_MILLISECOND);
    uint64_t looked = sgp_clock_now();
    sgp_log_set_rank(pulse->options.rank);
    while (!pulse->watched[0].revents) {
        bool watches = atomic_load(&pulse->watches);
        atomic_fetch_add(&pulse->options.own->control->pulse, 1);
        if (poll(pulse->watched, watches ? 1 + (nfds_t)pulse->options.size : 1, tick_ms) < 0)
            continue;
        uint64_t now = sgp_clock_now();
        if (watches) look(pulse, now - looked);
        looked = now;
    }
    return NULL;
}

static void free_all(sgp_pulse_t *pulse) {
    if (pulse->stop >= 0) close(pulse->stop);
    free(pulse->beats);
    free(pulse->watched);
    pulse->started = false;
}

static sgp_status_t prepare(sgp_pulse_t *pulse) {
    size_t size = (size_t)pulse->options.size;
    pulse->stop = eventfd(0, EFD_CLOEXEC);
    if (pulse->stop < 0) return sgp_fail(SGP_ERR_SYSTEM, "shm: eventfd: %s", strerror(errno));
    pulse->beats = calloc(size, sizeof *pulse->beats);
    pulse->watched = calloc(1 + size, sizeof *pulse->watched);
    if (!pulse->beats || !pulse->watched)
        return sgp_fail(SGP_ERR_NO_MEMORY, "shm: no memory to watch %zu nodes", size);
    pulse->watched[0] = (struct pollfd){.fd = pulse->stop, .events = POLLIN};
    return SGP_OK;
}

/* Signals are for the program's own threads. */
static sgp_status_t start_thread(sgp_pulse_t *pulse) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&pulse->thread, NULL, pulse_main, pulse);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error)
        return sgp_fail(SGP_ERR_NO_MEMORY, "shm: a thread cannot be started: %s", strerror(error));
    pulse->started = true;
    return SGP_OK;
}

sgp_status_t sgp_pulse_start(sgp_pulse_t *pulse, const sgp_pulse_options_t *options) {
    uint64_t timeout = (uint64_t)options->peer_timeout_ms * SGP_MILLISECOND, tick = timeout / TICKS;
    if (tick > LONGEST_TICK) tick = LONGEST_TICK;
    if (tick < LEAST_TICK) tick = LEAST_TICK;
    *pulse = (sgp_pulse_t){.options = *options, .tick = tick, .timeout = timeout, .stop = -1};
    atomic_fetch_add(&options->own->control->pulse, 1);
    sgp_status_t status = prepare(pulse);
    if (status == SGP_OK) status = start_thread(pulse);
    if (status != SGP_OK) free_all(pulse);
    return status;
}

void sgp_pulse_watch(sgp_pulse_t *pulse) {
    for (int r = 0; r < pulse->options.size; r++) {
        const sgp_shm_peer_t *peer = &pulse->options.peers[r];
        pulse->watched[1 + r] = (struct pollfd){.fd = peer->socket, .events = POLLIN};
        pulse->beats[r].gone = !peer->region.control;
    }
    atomic_store(&pulse->watches, true);
}

void sgp_pulse_stop(sgp_pulse_t *pulse) {
    if (!pulse->started) return;
    uint64_t one = 1;
    while (write(pulse->stop, &one, sizeof one) < 0 && errno == EINTR) {
    }
    pthread_join(pulse->thread, NULL);
    free_all(pulse);
}
