/* SPDX-License-Identifier: Apache-2.0 */
/* The two lines of a process, into it and out of it, and the links that take turns on them (turns.h). */
#include "transport/tcp/link.h"
#include "transport/tcp/losses.h"
#include "base/constants.h"

/* Nobody is held for longer, so that no peer takes us for dead. */
#define MOST_HELD (1000 * SGP_MILLISECOND)

/* Bytes of frames that wait to be sent. */
#define MOST_UNREAD ((size_t)64 << 10)

static const sgp_turn_t nothing;

/* What a caller sends next. */
static const sgp_turn_t *outgoing(const sgp_link_t *link) {
    if (!link->caller || link->state != SGP_LINK_OPEN || link->mute) return &nothing;
    if (link->sending) return &link->sending->turn;
    const sgp_post_t *post = link->links->peers[link->peer].queue.first;
    return post ? &post->turn : &nothing;
}

bool sgp_link_held(const sgp_link_t *link) {
    const sgp_links_t *links = link->links;
    if (link->caller) return !sgp_turns_may(&links->out, outgoing(link));
    /* One that does not read what is said to it is not heard: each chunk of its is answered. */
    return link->frames_end - link->frames_at > MOST_UNREAD ||
           !sgp_turns_may(&links->in, &link->turn);
}

static bool waits_its_turn(const sgp_header_t *header) {
    return header->elements < header->count;
}

void sgp_peer_posts(sgp_links_t *links, sgp_peer_t *peer, sgp_post_t *post) {
    const sgp_header_t *header = &post->header;
    if (waits_its_turn(header) && header->offset == 0) {
        peer->posted = sgp_turns_begin(&links->out, header->step);
        links->turns_due = true;
    }
    post->turn = waits_its_turn(header) ? peer->posted : nothing;
}

void sgp_link_sent_post(sgp_link_t *link, const sgp_post_t *post) {
    if (post->turn.order && outgoing(link)->order != post->turn.order)
        link->links->turns_due = true;
}

void sgp_link_chunk_begins(sgp_link_t *link, const sgp_header_t *header) {
    if (!waits_its_turn(header) || header->offset != 0 || header->id == link->message) return;
    link->message = header->id;
    link->left = header->count;
    link->turn = sgp_turns_begin(&link->links->in, header->step);
    link->links->turns_due = true;
}

void sgp_link_chunk_ended(sgp_link_t *link, const sgp_header_t *header) {
    if (!link->turn.order) return;
    link->left -= header->elements < link->left ? header->elements : link->left;
    if (link->left > 0) return;
    link->turn = nothing;
    link->links->turns_due = true;
}

/* Who is first. */
static void survey(sgp_links_t *links) {
    sgp_turns_look(&links->in);
    sgp_turns_look(&links->out);
    for (const sgp_link_t *link = links->all; link; link = link->next) {
        if (link->state != SGP_LINK_OPEN) continue;
        if (link->caller) sgp_turns_see(&links->out, outgoing(link));
        else if (!link->starved) sgp_turns_see(&links->in, &link->turn); /* the line is others' */
    }
}

static void serve(sgp_links_t *links) {
    for (sgp_link_t *link = links->all; link; link = link->next) {
        if (link->state != SGP_LINK_OPEN) continue;
        if (link->caller) sgp_link_pump(link);
        else sgp_link_watch(link);
    }
}

/* A line with messages of several steps is watched. */
static bool watch(sgp_links_t *links, sgp_turns_t *turns) {
    uint64_t quarter = links->peer_timeout / 4;
    if (sgp_turns_contended(turns))
        return sgp_turns_watch(turns, sgp_links_now(), quarter < MOST_HELD ? quarter : MOST_HELD);
    sgp_turns_rest(turns);
    return false;
}

static void on_turns(uv_timer_t *timer) {
    sgp_links_t *links = timer->data;
    bool in = watch(links, &links->in), out = watch(links, &links->out);
    if (in || out) links->turns_due = true;
    sgp_links_take_turns(links);
}

void sgp_links_take_turns(sgp_links_t *links) {
    while (links->turns_due) { /* a message that is out makes room for the next */
        links->turns_due = false;
        survey(links);
        serve(links);
    }
    bool contended = sgp_turns_contended(&links->in) || sgp_turns_contended(&links->out);
    bool active = uv_is_active((uv_handle_t *)&links->turns);
    uint64_t period = SGP_TURNS_WINDOW / 2 / SGP_MILLISECOND;
    if (contended && !active) uv_timer_start(&links->turns, on_turns, period, period);
    if (!contended && active) {
        uv_timer_stop(&links->turns);
        sgp_turns_rest(&links->in);
        sgp_turns_rest(&links->out);
    }
    sgp_links_publish(links);
}
