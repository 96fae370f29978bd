/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/tcp/connection.h"

#include "base/clock.h"
#include "base/fork.h"
#include "net/socket.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define MOST_UNREAD ((size_t)64 << 10) /* bytes of frames to be sent */

/* ---- beginning and end ---- */

/* libuv has let go of it. */
static void on_closed(uv_handle_t *handle) {
    sgp_connection_t *connection = handle->data, **at = &connection->set->first;
    while (*at != connection) at = &(*at)->next;
    *at = connection->next;
    free(connection->frames);
    free(connection);
}

/* All but the socket. */
static void end(sgp_connection_t *connection) {
    connection->state = SGP_CONNECTION_CLOSED;
    connection->stalled = false;
    connection->sending = NULL;
    uv_poll_stop(&connection->poll);
    uv_close((uv_handle_t *)&connection->poll, on_closed);
    sgp_handshake_fini(&connection->handshake);
    sgp_records_fini(&connection->records);
    if (connection->arriving)
        sgp_chunk_pool_give_place(connection->set->pool, connection->arriving);
    connection->arriving = NULL;
}

void sgp_connection_close(sgp_connection_t *connection) {
    if (connection->state == SGP_CONNECTION_CLOSED) return;
    end(connection);
    sgp_fork_close(connection->socket);
}

int sgp_connection_detach(sgp_connection_t *connection, sgp_seals_t *seals) {
    *seals = connection->records.seals;
    connection->records.seals = (sgp_seals_t){.out = NULL};
    end(connection);
    return connection->socket;
}

bool sgp_connection_is_cut(const sgp_connection_t *connection, uint64_t nanoseconds) {
    return sgp_socket_unanswered(connection->socket) > nanoseconds;
}

/* Takes the socket in every case. */
static sgp_connection_t *make(sgp_connections_t *set, int socket, const sgp_address_t *other) {
    sgp_connection_t *made = calloc(1, sizeof *made);
    if (!made || uv_poll_init(set->loop, &made->poll, socket) != 0) {
        free(made);
        sgp_fork_close(socket);
        return NULL;
    }
    made->set = set;
    made->owner = set->owner;
    made->poll.data = made;
    made->socket = socket;
    made->other = *other;
    made->peer = -1;
    made->since = made->heard = made->spoke = sgp_clock_now();
    made->next = set->first;
    set->first = made;
    sgp_socket_tune(socket, other, set->peer_timeout);
    return made;
}

/* ---- polling ---- */

static int events_when_open(const sgp_connection_t *connection) {
    bool more = sgp_connection_has_frames(connection) || connection->sending ||
                (connection->has_posts && !connection->said_leave);
    bool reads = !connection->stalled && !connection->held;
    return (reads ? UV_READABLE : 0) | (more && !connection->mute ? UV_WRITABLE : 0);
}

static int events_wanted(const sgp_connection_t *connection) {
    size_t pending = 0;
    switch (connection->state) {
    case SGP_CONNECTION_CONNECTING:
        return UV_WRITABLE;
    case SGP_CONNECTION_SHAKING:
        sgp_handshake_pending(&connection->handshake, &pending);
        return UV_READABLE | (pending ? UV_WRITABLE : 0);
    case SGP_CONNECTION_OPEN:
        return events_when_open(connection);
    case SGP_CONNECTION_CLOSED:
        break;
    }
    return 0;
}

static void poll_again(sgp_connection_t *connection) {
    int events = events_wanted(connection);
    if (connection->state == SGP_CONNECTION_CLOSED || events == connection->events) return;
    connection->events = events;
    if (events) uv_poll_start(&connection->poll, events, connection->set->on_poll);
    else uv_poll_stop(&connection->poll);
}

void sgp_connection_watch(sgp_connection_t *connection, bool has_posts, bool held) {
    connection->has_posts = has_posts;
    connection->held = held;
    poll_again(connection);
}

void sgp_connection_poll_failed(sgp_connection_t *connection) {
    connection->events = 0;
}

/* ---- opening ---- */

static void begin_handshake(sgp_connection_t *connection) {
    const sgp_connections_t *set = connection->set;
    sgp_handshake_init(&connection->handshake, connection->caller, &set->hello, set->key);
    connection->state = SGP_CONNECTION_SHAKING;
}

sgp_connection_t *sgp_connection_answer(sgp_connections_t *set, int socket,
                                        const sgp_address_t *from) {
    sgp_connection_t *made = make(set, socket, from);
    if (!made) return NULL;
    begin_handshake(made);
    poll_again(made);
    return made;
}

sgp_connection_t *sgp_connection_call(sgp_connections_t *set, int rank, const sgp_address_t *to,
                                      int socket, int *error) {
    sgp_connection_t *made = make(set, socket, to);
    *error = 0;
    if (!made) return NULL;
    made->caller = true;
    made->peer = rank;
    made->state = SGP_CONNECTION_CONNECTING;
    if (connect(socket, (const struct sockaddr *)&to->at, to->length) != 0) *error = errno;
    if (*error && *error != EINPROGRESS) {
        sgp_connection_close(made);
        return NULL;
    }
    poll_again(made);
    return made;
}

static bool is_connected(sgp_connection_t *connection) {
    socklen_t length = sizeof connection->error;
    if (getsockopt(connection->socket, SOL_SOCKET, SO_ERROR, &connection->error, &length) != 0)
        connection->error = errno;
    return connection->error == 0;
}

typedef enum moved { MOVED_ALL, MOVED_LATER, MOVED_ENDED } moved_t;

static moved_t shake_send(sgp_connection_t *connection) {
    for (;;) {
        size_t bytes;
        const void *out = sgp_handshake_pending(&connection->handshake, &bytes);
        if (!bytes) return MOVED_ALL;
        ssize_t sent = send(connection->socket, out, bytes, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) continue;
        /* Nothing follows a refusal, whether the peer reads it or not. */
        if (sent < 0 && sgp_handshake_state(&connection->handshake) == SGP_HANDSHAKE_REFUSED)
            return MOVED_ALL;
        if (sent < 0 && errno == EAGAIN) return MOVED_LATER;
        if (sent < 0) {
            connection->error = errno;
            return MOVED_ENDED;
        }
        sgp_handshake_sent(&connection->handshake, (size_t)sent);
    }
}

static moved_t shake_receive(sgp_connection_t *connection) {
    size_t wanted;
    void *place = sgp_handshake_place(&connection->handshake, &wanted);
    if (!wanted) return MOVED_LATER;
    ssize_t got = recv(connection->socket, place, wanted, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return MOVED_LATER;
    if (got > 0) {
        sgp_handshake_received(&connection->handshake, (size_t)got);
        return MOVED_ALL;
    }
    connection->error = got < 0 ? errno : 0;
    return MOVED_ENDED;
}

static sgp_opening_t opened(sgp_connection_t *connection) {
    if (!sgp_records_begin(&connection->records, &connection->handshake)) {
        connection->error = ENOMEM;
        return SGP_OPENING_ENDED;
    }
    connection->state = SGP_CONNECTION_OPEN;
    connection->heard = connection->spoke = sgp_clock_now();
    bool sealed = sgp_records_are_used(&connection->records); /* which end where a payload begins */
    sgp_stream_init(&connection->stream, connection->caller || sealed);
    return SGP_OPENING_DONE;
}

static sgp_opening_t shake(sgp_connection_t *connection) {
    moved_t moved = MOVED_ALL;
    while (moved == MOVED_ALL) {
        if (sgp_handshake_state(&connection->handshake) == SGP_HANDSHAKE_JUDGE)
            return SGP_OPENING_JUDGE;
        moved = shake_send(connection);
        if (moved != MOVED_ALL) break;
        if (sgp_handshake_state(&connection->handshake) == SGP_HANDSHAKE_DONE)
            return opened(connection);
        if (sgp_handshake_state(&connection->handshake) == SGP_HANDSHAKE_REFUSED)
            return SGP_OPENING_REFUSED;
        moved = shake_receive(connection);
    }
    return moved == MOVED_LATER ? SGP_OPENING_WAITS : SGP_OPENING_ENDED;
}

sgp_opening_t sgp_connection_open(sgp_connection_t *connection) {
    if (connection->state == SGP_CONNECTION_CONNECTING) {
        if (!is_connected(connection)) return SGP_OPENING_ENDED;
        begin_handshake(connection);
    }
    sgp_opening_t opening = shake(connection);
    if (opening == SGP_OPENING_WAITS) poll_again(connection);
    return opening;
}

void sgp_connection_accept(sgp_connection_t *connection, int rank) {
    connection->peer = rank;
    sgp_handshake_accept(&connection->handshake);
}

/* ---- sending ---- */

static bool grow_frames(sgp_connection_t *connection) {
    size_t room = connection->frames_room ? 2 * connection->frames_room : 4096;
    unsigned char *grown = realloc(connection->frames, room);
    if (!grown) return false;
    connection->frames = grown;
    connection->frames_room = room;
    return true;
}

/* The place of so many bytes more; NULL: no memory. */
static unsigned char *append(sgp_connection_t *connection, size_t bytes) {
    if (!sgp_connection_has_frames(connection)) connection->frames_at = connection->frames_end = 0;
    if (connection->frames_end + bytes > connection->frames_room && !grow_frames(connection))
        return NULL;
    connection->frames_end += bytes;
    return connection->frames + connection->frames_end - bytes;
}

/* Nothing is appended any more. */
static bool has_said_all(const sgp_connection_t *connection) {
    return connection->said_leave || connection->mute || connection->state != SGP_CONNECTION_OPEN;
}

bool sgp_connection_say(sgp_connection_t *connection, sgp_frame_kind_t kind, uint32_t value) {
    if (has_said_all(connection)) return true;
    unsigned char *place = append(connection, SGP_FRAME_BYTES);
    if (!place) return false;
    sgp_frame_encode(kind, value, place);
    connection->said_leave = kind == SGP_FRAME_LEAVE;
    poll_again(connection);
    return true;
}

bool sgp_connection_say_pulse(sgp_connection_t *connection, uint32_t flags, sgp_pulse_t pulse) {
    if (has_said_all(connection)) return true;
    unsigned char *place = append(connection, SGP_PULSE_BYTES);
    if (!place) return false;
    sgp_frame_encode_pulse(flags, pulse, place);
    connection->flags = flags;
    connection->digest = pulse.digest;
    poll_again(connection);
    return true;
}

bool sgp_connection_is_clogged(const sgp_connection_t *connection) {
    return connection->frames_end - connection->frames_at > MOST_UNREAD;
}

/* The hash is computed here, not where the chunk is written: the kernel copies these bytes next, so
 * they are in the cache, and the owner's thread computes meanwhile. A record's tag takes its place. */
void sgp_connection_begin_chunk(sgp_connection_t *connection, sgp_post_t *post) {
    bool sealed = sgp_records_are_used(&connection->records);
    post->header.payload_hash = sealed ? 0 : XXH3_64bits(post->payload, post->bytes);
    sgp_frame_encode(SGP_FRAME_CHUNK, post->ticket, connection->head);
    sgp_header_encode(&post->header, connection->head + SGP_FRAME_BYTES);
    connection->sending = post;
    connection->sent = 0;
}

void sgp_connection_break_off(sgp_connection_t *connection) {
    if (!connection->sending) return;
    connection->sending = NULL;
    connection->mute = true;
}

/* The rest of the frames, or of the chunk. */
static int pieces_to_send(const sgp_connection_t *connection, struct iovec pieces[2]) {
    if (!connection->sending) {
        pieces[0] = (struct iovec){.iov_base = connection->frames + connection->frames_at,
                                   .iov_len = connection->frames_end - connection->frames_at};
        return 1;
    }
    int count = 0;
    size_t done = connection->sent;
    if (done < sizeof connection->head) {
        pieces[count++] = (struct iovec){.iov_base = (void *)(connection->head + done),
                                         .iov_len = sizeof connection->head - done};
        done = sizeof connection->head;
    }
    done -= sizeof connection->head;
    unsigned char *payload = (unsigned char *)(uintptr_t)connection->sending->payload;
    pieces[count++] =
        (struct iovec){.iov_base = payload + done, .iov_len = connection->sending->bytes - done};
    return count;
}

static sgp_sent_t note_sent(sgp_connection_t *connection, size_t sent, size_t *bytes) {
    connection->spoke = sgp_clock_now();
    if (!connection->sending) {
        connection->frames_at += sent;
        return SGP_SENT_SOME;
    }
    *bytes = sent;
    connection->sent += sent;
    if (connection->sent < sizeof connection->head + connection->sending->bytes)
        return SGP_SENT_SOME;
    connection->sending = NULL;
    return SGP_SENT_POST;
}

static ssize_t send_plain(sgp_connection_t *connection) {
    struct iovec pieces[2];
    struct msghdr message = {.msg_iov = pieces};
    message.msg_iovlen = (size_t)pieces_to_send(connection, pieces);
    return sendmsg(connection->socket, &message, MSG_NOSIGNAL);
}

/* The next records, once those before are sent. */
static bool add_records(sgp_connection_t *connection) {
    const sgp_post_t *post = connection->sending;
    if (!sgp_records_are_sent(&connection->records)) return true;
    if (post)
        return sgp_records_add_chunk(&connection->records, connection->head,
                                     sizeof connection->head, post->payload, post->bytes,
                                     connection->sent);
    return sgp_records_add_frames(&connection->records, connection->frames + connection->frames_at,
                                  connection->frames_end - connection->frames_at);
}

/* *meant: bytes of frames or of the chunk, of which all are sent now. */
static ssize_t send_sealed(sgp_connection_t *connection, size_t *meant) {
    *meant = 0;
    if (add_records(connection))
        return sgp_records_send(&connection->records, connection->socket, meant);
    errno = ENOTRECOVERABLE;
    return -1;
}

sgp_sent_t sgp_connection_send(sgp_connection_t *connection, size_t *bytes) {
    *bytes = 0;
    bool sealed = sgp_records_are_used(&connection->records);
    size_t meant = 0;
    ssize_t sent = sealed ? send_sealed(connection, &meant) : send_plain(connection);
    if (sent >= 0) return note_sent(connection, sealed ? meant : (size_t)sent, bytes);
    if (errno == EINTR) return SGP_SENT_SOME;
    if (errno == EAGAIN) return SGP_SENT_NONE;
    connection->error = errno;
    return SGP_SENT_FAILED;
}

/* ---- receiving ---- */

static ssize_t read_plain(sgp_connection_t *connection, bool *more) {
    struct iovec pieces[2];
    int count = sgp_stream_places(&connection->stream, pieces);
    size_t wanted = pieces[0].iov_len + (count > 1 ? pieces[1].iov_len : 0);
    ssize_t got = readv(connection->socket, pieces, count);
    *more = got == (ssize_t)wanted;
    if (got > 0) sgp_stream_received(&connection->stream, (size_t)got);
    return got;
}

sgp_heard_t sgp_connection_read(sgp_connection_t *connection, size_t *bytes) {
    sgp_records_t *records = &connection->records;
    bool more = false;
    ssize_t got = sgp_records_are_used(records)
                      ? sgp_records_receive(records, connection->socket, &connection->stream, &more)
                      : read_plain(connection, &more);
    *bytes = 0;
    if (got < 0 && errno == EINTR) return SGP_HEARD_ALL;
    if (got < 0 && errno == EAGAIN) return SGP_HEARD_NONE;
    connection->error = got < 0 ? errno : 0;
    if (got <= 0) return SGP_HEARD_END;
    *bytes = (size_t)got;
    connection->heard = sgp_clock_now();
    return more ? SGP_HEARD_ALL : SGP_HEARD_SOME;
}

sgp_stream_event_t sgp_connection_next(sgp_connection_t *connection) {
    sgp_stream_event_t event = sgp_stream_next(&connection->stream);
    connection->stalled = event == SGP_STREAM_CHUNK;
    return event;
}

static void read_payload(sgp_connection_t *connection, void *place, const sgp_header_t *header) {
    connection->stalled = false;
    connection->heard = sgp_clock_now(); /* while it was stalled, nothing was read */
    sgp_stream_place(&connection->stream, place,
                     sgp_encoding_bytes(header->encoding, header->elements));
}

void sgp_connection_place(sgp_connection_t *connection, sgp_arrival_t *arrival,
                          const sgp_header_t *header) {
    arrival->ticket = connection->stream.value;
    arrival->header = *header;
    connection->arriving = arrival;
    read_payload(connection, arrival->place, header);
}

void sgp_connection_waste(sgp_connection_t *connection, void *waste, const sgp_header_t *header) {
    read_payload(connection, waste, header);
}

/* NULL: the chunk has not come damaged since it last came whole. */
static sgp_damage_t *find_damage(sgp_connection_t *connection, uint32_t ticket) {
    for (size_t i = 0; i < sizeof connection->damages / sizeof *connection->damages; i++) {
        sgp_damage_t *damage = &connection->damages[i];
        if (damage->times && damage->ticket == ticket) return damage;
    }
    return NULL;
}

/* Returns how often the chunk has come damaged. */
static int count_damage(sgp_connection_t *connection, uint32_t ticket) {
    sgp_damage_t *damage = find_damage(connection, ticket);
    if (!damage) {
        int kept = (int)(sizeof connection->damages / sizeof *damage);
        damage = &connection->damages[connection->next_damage];
        connection->next_damage = (connection->next_damage + 1) % kept;
        *damage = (sgp_damage_t){.ticket = ticket};
    }
    return ++damage->times;
}

sgp_arrival_t *sgp_connection_take_arrival(sgp_connection_t *connection, int *damaged) {
    sgp_arrival_t *arrival = connection->arriving;
    connection->arriving = NULL;
    *damaged = 0;
    if (sgp_records_are_used(&connection->records)) return arrival;
    uint64_t hash = XXH3_64bits(arrival->place, connection->stream.bytes);
    if (hash != arrival->header.payload_hash) {
        *damaged = count_damage(connection, arrival->ticket);
        return arrival;
    }
    sgp_damage_t *healed = find_damage(connection, arrival->ticket);
    if (healed) healed->times = 0;
    return arrival;
}

/* ---- time ---- */

const char *sgp_connection_error_text(int error, sgp_cause_t cause) {
    if (error == EBADMSG) return "what it sent was altered on the way";
    return error ? strerror(error) : sgp_cause_text(cause);
}

uint64_t sgp_connection_heard(const sgp_connection_t *connection, uint64_t now) {
    bool open = connection && connection->state == SGP_CONNECTION_OPEN;
    if (!open) return 0;
    return connection->stalled ? now : connection->heard;
}

void sgp_connection_forgive(sgp_connection_t *connection, uint64_t late, uint64_t now) {
    uint64_t silent = now - connection->heard, old = now - connection->since;
    connection->heard += late < silent ? late : silent;
    connection->since += late < old ? late : old;
}
