/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/tcp/tcp_engine.h"

#include "base/constants.h"
#include "base/clock.h"
#include "base/logging.h"
#include "transport/tcp/link.h"
#include "transport/tcp/losses.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_PEER_TIMEOUT (SGP_PEER_TIMEOUT_MS * SGP_MILLISECOND)
#define CALL_AGAIN           (50 * SGP_MILLISECOND)
#define STRANGER_GRACE       (1000 * SGP_MILLISECOND)
#define MOST_STRANGERS       64
#define LEAST_ALLOWED        64 /* chunks of a rank, whatever was promised */

uint64_t sgp_links_now(void) {
    return sgp_clock_now();
}

static sgp_links_t *links_of(sgp_remote_t *remote) {
    return (sgp_links_t *)remote;
}

/* ---- places ---- */

sgp_arrival_t *sgp_links_take_place(sgp_links_t *links, int src) {
    sgp_peer_t *peer = &links->peers[src];
    sgp_arrival_t *arrival = NULL;
    pthread_mutex_lock(&links->lock);
    bool allowed = peer->places < links->allowed;
    if (allowed) arrival = sgp_stock_take_place(&links->stock);
    bool no_memory = allowed && !arrival;
    if (arrival) {
        arrival->src = src;
        peer->places++;
    } else {
        links->full = true;
    }
    pthread_mutex_unlock(&links->lock);
    if (no_memory && !links->short_of_memory)
        sgp_log(SGP_LOG_WARNING, "tcp: no memory to receive a chunk: it is tried again");
    links->short_of_memory = no_memory;
    return arrival;
}

void sgp_links_give_place(sgp_links_t *links, sgp_arrival_t *arrival) {
    pthread_mutex_lock(&links->lock);
    links->peers[arrival->src].places--;
    arrival->next = links->stock.free_arrivals;
    links->stock.free_arrivals = arrival;
    pthread_mutex_unlock(&links->lock);
}

void sgp_links_deliver(sgp_links_t *links, sgp_arrival_t *arrival) {
    pthread_mutex_lock(&links->lock);
    sgp_arrival_list_add(&links->arrived, arrival);
    pthread_mutex_unlock(&links->lock);
    atomic_fetch_add(&links->waiting, 1);
    links->owner.wake(links->owner.transport);
}

/* ---- what becomes of a post; in the thread ---- */

static void drop_post(sgp_links_t *links, sgp_post_t *post) {
    uint32_t slot = post->slot;
    pthread_mutex_lock(&links->lock);
    sgp_stock_give_post(&links->stock, post);
    pthread_mutex_unlock(&links->lock);
    links->owner.drop(links->owner.transport, slot);
}

/* A post of that ticket that is under way to dst. */
static sgp_post_t *under_way(sgp_links_t *links, int dst, uint32_t ticket) {
    pthread_mutex_lock(&links->lock);
    sgp_post_t *post = ticket < links->stock.posts_count ? links->stock.posts[ticket] : NULL;
    if (post && (post->state != SGP_POST_SENT || post->dst != dst)) post = NULL;
    pthread_mutex_unlock(&links->lock);
    return post;
}

bool sgp_links_released(sgp_links_t *links, int dst, uint32_t ticket) {
    sgp_post_t *post = under_way(links, dst, ticket);
    if (!post) return false;
    drop_post(links, post);
    return true;
}

bool sgp_links_repeat(sgp_links_t *links, int dst, uint32_t ticket) {
    sgp_post_t *post = under_way(links, dst, ticket);
    if (!post || ++post->repeats > SGP_LINK_REPEATS) return false;
    atomic_fetch_add(&links->owner.transport->counters.resent, 1);
    post->state = SGP_POST_QUEUED;
    sgp_post_list_add(&links->peers[dst].queue, post);
    return true;
}

void sgp_links_drop_posts(sgp_links_t *links, int rank) {
    sgp_post_list_take(&links->peers[rank].queue); /* they are in the table as well */
    links->turns_due = true;
    if (links->peers[rank].out) sgp_link_break_off(links->peers[rank].out);
    sgp_post_t *post = NULL;
    pthread_mutex_lock(&links->lock);
    for (uint32_t ticket = 0; ticket < links->stock.posts_count; ticket++) {
        sgp_post_t *found = links->stock.posts[ticket];
        bool seen = found->state == SGP_POST_QUEUED || found->state == SGP_POST_SENT;
        if (found->dst != rank || !seen) continue;
        found->next = post;
        post = found;
    }
    pthread_mutex_unlock(&links->lock);
    for (sgp_post_t *next; post; post = next) next = post->next, drop_post(links, post);
}

/* ---- who is there ---- */

/* Liveness needs an edge even where no message goes: each rank watches the next one that it reaches
 * over a network, and news of the dead travel along all edges. -1: all others are local. */
static int next_remote(const sgp_links_t *links) {
    for (int i = 1; i < links->size; i++) {
        int rank = (links->rank + i) % links->size;
        if (!links->peers[rank].local) return rank;
    }
    return -1;
}

/* Its edge is open, or was: it may have left already. */
static bool has_come(const sgp_peer_t *peer, const sgp_link_t *edge) {
    return peer->left || (edge && edge->state == SGP_LINK_OPEN);
}

/* The first one that has not come, of the one we watch and the one of which we know that it watches
 * us: that before us, if we are not on one machine. -1: none. */
static int missing_neighbour(const sgp_links_t *links) {
    int next = next_remote(links), before = (links->rank + links->size - 1) % links->size;
    if (next < 0) return -1;
    const sgp_peer_t *watched = &links->peers[next], *watcher = &links->peers[before];
    if (!has_come(watched, watched->out)) return next;
    return watcher->local || has_come(watcher, watcher->in) ? -1 : before;
}

void sgp_links_note_met(sgp_links_t *links) {
    pthread_mutex_lock(&links->lock);
    links->met = true;
    pthread_cond_broadcast(&links->changed);
    pthread_mutex_unlock(&links->lock);
}

void sgp_links_look_if_met(sgp_links_t *links) {
    if (missing_neighbour(links) < 0) sgp_links_note_met(links);
}

/* Posts to it that are still in the owner's list are dropped when they are seen. */
void sgp_links_give_up(sgp_links_t *links, int rank) {
    atomic_store(&links->dropped[rank], true);
    sgp_links_drop_posts(links, rank);
}

/* ---- the thread ---- */

void sgp_links_call(sgp_links_t *links, int rank) {
    sgp_peer_t *peer = &links->peers[rank];
    uint64_t now = sgp_links_now();
    if (peer->out || peer->left || peer->lost || peer->local || now < peer->call_again) return;
    if (!peer->called_since) peer->called_since = now;
    peer->call_again = now + CALL_AGAIN;
    peer->out = sgp_link_call(links, rank);
}

/* Into the queues of their receivers, and calls those that have no edge yet. */
static void queue_posts(sgp_links_t *links, sgp_post_t *post) {
    for (sgp_post_t *next; post; post = next) {
        sgp_peer_t *peer = &links->peers[post->dst];
        next = post->next;
        post->state = SGP_POST_QUEUED;
        if (peer->left || peer->lost) {
            drop_post(links, post);
            continue;
        }
        sgp_peer_posts(links, peer, post);
        sgp_post_list_add(&peer->queue, post);
    }
    for (int r = 0; r < links->size; r++)
        if (links->peers[r].queue.first) sgp_links_call(links, r);
}

/* Tells the senders. */
static void tell_released(sgp_links_t *links, sgp_arrival_t *arrival) {
    for (sgp_arrival_t *next; arrival; arrival = next) {
        sgp_link_t *link = links->peers[arrival->src].in;
        next = arrival->next;
        if (link && link->state == SGP_LINK_OPEN)
            sgp_link_say(link, SGP_FRAME_RELEASED, arrival->ticket);
        sgp_links_give_place(links, arrival);
    }
}

static void feed_starved(sgp_links_t *links) {
    for (sgp_link_t *link = links->all; link; link = link->next)
        if (link->starved) sgp_link_feed(link);
}

static void pump_all(sgp_links_t *links) {
    for (sgp_link_t *link = links->all; link; link = link->next)
        if (link->state == SGP_LINK_OPEN) sgp_link_pump(link);
}

static void say_leave(sgp_links_t *links) {
    for (sgp_link_t *link = links->all; link; link = link->next) sgp_link_leave(link);
}

static void take_callers(sgp_links_t *links) {
    for (;;) {
        sgp_address_t from = {.length = sizeof from.at};
        int made = accept4(links->listener, (struct sockaddr *)&from.at, &from.length,
                           SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (made < 0 && errno == EINTR) continue;
        if (made < 0) return;
        if (links->strangers >= MOST_STRANGERS) close(made); /* it will try again */
        else sgp_link_accept(links, made, &from);
    }
}

/* One that has just called may be a member, and is to hear that we leave; a stranger that says nothing
 * does not hold us up for long. */
static bool holds_us_up(const sgp_link_t *link) {
    if (link->state == SGP_LINK_CLOSED) return false;
    return link->peer >= 0 || sgp_links_now() - link->since < STRANGER_GRACE;
}

/* Left in order: what was posted is delivered, and all others know. */
static void look_if_left(sgp_links_t *links) {
    bool pending = false;
    take_callers(links);
    for (sgp_link_t *link = links->all; link; link = link->next)
        pending = pending || holds_us_up(link);
    for (int r = 0; r < links->size; r++) pending = pending || links->peers[r].queue.first;
    if (pending) return;
    pthread_mutex_lock(&links->lock);
    links->has_left = true;
    pthread_cond_broadcast(&links->changed);
    pthread_mutex_unlock(&links->lock);
}

static void end_all(sgp_links_t *links) {
    for (sgp_link_t *link = links->all; link; link = link->next) sgp_link_close(link);
    uv_poll_stop(&links->listening);
    uv_timer_stop(&links->timer);
    uv_close((uv_handle_t *)&links->listening, NULL);
    uv_close((uv_handle_t *)&links->timer, NULL);
    uv_close((uv_handle_t *)&links->turns, NULL);
    uv_close((uv_handle_t *)&links->wake, NULL);
}

/* What the owner has done since. */
static void on_wake(uv_async_t *handle) {
    sgp_links_t *links = handle->data;
    pthread_mutex_lock(&links->lock);
    sgp_post_t *posted = sgp_post_list_take(&links->posted);
    sgp_arrival_t *released = sgp_arrival_list_take(&links->released);
    sgp_noticed_t *notes = links->notes;
    bool ending = links->ending, full = links->full;
    links->leaves = links->leaving;
    links->notes = NULL;
    links->full = false;
    pthread_mutex_unlock(&links->lock);
    if (ending) {
        sgp_links_take_notes(links, notes);
        end_all(links);
        tell_released(links, released);
        return;
    }
    sgp_links_take_notes(links, notes);
    queue_posts(links, posted);
    tell_released(links, released);
    if (full) feed_starved(links);
    if (links->leaves) say_leave(links);
    pump_all(links);
    if (links->leaves) look_if_left(links);
    sgp_links_take_turns(links);
}

/* A tick that comes late counts as one: whoever did not run itself (a debugger, a suspended machine, a crowd on few
 * cores) has not listened, and accuses nobody. */
static void forgive(sgp_links_t *links, uint64_t now) {
    uint64_t passed = now - links->ticked;
    uint64_t late = passed > 2 * links->tick ? passed - links->tick : 0;
    for (sgp_link_t *link = links->all; late && link; link = link->next) {
        link->heard += late < now - link->heard ? late : now - link->heard;
        link->since += late < now - link->since ? late : now - link->since;
    }
    links->ticked = now;
}

static void on_timer(uv_timer_t *handle) {
    sgp_links_t *links = handle->data;
    uint64_t now = sgp_links_now();
    forgive(links, now);
    for (sgp_link_t *link = links->all; link; link = link->next) sgp_link_tick(link, now);
    if (links->short_of_memory) feed_starved(links);
    for (int r = 0; r < links->size; r++) {
        sgp_peer_t *peer = &links->peers[r];
        if (peer->called_since && !peer->out && (peer->queue.first || !links->leaves))
            sgp_links_call(links, r);
    }
    if (links->leaves) look_if_left(links);
    sgp_links_take_turns(links);
}

static void on_caller(uv_poll_t *handle, int status, int events) {
    sgp_links_t *links = handle->data;
    (void)status, (void)events;
    take_callers(links);
}

static void *links_main(void *argument) {
    sgp_links_t *links = argument;
    sgp_log_set_rank(links->rank);
    links->ticked = sgp_links_now();
    int next = next_remote(links);
    if (next >= 0) sgp_links_call(links, next);
    else sgp_links_note_met(links);
    uv_run(&links->loop, UV_RUN_DEFAULT);
    return NULL;
}

/* ---- what the owner calls ---- */

static sgp_status_t start_loop(sgp_links_t *links) {
    uint64_t tick = links->peer_timeout / 8 / SGP_MILLISECOND;
    if (tick > 50) tick = 50; /* also how often a call is tried again */
    if (tick < 1) tick = 1;
    links->tick = tick * SGP_MILLISECOND;
    int error = uv_async_init(&links->loop, &links->wake, on_wake);
    if (!error) error = uv_timer_init(&links->loop, &links->timer);
    if (!error) error = uv_timer_init(&links->loop, &links->turns);
    if (!error) error = uv_poll_init(&links->loop, &links->listening, links->listener);
    if (!error) error = uv_poll_start(&links->listening, UV_READABLE, on_caller);
    if (!error) error = uv_timer_start(&links->timer, on_timer, tick, tick);
    links->wake.data = links->timer.data = links->turns.data = links->listening.data = links;
    return error ? sgp_fail(SGP_ERR_SYSTEM, "tcp: event loop: %s", uv_strerror(error)) : SGP_OK;
}

static bool wait_until(sgp_links_t *links, const bool *what, uint64_t deadline) {
    struct timespec until = {.tv_sec = (time_t)(deadline / SGP_SECOND),
                             .tv_nsec = (long)(deadline % SGP_SECOND)};
    int error = 0;
    while (!*what && !error) error = pthread_cond_timedwait(&links->changed, &links->lock, &until);
    return *what;
}

static sgp_status_t meet(sgp_links_t *links) {
    if (links->at_once) return SGP_OK;
    pthread_mutex_lock(&links->lock);
    bool met = wait_until(links, &links->met, sgp_links_now() + links->open_timeout);
    pthread_mutex_unlock(&links->lock);
    if (met) return SGP_OK;
    return sgp_fail(SGP_ERR_TIMEOUT, "tcp: not all neighbours of node %d came within %llu ms",
                    links->rank, (unsigned long long)(links->open_timeout / SGP_MILLISECOND));
}

/* Signals are for the program's own threads. */
static sgp_status_t links_start(sgp_remote_t *remote, const sgp_remote_owner_t *owner) {
    sgp_links_t *links = links_of(remote);
    links->owner = *owner;
    sgp_status_t status = start_loop(links);
    if (status != SGP_OK) return status;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&links->thread, NULL, links_main, links);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error)
        return sgp_fail(SGP_ERR_NO_MEMORY, "tcp: a thread cannot be started: %s", strerror(error));
    links->started = true;
    return meet(links);
}

static void links_allow(sgp_remote_t *remote, uint64_t chunks) {
    sgp_links_t *links = links_of(remote);
    pthread_mutex_lock(&links->lock);
    if (chunks > links->allowed) links->allowed = chunks;
    pthread_mutex_unlock(&links->lock);
    uv_async_send(&links->wake);
}

static bool links_reserve(sgp_remote_t *remote, size_t posts) {
    sgp_links_t *links = links_of(remote);
    pthread_mutex_lock(&links->lock);
    bool reserved = sgp_stock_reserve(&links->stock, posts);
    pthread_mutex_unlock(&links->lock);
    return reserved;
}

static bool links_post(sgp_remote_t *remote, int dst, const sgp_header_t *header,
                       const void *payload, uint32_t slot) {
    sgp_links_t *links = links_of(remote);
    bool dropped = atomic_load(&links->dropped[dst]);
    pthread_mutex_lock(&links->lock);
    if (dropped) sgp_stock_cancel_post(&links->stock);
    else {
        sgp_post_t *post = sgp_stock_take_post(&links->stock);
        post->slot = slot;
        post->dst = dst;
        post->state = SGP_POST_NEW;
        post->repeats = 0;
        post->payload = payload;
        post->bytes = header->elements * sgp_encoding_size(header->encoding);
        post->header = *header;
        sgp_post_list_add(&links->posted, post);
    }
    pthread_mutex_unlock(&links->lock);
    if (!dropped) uv_async_send(&links->wake);
    return !dropped;
}

static bool links_has_arrived(sgp_remote_t *remote) {
    return atomic_load(&links_of(remote)->waiting) > 0;
}

static sgp_status_t links_receive(sgp_remote_t *remote, sgp_chunk_t *chunk) {
    sgp_links_t *links = links_of(remote);
    if (!links_has_arrived(remote)) return SGP_ERR_AGAIN;
    pthread_mutex_lock(&links->lock);
    sgp_arrival_t *arrival = links->arrived.first;
    if (arrival) links->arrived.first = arrival->next;
    if (!links->arrived.first) links->arrived.last = &links->arrived.first;
    pthread_mutex_unlock(&links->lock);
    if (!arrival) return SGP_ERR_AGAIN;
    atomic_fetch_sub(&links->waiting, 1);
    *chunk = (sgp_chunk_t){.header = arrival->header, .payload = arrival->place, .slot = arrival};
    return SGP_OK;
}

static void links_release(sgp_remote_t *remote, sgp_chunk_t *chunk) {
    sgp_links_t *links = links_of(remote);
    pthread_mutex_lock(&links->lock);
    sgp_arrival_list_add(&links->released, chunk->slot);
    pthread_mutex_unlock(&links->lock);
    chunk->slot = NULL;
    uv_async_send(&links->wake);
}

static void links_note(sgp_remote_t *remote, int rank, sgp_fate_t fate, const char *why) {
    sgp_links_t *links = links_of(remote);
    sgp_noticed_t *note = calloc(1, sizeof *note);
    if (!note) { /* then nobody is told */
        links->owner.note(links->owner.transport, rank, fate, why);
        return;
    }
    note->rank = rank;
    note->fate = fate;
    snprintf(note->why, sizeof note->why, "%s", why ? why : "");
    pthread_mutex_lock(&links->lock);
    note->next = links->notes;
    links->notes = note;
    pthread_mutex_unlock(&links->lock);
    uv_async_send(&links->wake);
}

static void links_leave(sgp_remote_t *remote, uint64_t deadline) {
    sgp_links_t *links = links_of(remote);
    pthread_mutex_lock(&links->lock);
    links->leaving = true;
    uv_async_send(&links->wake);
    wait_until(links, &links->has_left, deadline);
    pthread_mutex_unlock(&links->lock);
}

/* ---- making and ending ---- */

static void close_handle(uv_handle_t *handle, void *unused) {
    (void)unused;
    if (!uv_is_closing(handle)) uv_close(handle, NULL);
}

static void stop_loop(sgp_links_t *links) {
    if (links->started) {
        pthread_mutex_lock(&links->lock);
        links->ending = true;
        pthread_mutex_unlock(&links->lock);
        uv_async_send(&links->wake);
        pthread_join(links->thread, NULL);
    } else {
        uv_walk(&links->loop, close_handle, NULL);
        uv_run(&links->loop, UV_RUN_DEFAULT);
    }
    uv_loop_close(&links->loop);
}

static void links_destroy(sgp_remote_t *remote) {
    sgp_links_t *links = links_of(remote);
    stop_loop(links);
    close(links->listener);
    sgp_stock_fini(&links->stock);
    pthread_cond_destroy(&links->changed);
    pthread_mutex_destroy(&links->lock);
    explicit_bzero(&links->key, sizeof links->key);
    for (int r = 0; links->peers && r < links->size; r++) free(links->peers[r].why);
    free(links->peers);
    free(links->unsaid);
    free(links->dropped);
    free(links);
}

static const sgp_remote_ops_t links_ops = {
    .start = links_start,
    .allow = links_allow,
    .reserve = links_reserve,
    .post = links_post,
    .has_arrived = links_has_arrived,
    .receive = links_receive,
    .release = links_release,
    .note = links_note,
    .leave = links_leave,
    .destroy = links_destroy,
};

static sgp_status_t allocate(sgp_links_t *links, const sgp_tcp_options_t *options) {
    links->peers = calloc((size_t)links->size, sizeof *links->peers);
    links->dropped = calloc((size_t)links->size, sizeof *links->dropped);
    links->unsaid = calloc((size_t)links->size, sizeof *links->unsaid);
    sgp_stock_init(&links->stock, links->chunk_bytes);
    links->allowed = LEAST_ALLOWED;
    if (!links->peers || !links->dropped || !links->unsaid)
        return sgp_fail(SGP_ERR_NO_MEMORY, "tcp: no memory to connect %d nodes", links->size);
    for (int r = 0; r < links->size; r++) {
        sgp_peer_t *peer = &links->peers[r];
        peer->told = -1;
        peer->address = options->addresses[r];
        peer->local = options->local && options->local[r];
        sgp_post_list_take(&peer->queue); /* empty */
    }
    return SGP_OK;
}

static void init_lists(sgp_links_t *links) {
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&links->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&links->lock, NULL);
    sgp_post_list_take(&links->posted);
    sgp_arrival_list_take(&links->released);
    sgp_arrival_list_take(&links->arrived);
}

sgp_status_t sgp_links_create(const sgp_tcp_options_t *options, size_t chunk_bytes,
                              sgp_links_t **links) {
    sgp_links_t *made = calloc(1, sizeof *made);
    if (!made || uv_loop_init(&made->loop) != 0) {
        free(made);
        close(options->listener);
        return sgp_fail(SGP_ERR_NO_MEMORY, "tcp: no memory for an event loop");
    }
    made->remote.ops = &links_ops;
    made->rank = options->rank;
    made->size = options->size;
    made->run = options->run;
    made->chunk_bytes = chunk_bytes;
    made->listener = options->listener;
    made->keyed = options->key != NULL;
    if (options->key) made->key = *options->key;
    made->insecure = options->insecure;
    made->at_once = options->at_once;
    made->open_timeout = (uint64_t)options->timeout_ms * SGP_MILLISECOND;
    made->peer_timeout = options->peer_timeout_ms
                             ? (uint64_t)options->peer_timeout_ms * SGP_MILLISECOND
                             : DEFAULT_PEER_TIMEOUT;
    init_lists(made);
    sgp_status_t status = allocate(made, options);
    if (status != SGP_OK) {
        links_destroy(&made->remote);
        return status;
    }
    *links = made;
    return SGP_OK;
}
