/* SPDX-License-Identifier: Apache-2.0 */
#include "group/join/candidate.h"

#include "base/bytes.h"
#include "base/constants.h"
#include "base/logging.h"
#include "group/join/deadline.h"
#include "transport/tcp/sealed.h"
#include "transport/tcp/tcp.h"
#include "wire/handshake.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

enum {
    MOST_ADDRESSES = 16, /* of one contact */
    PAUSE_MS = 200,      /* between two rounds of calls */
    ANSWER_MS = 10000,   /* for one member, which answers between two steps */
};

struct sgp_candidate {
    sgp_candidate_options_t options; /* strings are borrowed until call returns */
    bool keyed;
    sgp_key_t key;
    uint64_t id;
    sgp_endpoint_t endpoint;
    int listener;                   /* -1: the transport has it */
    int socket;                     /* to the sponsor; -1: none */
    sgp_sealed_t sealed;            /* over it */
    char sponsor[SGP_ADDRESS_TEXT]; /* whom it calls */
    unsigned char *message;         /* (welcome) owned */
    sgp_welcome_t welcome;
    sgp_deadline_t deadline, until;                       /* of the call, and of the present wait */
    char cause[SGP_ADDRESS_TEXT + SGP_ENTER_REASON + 72]; /* of the last failure */
};

/* ---- failures, which are logged once the call has failed for good ---- */

__attribute__((format(printf, 3, 4))) static sgp_status_t
fails(sgp_candidate_t *candidate, sgp_status_t status, const char *cause, ...) {
    char text[SGP_ENTER_REASON + 64];
    va_list arguments;
    va_start(arguments, cause);
    vsnprintf(text, sizeof text, cause, arguments);
    va_end(arguments);
    snprintf(candidate->cause, sizeof candidate->cause, "%s: %s", candidate->sponsor, text);
    return status;
}

static sgp_status_t ended(sgp_candidate_t *candidate, int error) {
    if (error == EBADMSG)
        return fails(candidate, SGP_ERR_MISMATCH, "its answer was altered on the way");
    return fails(candidate, SGP_ERR_PEER_LOST, "%s",
                 error ? strerror(error) : "the connection ended");
}

static sgp_status_t broke_protocol(sgp_candidate_t *candidate) {
    return fails(candidate, SGP_ERR_MISMATCH, "it broke the join protocol");
}

/* ---- bytes ---- */

static sgp_status_t await(sgp_candidate_t *candidate, short events) {
    struct pollfd socket = {.fd = candidate->socket, .events = events};
    for (;;) {
        int left = sgp_deadline_left_ms(&candidate->until);
        if (left == 0) return fails(candidate, SGP_ERR_TIMEOUT, "it does not answer");
        int ready = poll(&socket, 1, left);
        if (ready > 0) return SGP_OK;
        if (ready < 0 && errno != EINTR) return ended(candidate, errno);
    }
}

static sgp_status_t send_all(sgp_candidate_t *candidate, const void *bytes, size_t count) {
    for (size_t done = 0; done < count;) {
        ssize_t sent =
            send(candidate->socket, (const char *)bytes + done, count - done, MSG_NOSIGNAL);
        if (sent > 0) done += (size_t)sent;
        if (sent >= 0 || errno == EINTR) continue;
        sgp_status_t status = errno == EAGAIN ? await(candidate, POLLOUT) : ended(candidate, errno);
        if (status != SGP_OK) return status;
    }
    return SGP_OK;
}

static sgp_status_t receive(sgp_candidate_t *candidate, void *place, size_t count, size_t *got) {
    for (;;) {
        ssize_t read = sgp_sealed_receive(&candidate->sealed, candidate->socket, place, count);
        if (read > 0) {
            *got = (size_t)read;
            return SGP_OK;
        }
        if (read == 0) return ended(candidate, 0);
        if (errno == EINTR) continue;
        sgp_status_t status = errno == EAGAIN ? await(candidate, POLLIN) : ended(candidate, errno);
        if (status != SGP_OK) return status;
    }
}

static sgp_status_t receive_all(sgp_candidate_t *candidate, void *place, size_t count) {
    sgp_status_t status = SGP_OK;
    for (size_t done = 0, got = 0; done < count && status == SGP_OK; done += got)
        status = receive(candidate, (char *)place + done, count - done, &got);
    return status;
}

/* ---- the handshake ---- */

static void judge(sgp_handshake_t *handshake) {
    const sgp_hello_t *theirs = &handshake->theirs;
    if (strcmp(theirs->version, SGP_VERSION) != 0)
        sgp_handshake_refuse(handshake, "it has sgp %s, and here is %s", theirs->version,
                             SGP_VERSION);
    else sgp_handshake_accept(handshake);
}

static sgp_status_t talk(sgp_candidate_t *candidate, sgp_handshake_t *handshake) {
    for (;;) {
        size_t bytes, got = 0;
        if (sgp_handshake_state(handshake) == SGP_HANDSHAKE_JUDGE) judge(handshake);
        const void *out = sgp_handshake_pending(handshake, &bytes);
        sgp_status_t status = bytes ? send_all(candidate, out, bytes) : SGP_OK;
        if (status != SGP_OK) return status;
        sgp_handshake_sent(handshake, bytes);
        if (bytes) continue;
        if (sgp_handshake_state(handshake) == SGP_HANDSHAKE_DONE) return SGP_OK;
        if (sgp_handshake_state(handshake) == SGP_HANDSHAKE_REFUSED)
            return handshake->refused_by_them
                       ? fails(candidate, SGP_ERR_REFUSED, "it refuses us: %s", handshake->reason)
                       : fails(candidate, SGP_ERR_MISMATCH, "%s", handshake->reason);
        void *place = sgp_handshake_place(handshake, &bytes);
        status = receive(candidate, place, bytes, &got);
        if (status != SGP_OK) return status;
        sgp_handshake_received(handshake, got);
    }
}

static sgp_status_t shake(sgp_candidate_t *candidate) {
    sgp_hello_t hello = {.purpose = SGP_PURPOSE_ENTER,
                         .rank = -1,
                         .version = SGP_VERSION,
                         .encryption = candidate->options.encryption,
                         .machine = candidate->endpoint.machine};
    sgp_handshake_t handshake;
    sgp_handshake_init(&handshake, true, &hello, candidate->keyed ? &candidate->key : NULL);
    sgp_status_t status = talk(candidate, &handshake);
    if (status == SGP_OK && !sgp_sealed_begin(&candidate->sealed, &handshake))
        status = sgp_fail(SGP_ERR_NO_MEMORY, "no memory to seal a connection");
    sgp_handshake_fini(&handshake);
    return status;
}

/* ---- messages ---- */

static sgp_status_t say(sgp_candidate_t *candidate, sgp_enter_kind_t kind, size_t bytes,
                        unsigned char *message /* (head and contents) */) {
    size_t wrapped = 0;
    sgp_enter_head_encode(kind, bytes, message);
    unsigned char *out =
        sgp_sealed_wrap(&candidate->sealed, message, SGP_ENTER_HEAD + bytes, &wrapped);
    if (!out) return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for a message to the sponsor");
    sgp_status_t status = send_all(candidate, out, wrapped);
    free(out);
    return status;
}

static sgp_status_t send_request(sgp_candidate_t *candidate) {
    const sgp_candidate_options_t *options = &candidate->options;
    sgp_enter_request_t request = {.candidate = candidate->id,
                                   .options = options->options,
                                   .seat = options->seat,
                                   .incarnation = options->incarnation,
                                   .endpoint = candidate->endpoint,
                                   .detail = options->detail,
                                   .detail_bytes = options->detail_bytes};
    size_t bytes = sgp_enter_request_bytes(&request);
    unsigned char *message = malloc(SGP_ENTER_HEAD + bytes);
    if (!message) return sgp_fail(SGP_ERR_NO_MEMORY, "no memory to ask to join");
    sgp_enter_request_encode(&request, message + SGP_ENTER_HEAD);
    sgp_status_t status = say(candidate, SGP_ENTER_REQUEST, bytes, message);
    free(message);
    return status;
}

/* The next message, of that kind; one that refuses is SGP_ERR_REFUSED or, where it may ask again, SGP_ERR_AGAIN. The
 * contents are the caller's to free. */
static sgp_status_t hear(sgp_candidate_t *candidate, sgp_enter_kind_t expected, size_t most,
                         unsigned char **contents, size_t *bytes) {
    unsigned char head[SGP_ENTER_HEAD];
    char reason[SGP_ENTER_REASON];
    sgp_enter_kind_t kind;
    bool again;
    sgp_status_t status = receive_all(candidate, head, sizeof head);
    if (status != SGP_OK) return status;
    if (!sgp_enter_head_decode(head, &kind, bytes)) return broke_protocol(candidate);
    if (*bytes > most)
        return fails(candidate, SGP_ERR_REFUSED, "it sends %zu bytes, which are more than %zu",
                     *bytes, most);
    *contents = malloc(*bytes + 1);
    if (!*contents)
        return sgp_fail(SGP_ERR_NO_MEMORY, "no memory for a message of %zu bytes", *bytes);
    status = receive_all(candidate, *contents, *bytes);
    if (status == SGP_OK && kind == expected) return SGP_OK;
    if (status == SGP_OK && kind == SGP_ENTER_REFUSED &&
        sgp_enter_refused_decode(*contents, *bytes, reason, &again))
        status =
            fails(candidate, again ? SGP_ERR_AGAIN : SGP_ERR_REFUSED, "it refuses us: %s", reason);
    else if (status == SGP_OK) status = broke_protocol(candidate);
    free(*contents);
    *contents = NULL;
    return status;
}

static sgp_status_t hear_welcome(sgp_candidate_t *candidate) {
    size_t bytes;
    sgp_status_t status =
        hear(candidate, SGP_ENTER_WELCOME, SGP_ENTER_WELCOME_BYTES, &candidate->message, &bytes);
    if (status != SGP_OK) return status;
    if (sgp_welcome_decode(candidate->message, bytes, &candidate->welcome)) return SGP_OK;
    free(candidate->message);
    candidate->message = NULL;
    return broke_protocol(candidate);
}

/* ---- calling ---- */

static sgp_status_t connect_to(sgp_candidate_t *candidate, const sgp_address_t *to) {
    int error = 0;
    socklen_t length = sizeof error;
    candidate->socket = socket(to->at.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (candidate->socket < 0) return ended(candidate, errno);
    if (connect(candidate->socket, (const struct sockaddr *)&to->at, to->length) == 0)
        return SGP_OK;
    if (errno != EINPROGRESS) return ended(candidate, errno);
    sgp_status_t status = await(candidate, POLLOUT);
    if (status != SGP_OK) return status;
    getsockopt(candidate->socket, SOL_SOCKET, SO_ERROR, &error, &length);
    return error ? ended(candidate, error) : SGP_OK;
}

static void hang_up(sgp_candidate_t *candidate) {
    if (candidate->socket >= 0) close(candidate->socket);
    sgp_sealed_fini(&candidate->sealed);
    candidate->socket = -1;
}

static sgp_status_t call_address(sgp_candidate_t *candidate, const sgp_address_t *to) {
    int left = sgp_deadline_left_ms(&candidate->deadline);
    candidate->until = sgp_deadline_in(left < ANSWER_MS ? left : ANSWER_MS);
    sgp_address_text(to, candidate->sponsor);
    if (!candidate->keyed && !candidate->options.insecure && !sgp_address_is_here(to))
        return fails(candidate, SGP_ERR_REFUSED,
                     "it is another machine, and there is no key: give all nodes the same "
                     "--key-file, or --insecure");
    sgp_status_t status = connect_to(candidate, to);
    if (status == SGP_OK) status = shake(candidate);
    if (status == SGP_OK) status = send_request(candidate);
    if (status == SGP_OK) status = hear_welcome(candidate);
    if (status != SGP_OK) hang_up(candidate);
    return status;
}

/* Worth a call of another member, or a later one: nobody has said no. */
static bool may_differ(sgp_status_t status) {
    return status == SGP_ERR_PEER_LOST || status == SGP_ERR_TIMEOUT || status == SGP_ERR_AGAIN;
}

static sgp_status_t call_contact(sgp_candidate_t *candidate, const char *contact) {
    sgp_address_t addresses[MOST_ADDRESSES];
    int count = 0;
    sgp_status_t status = sgp_address_resolve(contact, MOST_ADDRESSES, addresses, &count);
    for (int i = 0; i < count; i++) {
        if (sgp_deadline_left_ms(&candidate->deadline) == 0) return SGP_ERR_TIMEOUT;
        status = call_address(candidate, &addresses[i]);
        if (!may_differ(status)) return status;
    }
    return status;
}

static sgp_status_t call_all(sgp_candidate_t *candidate) {
    char contact[256];
    sgp_status_t status = SGP_ERR_INVALID;
    for (const char *at = candidate->options.contacts; *at;) {
        size_t length = strcspn(at, ",");
        if (length >= sizeof contact)
            return sgp_fail(SGP_ERR_INVALID, "%.64s...: not HOST:PORT", at);
        snprintf(contact, sizeof contact, "%.*s", (int)length, at);
        status = call_contact(candidate, contact);
        if (!may_differ(status)) return status;
        at += length + (at[length] == ',');
    }
    return status;
}

static sgp_status_t report(const sgp_candidate_t *candidate, sgp_status_t status) {
    switch (status) {
    case SGP_OK:
    case SGP_ERR_NO_MEMORY:
    case SGP_ERR_INVALID:
    case SGP_ERR_NOT_FOUND: /* they have a line */
        return status;
    default:
        return sgp_fail(status, "cannot join: %s", candidate->cause);
    }
}

static sgp_status_t call_until_answered(sgp_candidate_t *candidate) {
    for (;;) {
        sgp_status_t status = call_all(candidate);
        int left = sgp_deadline_left_ms(&candidate->deadline);
        if (!may_differ(status)) return report(candidate, status);
        if (left == 0) return report(candidate, SGP_ERR_TIMEOUT);
        poll(NULL, 0, left < PAUSE_MS ? left : PAUSE_MS);
    }
}

/* ---- making and ending ---- */

static bool draw(uint64_t *id) {
    while (*id == 0)
        if (getrandom(id, sizeof *id, 0) != (ssize_t)sizeof *id) return false;
    return true;
}

/* It states the port alone unless an interface was given: the sponsor knows the host that it calls from. */
static sgp_status_t listen_here(sgp_candidate_t *candidate) {
    const sgp_candidate_options_t *options = &candidate->options;
    sgp_address_t bound, advertised;
    sgp_status_t status = sgp_address_listen(options->interface, options->ports,
                                             &candidate->listener, &bound, &advertised);
    if (status != SGP_OK) return status;
    if (options->interface) sgp_address_text(&advertised, candidate->endpoint.address);
    else candidate->endpoint.port = sgp_address_port(&advertised);
    return SGP_OK;
}

static sgp_status_t check(const sgp_candidate_options_t *options) {
    if (!options->contacts || !*options->contacts)
        return sgp_fail(SGP_ERR_INVALID, "no member to join: give HOST:PORT");
    if (options->detail_bytes > SGP_ENTER_DETAIL_BYTES)
        return sgp_fail(SGP_ERR_INVALID, "%zu bytes about a newcomer, must be at most %zu",
                        options->detail_bytes, SGP_ENTER_DETAIL_BYTES);
    return SGP_OK;
}

static sgp_status_t prepare(sgp_candidate_t *candidate) {
    if (candidate->keyed) candidate->key = *candidate->options.key;
    if (!draw(&candidate->id))
        return sgp_fail(SGP_ERR_SYSTEM, "no random numbers: %s", strerror(errno));
    sgp_status_t status = sgp_endpoint_init(&candidate->endpoint, false);
    candidate->endpoint.size = 1;
    candidate->endpoint.transport = SGP_CHOICE_TCP;
    return status == SGP_OK ? listen_here(candidate) : status;
}

sgp_status_t sgp_candidate_call(const sgp_candidate_options_t *options,
                                sgp_candidate_t **candidate) {
    sgp_status_t status = check(options);
    if (status != SGP_OK) return status;
    sgp_candidate_t *made = sgp_guarded_make(sizeof *made); /* it has the key */
    if (!made) return sgp_fail(SGP_ERR_NO_MEMORY, "no memory to join a group");
    made->options = *options;
    made->keyed = options->key != NULL;
    made->listener = made->socket = -1;
    made->deadline = sgp_deadline_in(options->timeout_ms);
    status = prepare(made);
    if (status == SGP_OK) status = call_until_answered(made);
    if (status == SGP_OK) *candidate = made;
    else sgp_candidate_destroy(made);
    return status;
}

void sgp_candidate_destroy(sgp_candidate_t *candidate) {
    if (!candidate) return;
    hang_up(candidate);
    if (candidate->listener >= 0) close(candidate->listener);
    free(candidate->message);
    sgp_guarded_free(candidate);
}

const sgp_welcome_t *sgp_candidate_welcome(const sgp_candidate_t *candidate) {
    return &candidate->welcome;
}

uint64_t sgp_candidate_id(const sgp_candidate_t *candidate) {
    return candidate->id;
}

/* ---- after the welcome ---- */

/* seats and addresses: (capacity) zeros. */
static sgp_status_t read_members(const sgp_welcome_t *welcome, sgp_seat_t *seats,
                                 sgp_address_t *addresses) {
    sgp_status_t status = SGP_OK;
    for (int s = 0; s < welcome->capacity; s++) seats[s].state = SGP_FATE_ABSENT;
    for (int i = 0; i < welcome->members && status == SGP_OK; i++) {
        sgp_enter_member_t member;
        sgp_welcome_member(welcome, i, &member);
        seats[member.seat] =
            (sgp_seat_t){member.present ? SGP_FATE_PRESENT : SGP_FATE_LEFT, member.incarnation};
        if (member.present) status = sgp_address_parse(member.address, &addresses[member.seat]);
    }
    return status;
}

/* Takes the listener. */
static sgp_status_t connect_tcp(sgp_candidate_t *candidate, const sgp_seat_t *seats,
                                const sgp_address_t *addresses, sgp_transport_t **transport) {
    const sgp_welcome_t *welcome = &candidate->welcome;
    sgp_tcp_options_t options = {.rank = welcome->seat,
                                 .size = welcome->founders,
                                 .capacity = welcome->capacity,
                                 .incarnation = welcome->incarnation,
                                 .seats = seats,
                                 .run = welcome->run,
                                 .listener = candidate->listener,
                                 .addresses = addresses,
                                 .key = candidate->keyed ? &candidate->key : NULL,
                                 .insecure = candidate->options.insecure,
                                 .encryption = candidate->options.encryption,
                                 .machine = candidate->endpoint.machine,
                                 .chunk_bytes = (size_t)welcome->chunk_bytes,
                                 .timeout_ms = candidate->options.timeout_ms,
                                 .peer_timeout_ms = welcome->peer_timeout_ms,
                                 .at_once = true,
                                 .waits = candidate->options.waits};
    candidate->listener = -1;
    sgp_status_t status = sgp_tcp_connect(&options, transport);
    if (status == SGP_OK) (*transport)->elastic = true;
    return status;
}

sgp_status_t sgp_candidate_connect(sgp_candidate_t *candidate, sgp_transport_t **transport) {
    const sgp_welcome_t *welcome = &candidate->welcome;
    sgp_seat_t *seats = calloc((size_t)welcome->capacity, sizeof *seats);
    sgp_address_t *addresses = calloc((size_t)welcome->capacity, sizeof *addresses);
    sgp_status_t status = SGP_OK;
    if (!seats || !addresses)
        status = sgp_fail(SGP_ERR_NO_MEMORY, "no memory to connect %d nodes", welcome->capacity);
    if (status == SGP_OK) status = read_members(welcome, seats, addresses);
    if (status == SGP_OK) status = connect_tcp(candidate, seats, addresses, transport);
    free(seats);
    free(addresses);
    return status;
}

sgp_status_t sgp_candidate_fetch(sgp_candidate_t *candidate, int timeout_ms, size_t most,
                                 void **bytes, size_t *count) {
    unsigned char fetch[SGP_ENTER_HEAD], *contents = NULL;
    size_t least = SGP_ENTER_REASON, got = 0; /* room for a refusal */
    candidate->until = sgp_deadline_in(timeout_ms);
    sgp_status_t status = say(candidate, SGP_ENTER_FETCH, 0, fetch);
    if (status == SGP_OK)
        status = hear(candidate, SGP_ENTER_STATE, most > least ? most : least, &contents, &got);
    if (status != SGP_OK) return report(candidate, status);
    *bytes = contents;
    *count = got;
    return SGP_OK;
}

void sgp_candidate_decline(sgp_candidate_t *candidate, const char *why) {
    unsigned char message[SGP_ENTER_HEAD + SGP_ENTER_REASON];
    size_t bytes = sgp_enter_refused_encode(why, false, message + SGP_ENTER_HEAD);
    candidate->until = sgp_deadline_in(PAUSE_MS);
    (void)!say(candidate, SGP_ENTER_REFUSED, bytes, message);
}

sgp_status_t sgp_candidate_ready(sgp_candidate_t *candidate, int timeout_ms, uint64_t *step) {
    unsigned char ready[SGP_ENTER_HEAD], *contents = NULL;
    size_t bytes = 0;
    candidate->until = sgp_deadline_in(timeout_ms);
    sgp_status_t status = say(candidate, SGP_ENTER_READY, 0, ready);
    if (status == SGP_OK)
        status = hear(candidate, SGP_ENTER_ADMITTED, SGP_ENTER_REASON, &contents, &bytes);
    if (status == SGP_OK && bytes != 8) status = broke_protocol(candidate);
    if (status == SGP_OK) *step = sgp_bytes_get(contents, 8);
    free(contents);
    return report(candidate, status);
}
