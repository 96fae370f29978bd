/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/tcp/tcp_engine.h"

#include "base/clock.h"
#include "base/constants.h"
#include "base/logging.h"
#include "base/thread.h"
#include "transport/tcp/contacts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LONGEST_TICK  50 /* ms; also how often a call is made again */
#define TICKS         8  /* in the time limit, at least */
#define SUSPECT_TICKS 4  /* in that until a rank is silent */

struct sgp_noticed {
    sgp_noticed_t *next;
    int rank;
    uint32_t incarnation;
    sgp_fate_t fate;
    char why[96]; /* "": the cause's text */
};

/* ---- the end of each callback ---- */

static void note_met(sgp_tcp_engine_t *engine) {
    engine->knows_met = true;
    pthread_mutex_lock(&engine->lock);
    engine->met = true;
    pthread_cond_broadcast(&engine->changed);
    pthread_mutex_unlock(&engine->lock);
}

/* Tells the peers which ranks are gone, and drops the posts to them. false: there were none. */
static bool settle(sgp_tcp_engine_t *engine) {
    bool any = false;
    for (int rank; (rank = sgp_edges_settle(&engine->edges)) >= 0; any = true) {
        atomic_store(&engine->gone[rank], true);
        sgp_traffic_give_up(&engine->traffic, rank);
    }
    return any;
}

/* A rank that leaves closes the edge to this one with its last frame. It opens the edges that it still needs before it
 * tells anybody (traffic.c), so one without an edge sends nothing more. */
static void note_ended(sgp_tcp_engine_t *engine) {
    const sgp_edges_t *edges = &engine->edges;
    unsigned changes = edges->closed + edges->losses.changes;
    bool any = false;
    if (changes == engine->looked) return;
    engine->looked = changes;
    for (int r = 0; r < edges->capacity; r++) {
        bool left = sgp_losses_state(&edges->losses, r) == SGP_FATE_LEFT;
        if (!left || edges->of[r].in || atomic_load(&engine->ended[r])) continue;
        atomic_store(&engine->ended[r], true);
        any = true;
    }
    if (any) sgp_slots_poke(engine->slots);
}

static void on_contention(uv_timer_t *timer);

/* Last in everything that the loop calls. */
static void finish(sgp_tcp_engine_t *engine) {
    uint64_t period = SGP_SCHEDULER_WINDOW / 2 / SGP_MILLISECOND;
    bool contended;
    settle(engine);
    do contended = sgp_traffic_schedule(&engine->traffic);
    while (settle(engine)); /* serving a peer may lose it */
    /* Not by uv_is_active: with libuv 1.50 a timer that is due is inactive until its callback, and another timer's callback
     * that starts it anew takes its turn. The two have the same period, so it never came. */
    if (contended && !engine->contended)
        uv_timer_start(&engine->contention, on_contention, period, period);
    if (!contended && engine->contended) uv_timer_stop(&engine->contention);
    engine->contended = contended;
    bool lost = sgp_edges_publish(&engine->edges, sgp_slots_note, engine->slots);
    note_ended(engine);
    if (engine->edges.struck_off)
        sgp_slots_note(engine->slots, engine->edges.rank, sgp_fate_lost(SGP_CAUSE_STRUCK_OFF),
                       NULL);
    engine->edges.struck_off = false;
    if (engine->edges.has_visitor) sgp_slots_poke(engine->slots);
    engine->edges.has_visitor = false;
    if (!engine->knows_met && (lost || sgp_edges_have_met(&engine->edges))) note_met(engine);
}

static void on_contention(uv_timer_t *timer) {
    sgp_tcp_engine_t *engine = timer->data;
    sgp_traffic_look(&engine->traffic);
    finish(engine);
}

/* ---- requests of the owner ---- */

/* The earliest first. */
static sgp_noticed_t *reverse(sgp_noticed_t *noticed) {
    sgp_noticed_t *in_order = NULL;
    for (sgp_noticed_t *next; noticed; noticed = next) {
        next = noticed->next;
        noticed->next = in_order;
        in_order = noticed;
    }
    return in_order;
}

static void take_noticed(sgp_tcp_engine_t *engine, sgp_noticed_t *noticed) {
    noticed = reverse(noticed);
    for (sgp_noticed_t *next; noticed; noticed = next) {
        next = noticed->next;
        if (noticed->incarnation == engine->edges.of[noticed->rank].incarnation)
            sgp_edges_note(&engine->edges, noticed->rank, noticed->fate,
                           noticed->why[0] ? noticed->why : NULL);
        free(noticed);
    }
    settle(engine);
}

/* The owner may know of a loss that this thread does not, and has seen all that this thread knows. */
static void let_go(sgp_tcp_engine_t *engine, int seat) {
    sgp_traffic_collect(&engine->traffic);
    if (sgp_losses_state(&engine->edges.losses, seat) == SGP_FATE_PRESENT)
        sgp_edges_note(&engine->edges, seat, sgp_fate_lost(SGP_CAUSE_STRUCK_OFF), NULL);
    settle(engine);
    sgp_losses_publish(&engine->edges.losses, sgp_slots_note, engine->slots);
}

static void seat(sgp_tcp_engine_t *engine, const sgp_newcomer_t *newcomer) {
    int rank = newcomer->seat;
    let_go(engine, rank);
    sgp_fates_open(engine->slots->transport.fates, rank, newcomer->incarnation);
    sgp_edges_seat(&engine->edges, rank, newcomer->incarnation, &newcomer->address);
    sgp_traffic_seat(&engine->traffic, rank);
    atomic_store(&engine->gone[rank], false);
    atomic_store(&engine->ended[rank], false);
}

static void take_newcomer(sgp_tcp_engine_t *engine) {
    pthread_mutex_lock(&engine->lock);
    const sgp_newcomer_t *newcomer = engine->newcomer;
    pthread_mutex_unlock(&engine->lock);
    if (!newcomer) return;
    seat(engine, newcomer);
    pthread_mutex_lock(&engine->lock);
    engine->newcomer = NULL;
    pthread_cond_broadcast(&engine->changed);
    pthread_mutex_unlock(&engine->lock);
}

static void look_if_left(sgp_tcp_engine_t *engine) {
    sgp_edges_take_callers(&engine->edges);
    if (!sgp_traffic_has_left(&engine->traffic)) return;
    pthread_mutex_lock(&engine->lock);
    engine->has_left = true;
    pthread_cond_broadcast(&engine->changed);
    pthread_mutex_unlock(&engine->lock);
}

static void close_handle(uv_handle_t *handle, void *unused) {
    (void)unused;
    if (!uv_is_closing(handle)) uv_close(handle, NULL);
}

static void end(sgp_tcp_engine_t *engine) {
    sgp_edges_close_all(&engine->edges);
    uv_walk(&engine->loop, close_handle, NULL);
}

static void on_wake(uv_async_t *handle) {
    sgp_tcp_engine_t *engine = handle->data;
    pthread_mutex_lock(&engine->lock);
    sgp_noticed_t *noticed = engine->noticed;
    bool ending = engine->ending, leaving = engine->leaving, aborts = engine->aborts;
    engine->noticed = NULL;
    pthread_mutex_unlock(&engine->lock);
    take_noticed(engine, noticed);
    if (ending) {
        if (aborts) sgp_edges_abort(&engine->edges);
        end(engine);
        return;
    }
    if (leaving) sgp_edges_leave(&engine->edges);
    take_newcomer(engine);
    sgp_traffic_collect(&engine->traffic);
    sgp_traffic_send_all(&engine->traffic);
    if (leaving) look_if_left(engine);
    finish(engine);
}

/* ---- the loop ---- */

static void on_poll(uv_poll_t *handle, int status, int events) {
    sgp_connection_t *connection = handle->data;
    sgp_tcp_engine_t *engine = connection->owner;
    if (connection->state == SGP_CONNECTION_CLOSED) return;
    if (status < 0) {
        events = UV_READABLE | UV_WRITABLE;
        sgp_connection_poll_failed(connection);
    }
    if (connection->state != SGP_CONNECTION_OPEN) {
        if (sgp_edges_open(&engine->edges, connection))
            sgp_traffic_begin(&engine->traffic, connection);
    } else if (events & UV_READABLE) {
        sgp_traffic_receive(&engine->traffic, connection);
    } else {
        sgp_traffic_send(&engine->traffic, connection);
    }
    finish(engine);
}

static bool chunks_wait(void *context, int rank) {
    const sgp_tcp_engine_t *engine = context;
    return sgp_traffic_waits_for(&engine->traffic, rank);
}

static void on_timer(uv_timer_t *timer) {
    sgp_tcp_engine_t *engine = timer->data;
    uint64_t now = sgp_clock_now(), elapsed = now - engine->ticked;
    sgp_edges_tick(&engine->edges, now, elapsed, engine->tick, chunks_wait, engine);
    engine->ticked = now;
    if (sgp_contacts_tell(&engine->edges, now, sgp_slots_note_silence, engine->slots))
        sgp_slots_note_absence(engine->slots, elapsed);
    sgp_traffic_retry(&engine->traffic);
    if (engine->edges.leaves) {
        sgp_traffic_send_all(
            &engine->traffic); /* an edge may have opened, for which the others waited */
        look_if_left(engine);
    }
    finish(engine);
}

static void on_caller(uv_poll_t *handle, int status, int events) {
    sgp_tcp_engine_t *engine = handle->data;
    (void)status, (void)events;
    sgp_edges_take_callers(&engine->edges);
}

static void *engine_main(void *argument) {
    sgp_tcp_engine_t *engine = argument;
    sgp_log_set_rank(engine->edges.rank);
    engine->ticked = sgp_clock_now();
    sgp_edges_call_next(&engine->edges);
    finish(engine);
    uv_run(&engine->loop, UV_RUN_DEFAULT);
    return NULL;
}

/* ---- the owner's calls ---- */

static bool wait_until(sgp_tcp_engine_t *engine, const bool *condition, uint64_t deadline) {
    struct timespec until = {.tv_sec = (time_t)(deadline / SGP_SECOND),
                             .tv_nsec = (long)(deadline % SGP_SECOND)};
    int error = 0;
    while (!*condition && !error)
        error = pthread_cond_timedwait(&engine->changed, &engine->lock, &until);
    return *condition;
}

void sgp_tcp_engine_note(sgp_tcp_engine_t *engine, int rank, sgp_fate_t fate, const char *why) {
    sgp_noticed_t *noticed = calloc(1, sizeof *noticed);
    if (!noticed) { /* then the peers are not told */
        sgp_slots_note(engine->slots, rank, fate, why);
        return;
    }
    noticed->rank = rank;
    noticed->incarnation = sgp_fates_incarnation(engine->slots->transport.fates, rank);
    noticed->fate = fate;
    snprintf(noticed->why, sizeof noticed->why, "%s", why ? why : "");
    pthread_mutex_lock(&engine->lock);
    noticed->next = engine->noticed;
    engine->noticed = noticed;
    pthread_mutex_unlock(&engine->lock);
    sgp_tcp_engine_wake(engine);
}

void sgp_tcp_engine_open(sgp_tcp_engine_t *engine, const sgp_newcomer_t *newcomer) {
    pthread_mutex_lock(&engine->lock);
    engine->newcomer = newcomer;
    sgp_tcp_engine_wake(engine);
    while (engine->newcomer) pthread_cond_wait(&engine->changed, &engine->lock);
    pthread_mutex_unlock(&engine->lock);
}

void sgp_tcp_engine_leave(sgp_tcp_engine_t *engine, uint64_t deadline) {
    pthread_mutex_lock(&engine->lock);
    engine->leaving = true;
    sgp_tcp_engine_wake(engine);
    wait_until(engine, &engine->has_left, deadline);
    pthread_mutex_unlock(&engine->lock);
}

void sgp_tcp_engine_abort(sgp_tcp_engine_t *engine) {
    pthread_mutex_lock(&engine->lock);
    engine->aborts = true;
    pthread_mutex_unlock(&engine->lock);
}

/* ---- making and ending ---- */

static sgp_status_t start_loop(sgp_tcp_engine_t *engine) {
    uv_loop_t *loop = &engine->loop;
    uint64_t tick = engine->edges.peer_timeout / TICKS / SGP_MILLISECOND;
    uint64_t least = engine->edges.limits.suspect / SUSPECT_TICKS / SGP_MILLISECOND;
    if (tick > least) tick = least;
    if (tick > LONGEST_TICK) tick = LONGEST_TICK;
    if (tick < 1) tick = 1;
    engine->tick = tick * SGP_MILLISECOND;
    int error = uv_async_init(loop, &engine->wake, on_wake);
    if (!error) error = uv_timer_init(loop, &engine->timer);
    if (!error) error = uv_timer_init(loop, &engine->contention);
    if (!error) error = uv_poll_init(loop, &engine->listening, engine->edges.listener);
    if (!error) error = uv_poll_start(&engine->listening, UV_READABLE, on_caller);
    if (!error) error = uv_timer_start(&engine->timer, on_timer, tick, tick);
    engine->wake.data = engine->timer.data = engine->contention.data = engine;
    engine->listening.data = engine;
    return error ? sgp_fail(SGP_ERR_SYSTEM, "tcp: event loop: %s", uv_strerror(error)) : SGP_OK;
}

static sgp_status_t await_neighbours(sgp_tcp_engine_t *engine, const sgp_tcp_options_t *options) {
    if (options->at_once) return SGP_OK;
    pthread_mutex_lock(&engine->lock);
    bool met = wait_until(engine, &engine->met, sgp_clock_now() + engine->edges.open_timeout);
    pthread_mutex_unlock(&engine->lock);
    if (met) return SGP_OK;
    return sgp_fail(SGP_ERR_TIMEOUT, "tcp: not all neighbours of node %d came within %d ms",
                    options->rank, options->timeout_ms);
}

sgp_status_t sgp_tcp_engine_start(sgp_tcp_engine_t *engine, const sgp_tcp_options_t *options) {
    sgp_status_t status = start_loop(engine);
    if (status != SGP_OK) return status;
    int error = sgp_thread_start(&engine->thread, engine_main, engine);
    if (error)
        return sgp_fail(SGP_ERR_NO_MEMORY, "tcp: a thread cannot be started: %s", strerror(error));
    engine->started = true;
    return await_neighbours(engine, options);
}

static void stop_loop(sgp_tcp_engine_t *engine) {
    if (engine->started) {
        pthread_mutex_lock(&engine->lock);
        engine->ending = true;
        pthread_mutex_unlock(&engine->lock);
        sgp_tcp_engine_wake(engine);
        pthread_join(engine->thread, NULL);
    } else {
        end(engine);
        uv_run(&engine->loop, UV_RUN_DEFAULT);
    }
    uv_loop_close(&engine->loop);
}

void sgp_tcp_engine_fini(sgp_tcp_engine_t *engine) {
    stop_loop(engine);
    sgp_traffic_fini(&engine->traffic);
    sgp_edges_fini(&engine->edges);
    sgp_visitors_fini(&engine->visitors);
    sgp_chunk_pool_fini(&engine->pool);
    pthread_cond_destroy(&engine->changed);
    pthread_mutex_destroy(&engine->lock);
    free(engine->gone);
    free(engine->ended);
}

static void init_shared(sgp_tcp_engine_t *engine) {
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&engine->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&engine->lock, NULL);
}

/* Nobody posts to a seat without a member, which a newcomer learns from its sponsor. */
static sgp_status_t make_flags(sgp_tcp_engine_t *engine, int capacity) {
    engine->gone = calloc((size_t)capacity, sizeof *engine->gone);
    engine->ended = calloc((size_t)capacity, sizeof *engine->ended);
    if (!engine->gone || !engine->ended)
        return sgp_fail(SGP_ERR_NO_MEMORY, "tcp: no memory to connect %d nodes", capacity);
    for (int r = 0; r < capacity; r++)
        engine->gone[r] = sgp_losses_state(&engine->edges.losses, r) == SGP_FATE_ABSENT;
    return SGP_OK;
}

sgp_status_t sgp_tcp_engine_init(sgp_tcp_engine_t *engine, const sgp_tcp_options_t *options,
                                 sgp_slots_t *slots) {
    *engine = (sgp_tcp_engine_t){.slots = slots};
    sgp_visitors_init(&engine->visitors);
    sgp_status_t status =
        sgp_edges_init(&engine->edges, options, &slots->transport, &engine->visitors);
    if (status == SGP_OK && uv_loop_init(&engine->loop) != 0)
        status = sgp_fail(SGP_ERR_NO_MEMORY, "tcp: no memory for an event loop");
    if (status != SGP_OK) {
        sgp_edges_fini(&engine->edges);
        sgp_visitors_fini(&engine->visitors);
        return status;
    }
    init_shared(engine);
    sgp_edges_attach(&engine->edges, &engine->loop, &engine->pool, on_poll, engine);
    int capacity = slots->transport.capacity;
    status = sgp_chunk_pool_init(&engine->pool, capacity, slots->transport.chunk_bytes);
    if (status == SGP_OK)
        status = sgp_traffic_init(&engine->traffic, &engine->edges, &engine->pool, slots);
    if (status == SGP_OK) status = make_flags(engine, capacity);
    if (status != SGP_OK) sgp_tcp_engine_fini(engine);
    return status;
}
