/* SPDX-License-Identifier: Apache-2.0 */
/* What goes over a connection: chunks one way, frames both ways. */
#include "base/logging.h"
#include "transport/tcp/link.h"
#include "transport/tcp/losses.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

/* Chunks and reads before the others get their turn. */
enum { TURN = 16 };

/* Reads that empty a socket whose peer has ended, whatever its buffer holds. */
enum { MOST_UNREAD = 4096 };

/* ---- sending ---- */

void sgp_link_say(sgp_link_t *link, sgp_frame_kind_t kind, uint32_t value) {
    if (link->said_leave || link->mute || link->state != SGP_LINK_OPEN) return;
    if (link->frames_at == link->frames_end) link->frames_at = link->frames_end = 0;
    if (link->frames_end + SGP_FRAME_BYTES > link->frames_room) {
        size_t room = link->frames_room ? 2 * link->frames_room : 4096;
        unsigned char *grown = realloc(link->frames, room);
        if (!grown) {
            sgp_link_fail(link, SGP_CAUSE_FAILED, "out of memory");
            return;
        }
        link->frames = grown;
        link->frames_room = room;
    }
    sgp_frame_encode(kind, value, link->frames + link->frames_end);
    link->frames_end += SGP_FRAME_BYTES;
    link->said_leave = kind == SGP_FRAME_LEAVE;
    sgp_link_watch(link);
}

/* Takes the next post of the queue. */
static bool next_chunk(sgp_link_t *link) {
    sgp_post_list_t *queue = &link->links->peers[link->peer].queue;
    sgp_post_t *post = queue->first;
    if (!link->caller || !post || link->said_leave || sgp_link_held(link)) return false;
    queue->first = post->next;
    if (!queue->first) queue->last = &queue->first;
    /* Here and not where it was written: the next thing to happen to these bytes is their copying to
     * the kernel, and the caller's thread computes meanwhile. */
    post->header.payload_hash = XXH3_64bits(post->payload, post->bytes);
    sgp_frame_encode(SGP_FRAME_CHUNK, post->ticket, link->head);
    sgp_header_encode(&post->header, link->head + SGP_FRAME_BYTES);
    link->sending = post;
    link->sent = 0;
    return true;
}

/* What is left of the frames, or of the chunk. */
static int pieces_to_send(const sgp_link_t *link, struct iovec pieces[2]) {
    if (!link->sending) {
        pieces[0] = (struct iovec){.iov_base = link->frames + link->frames_at,
                                   .iov_len = link->frames_end - link->frames_at};
        return 1;
    }
    int count = 0;
    size_t done = link->sent;
    if (done < sizeof link->head) {
        pieces[count++] = (struct iovec){.iov_base = (void *)(link->head + done),
                                         .iov_len = sizeof link->head - done};
        done = sizeof link->head;
    }
    done -= sizeof link->head;
    unsigned char *payload = (unsigned char *)(uintptr_t)link->sending->payload;
    pieces[count++] =
        (struct iovec){.iov_base = payload + done, .iov_len = link->sending->bytes - done};
    return count;
}

static void note_sent(sgp_link_t *link, size_t bytes) {
    link->spoke = sgp_links_now();
    if (!link->sending) {
        link->frames_at += bytes;
        return;
    }
    link->sent += bytes;
    sgp_turns_moved(&link->links->out, &link->sending->turn, bytes);
    if (link->sent < sizeof link->head + link->sending->bytes) return;
    const sgp_post_t *post = link->sending;
    link->sending->state = SGP_POST_SENT;
    link->sending = NULL;
    sgp_link_sent_post(link, post);
}

/* The kernel gives up a connection when the other end's kernel has been silent for the time limit. */
static sgp_cause_t cause_of(int error) {
    return error == ETIMEDOUT ? SGP_CAUSE_SILENT : SGP_CAUSE_CLOSED;
}

/* false: nothing more can be sent now. */
static bool read_some(sgp_link_t *link);

static bool send_some(sgp_link_t *link) {
    struct iovec pieces[2];
    struct msghdr message = {.msg_iov = pieces};
    message.msg_iovlen = (size_t)pieces_to_send(link, pieces);
    ssize_t sent = sendmsg(link->socket, &message, MSG_NOSIGNAL);
    if (sent >= 0) {
        note_sent(link, (size_t)sent);
        return true;
    }
    if (errno == EINTR) return true;
    if (errno == EAGAIN) return false;
    int error = errno;
    /* What it said before its end may lie here unread, and among it why it ended. */
    for (int reads = 0; reads < MOST_UNREAD && read_some(link); reads++) {
    }
    if (link->state == SGP_LINK_OPEN) sgp_link_fail(link, cause_of(error), "%s", strerror(error));
    return false;
}

void sgp_link_pump(sgp_link_t *link) {
    if (link->state != SGP_LINK_OPEN) return;
    for (int chunks = 0; chunks < TURN && !link->mute;) {
        bool frames = link->frames_at < link->frames_end;
        if (!link->sending && !frames) {
            if (!next_chunk(link)) break;
            chunks++;
        }
        if (!send_some(link)) break;
    }
    if (link->state != SGP_LINK_OPEN) return;
    if (link->links->leaves) sgp_link_leave(link);
    sgp_link_watch(link);
}

void sgp_link_leave(sgp_link_t *link) {
    if (link->state != SGP_LINK_OPEN || link->said_leave) return;
    const sgp_peer_t *peer = &link->links->peers[link->peer];
    if (link->mute || peer->left) {
        sgp_link_close(link);
        return;
    }
    if (link->sending || (link->caller && peer->queue.first)) return; /* these first */
    sgp_link_say(link, SGP_FRAME_LEAVE, 0);
    sgp_link_pump(link);
}

/* ---- receiving ---- */

static void heard_leave(sgp_link_t *link) {
    sgp_links_t *links = link->links;
    int peer = link->peer;
    sgp_link_close(link); /* all of it is read: so the other one sees an end in order */
    sgp_links_note_left(links, peer);
}

static void heard_frame(sgp_link_t *link) {
    sgp_links_t *links = link->links;
    uint32_t value = link->stream.value;
    switch (link->stream.kind) {
    case SGP_FRAME_RELEASED:
        if (!sgp_links_released(links, link->peer, value) && !links->leaves && !link->mute)
            sgp_link_fail(link, SGP_CAUSE_NONSENSE, "it released what was not sent");
        return;
    case SGP_FRAME_REPEAT:
        if (!sgp_links_repeat(links, link->peer, value))
            sgp_link_fail(link, SGP_CAUSE_NONSENSE,
                          "it asked too often for a chunk, or for one that was not sent");
        return;
    case SGP_FRAME_LEAVE:
        heard_leave(link);
        return;
    case SGP_FRAME_LOST:
        sgp_links_heard_lost(links, link->peer, value);
        return;
    case SGP_FRAME_LEFT:
        sgp_links_heard_left(links, value);
        return;
    case SGP_FRAME_ALIVE:
    case SGP_FRAME_CHUNK:
        return;
    }
}

/* A chunk's head is here: its payload needs a place. false: it goes no further. */
static bool begin_arrival(sgp_link_t *link) {
    sgp_links_t *links = link->links;
    sgp_header_t header;
    if (link->caller ||
        sgp_transport_accept(links->owner.transport, link->stream.header, &header) != SGP_OK ||
        header.src != link->peer) {
        sgp_link_fail(link, SGP_CAUSE_NONSENSE, "it sent what is no chunk");
        return false;
    }
    sgp_link_chunk_begins(link, &header);
    link->arriving = sgp_links_take_place(links, link->peer);
    link->starved = !link->arriving;
    if (link->starved) return false;
    link->arriving->ticket = link->stream.value;
    link->arriving->header = header;
    sgp_stream_place(&link->stream, link->arriving->place,
                     header.elements * sgp_encoding_size(header.encoding));
    return true;
}

/* What is known of the damage to a chunk; NULL: nothing. */
static sgp_damage_t *find_damage(sgp_link_t *link, uint32_t ticket) {
    for (size_t i = 0; i < sizeof link->damages / sizeof *link->damages; i++)
        if (link->damages[i].times && link->damages[i].ticket == ticket) return &link->damages[i];
    return NULL;
}

/* Returns how often it has come damaged. */
static int count_damage(sgp_link_t *link, uint32_t ticket) {
    sgp_damage_t *damage = find_damage(link, ticket);
    if (!damage) {
        damage = &link->damages[link->next_damage];
        link->next_damage = (link->next_damage + 1) % (int)(sizeof link->damages / sizeof *damage);
        *damage = (sgp_damage_t){.ticket = ticket};
    }
    return ++damage->times;
}

/* It is asked for again, but not for ever. */
static void refuse_damaged(sgp_link_t *link, uint32_t ticket) {
    sgp_links_t *links = link->links;
    sgp_rank_name_t name;
    int times = count_damage(link, ticket);
    atomic_fetch_add(&links->owner.transport->counters.refused, 1);
    if (times > SGP_LINK_REPEATS) {
        sgp_link_fail(link, SGP_CAUSE_NONSENSE, "a chunk of it came damaged %d times", times);
        return;
    }
    sgp_log(SGP_LOG_WARNING, "tcp: a chunk from %s is damaged: it is to be sent again",
            sgp_transport_name(links->owner.transport, link->peer, &name));
    sgp_link_say(link, SGP_FRAME_REPEAT, ticket);
}

static void end_arrival(sgp_link_t *link) {
    sgp_links_t *links = link->links;
    sgp_arrival_t *arrival = link->arriving;
    uint32_t ticket = arrival->ticket;
    link->arriving = NULL;
    if (XXH3_64bits(arrival->place, link->stream.bytes) != arrival->header.payload_hash) {
        sgp_links_give_place(links, arrival);
        refuse_damaged(link, ticket);
        return;
    }
    sgp_damage_t *damage = find_damage(link, ticket);
    if (damage) damage->times = 0;
    sgp_link_chunk_ended(link, &arrival->header);
    sgp_links_deliver(links, arrival);
}

/* Takes what is in the stream. false: the link is closed or starved. */
static bool take_events(sgp_link_t *link) {
    for (;;) {
        switch (sgp_stream_next(&link->stream)) {
        case SGP_STREAM_MORE:
            return true;
        case SGP_STREAM_FRAME:
            heard_frame(link);
            break;
        case SGP_STREAM_CHUNK:
            if (!begin_arrival(link)) return false;
            break;
        case SGP_STREAM_WHOLE:
            end_arrival(link);
            break;
        case SGP_STREAM_BROKEN:
            sgp_link_fail(link, SGP_CAUSE_NONSENSE, "it sent what is no frame");
            return false;
        }
        if (link->state != SGP_LINK_OPEN) return false;
    }
}

/* Reads once. false: there is no more now, or the link is closed. */
static bool read_some(sgp_link_t *link) {
    struct iovec pieces[2];
    int count = sgp_stream_places(&link->stream, pieces);
    size_t wanted = pieces[0].iov_len + (count > 1 ? pieces[1].iov_len : 0);
    ssize_t got = readv(link->socket, pieces, count);
    if (got < 0 && errno == EINTR) return true;
    if (got < 0 && errno == EAGAIN) return false;
    if (got <= 0) {
        /* Whoever leaves has said all, and is answered by an end. */
        if (link->said_leave) sgp_link_close(link);
        else
            sgp_link_fail(link, cause_of(got < 0 ? errno : 0), "%s",
                          got < 0 ? strerror(errno) : sgp_cause_text(SGP_CAUSE_CLOSED));
        return false;
    }
    link->heard = sgp_links_now();
    sgp_turns_moved(&link->links->in, &link->turn, (uint64_t)got);
    sgp_stream_received(&link->stream, (size_t)got);
    return take_events(link) && (size_t)got == wanted;
}

void sgp_link_read(sgp_link_t *link) {
    for (int reads = 0; reads < TURN && link->state == SGP_LINK_OPEN; reads++)
        if (!read_some(link) || sgp_link_held(link)) break;
    if (link->state == SGP_LINK_OPEN) sgp_link_pump(link);
}

void sgp_link_feed(sgp_link_t *link) {
    if (!begin_arrival(link)) return;
    link->heard = sgp_links_now(); /* we have not listened */
    if (take_events(link)) sgp_link_read(link);
}
